"""Who asks: the holder of an API key, or a signed-in person whose page sent the CSRF token."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.errors import AuthenticationError
from ninja.security import APIKeyCookie, HttpBearer

from alignment.services.keys import user_of


class Request(HttpRequest):
    """A request whose sender is known."""

    auth: User


class ApiKeyAuth(HttpBearer):
    """`Authorization: Bearer mora_<prefix>_<secret>`; a wrong key never falls back to a session."""

    def __call__(self, request: HttpRequest) -> Any | None:
        if "Authorization" not in request.headers:
            return None
        user = super().__call__(request)
        if user is None:
            raise AuthenticationError
        return user

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        return user_of(token)


class SessionAuth(APIKeyCookie):
    """A signed-in person's session; what changes anything needs the CSRF token too."""

    param_name = "sessionid"

    def __call__(self, request: HttpRequest) -> Any | None:
        return super().__call__(request) if request.user.is_authenticated else None

    def authenticate(self, request: HttpRequest, key: str | None) -> Any | None:
        return request.user
