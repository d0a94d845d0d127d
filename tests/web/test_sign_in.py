"""Signing in and out."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", password="correct horse battery")


def test_a_person_signs_in_and_comes_where_they_wanted_to_go(ada: User) -> None:
    client = Client()
    asked = client.get("/workers/")
    page = client.get(asked["Location"])
    assert 'name="next" value="/workers/"' in page.content.decode()
    said = {"username": "ada", "password": "correct horse battery", "next": "/workers/"}
    assert client.post(reverse("sign-in"), said)["Location"] == "/workers/"


def test_a_wrong_password_is_said_and_keeps_the_name(ada: User) -> None:
    response = Client().post(reverse("sign-in"), {"username": "ada", "password": "wrong"})
    text = response.content.decode()
    assert "No account has this user name and password" in text
    assert 'value="ada"' in text


def test_the_sign_in_never_leads_to_another_site(ada: User) -> None:
    said = {"username": "ada", "password": "correct horse battery", "next": "//evil.example/"}
    assert Client().post(reverse("sign-in"), said)["Location"] == "/"


def test_signing_out_ends_the_session(ada: User) -> None:
    client = Client()
    client.force_login(ada)
    assert client.post(reverse("sign-out")).status_code == 302
    assert client.get("/").status_code == 302
