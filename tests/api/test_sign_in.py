"""Keys and sessions."""

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from alignment.models import ApiKey, Project
from alignment.services.keys import create_api_key, revoke_api_key, user_of
from tests.api.conftest import assert_problem, get, post


def with_key(text: str) -> Client:
    return Client(headers={"authorization": f"Bearer {text}"})


def test_a_key_is_shown_once_and_kept_as_a_hash(people: dict[str, User]) -> None:
    out = StringIO()
    call_command("create_api_key", "a-viewer", "laptop", stdout=out)
    text = out.getvalue().strip()
    key = ApiKey.objects.get()
    start, prefix, secret = text.split("_")
    assert (start, prefix, key.name) == ("mora", key.prefix, "laptop")
    assert len(secret) == 48
    assert secret not in (key.sha256, str(key))
    assert get(with_key(text), "/projects").status_code == 200
    key.refresh_from_db()
    assert key.last_used_at is not None


@pytest.mark.parametrize(("user", "name"), [("nobody", "x"), ("a-viewer", ""), ("off", "x")])
def test_a_key_that_cannot_be_made_says_why(people: dict[str, User], user: str, name: str) -> None:
    User.objects.create_user("off", is_active=False)
    with pytest.raises(CommandError):
        call_command("create_api_key", user, name)
    assert not ApiKey.objects.exists()


def test_a_wrong_key_is_refused_even_with_a_session(people: dict[str, User]) -> None:
    key, text = create_api_key(user=people["viewer"], name="k")
    other, _ = create_api_key(user=people["owner"], name="k")
    wrong = [
        "",
        "mora",
        "mora_",
        f"mora_{key.prefix}",
        f"mora_{key.prefix}_",
        f"mora_{other.prefix}_{text.split('_')[2]}",
        f"{text}0",
        f"arom{text[4:]}",
        f"mora_{key.prefix}_ä",
        text.replace("_", "-"),
    ]
    signed_in = Client()
    signed_in.force_login(people["viewer"])
    for attempt in wrong:
        response = signed_in.get("/api/v1/projects", headers={"authorization": f"Bearer {attempt}"})
        assert_problem(response, 401)
        assert response["WWW-Authenticate"] == "Bearer"
    response = signed_in.get("/api/v1/projects", headers={"authorization": "Basic YTpi"})
    assert_problem(response, 401)


def test_a_revoked_key_and_one_of_a_person_who_left_are_refused(people: dict[str, User]) -> None:
    key, text = create_api_key(user=people["viewer"], name="k")
    assert user_of(text) == people["viewer"]
    revoke_api_key(key=key)
    assert user_of(text) is None
    _, text = create_api_key(user=people["viewer"], name="k")
    User.objects.filter(pk=people["viewer"].pk).update(is_active=False)
    assert_problem(get(with_key(text), "/projects"), 401)


def test_a_session_reads_and_needs_its_token_to_change(
    people: dict[str, User], project: Project
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["viewer"])
    assert get(client, "/projects").status_code == 200
    body: dict[str, Any] = {"config": {}}
    assert_problem(post(client, "/projects/sandbox/run-validations", body), 403)
    client.get("/api/v1/docs")  # sets the token's cookie
    token = client.cookies["csrftoken"].value
    response = client.post(
        "/api/v1/projects/sandbox/run-validations",
        body,
        content_type="application/json",
        headers={"x-csrftoken": token},
    )
    assert response.status_code == 200


def test_a_key_needs_no_token(people: dict[str, User], project: Project) -> None:
    _, text = create_api_key(user=people["viewer"], name="k")
    client = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {text}"})
    assert post(client, "/projects/sandbox/run-validations", {"config": {}}).status_code == 200


def test_nobody_is_told_to_sign_in_rather_than_sent_to_a_form(db: None) -> None:
    client = Client(enforce_csrf_checks=True)
    assert_problem(get(client, "/projects"), 401)
    assert_problem(post(client, "/projects/sandbox/runs", {}), 401)
