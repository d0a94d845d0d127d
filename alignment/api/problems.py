"""Every failure as a problem of RFC 9457: `application/problem+json`, whoever noticed it."""

import logging
from collections.abc import Sequence
from functools import wraps
from http import HTTPStatus
from typing import Any, Protocol
from uuid import uuid4

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError, ValidationError

from alignment.importing.rows import Unreadable
from alignment.method.errors import MoraError
from alignment.permissions import Denied, Outsider
from alignment.services.answers import BadAnswer
from alignment.services.imports import BadRows
from alignment.services.runs import BadConfig
from alignment.services.uploads import TooLarge

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


class FieldError(Schema):
    """What is wrong with one value; `path` is where it stands, such as `config.sample.n`."""

    path: str
    message: str


class Problem(Schema):
    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] | None = None
    request_id: str | None = None


class View(Protocol):
    def __call__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase: ...


def problem(
    request: HttpRequest,
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    request_id: str | None = None,
) -> HttpResponse:
    """A problem as a response."""
    body = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.path,
        errors=list(errors) or None,
        request_id=request_id,
    )
    content = body.model_dump_json(exclude_none=True)
    response = HttpResponse(content, status=status, content_type=MEDIA_TYPE)
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Bearer"
    return response


def told_as_problem(view: View) -> View:
    """The view with those of its failures that ninja leaves to Django, such as a wrong method."""

    @wraps(view)
    def told(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = view(request, *args, **kwargs)
        except Http404:
            return problem(request, 404, "there is nothing at this address")
        if response.status_code == 405:
            allowed = response["Allow"]
            response = problem(request, 405, f"this address takes {allowed} only")
            response["Allow"] = allowed
        return response

    return told


def add_handlers(api: NinjaAPI) -> None:
    """Answer each kind of exception with its problem."""
    handlers: dict[type[Exception], Any] = {
        Http404: _missing,
        HttpError: _http,
        ValidationError: _invalid,
        BadConfig: _bad_config,
        BadRows: _bad_rows,
        TooLarge: lambda request, error: problem(request, 413, str(error)),
        Unreadable: lambda request, error: problem(request, 422, str(error)),
        BadAnswer: lambda request, error: problem(request, 422, str(error)),
        Outsider: _missing,
        Denied: lambda request, error: problem(request, 403, str(error)),
        MoraError: lambda request, error: problem(request, 409, str(error)),
        IntegrityError: _conflict,
        SuspiciousOperation: _suspicious,
        Exception: _defect,
    }
    for kind, handler in handlers.items():
        api.add_exception_handler(kind, handler)


def _missing(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem(request, 404, "there is no such thing, or you are no member of its project")


def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
    detail = str(error)
    if error.status_code == 401:
        detail = "sign in, or send an API key as `Authorization: Bearer mora_...`"
    elif error.status_code == 400 and error.__cause__ is not None:
        detail = f"the body cannot be read as JSON: {error.__cause__}"
    return problem(request, error.status_code, detail)


def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [FieldError(path=_path(e["loc"]), message=e["msg"]) for e in error.errors]
    return problem(request, 422, "some values cannot be used", errors=errors)


def _path(location: Sequence[str | int]) -> str:
    """Where a value stands in the body, path or query, without ninja's names for its holder."""
    source, *rest = location
    return ".".join(map(str, rest[1:] if source == "body" else rest)) or str(source)


def _bad_config(request: HttpRequest, error: BadConfig) -> HttpResponse:
    errors = [FieldError(path=f"config.{p}", message=text) for p, text in error.errors.items()]
    return problem(request, 422, "the configuration cannot run", errors=errors)


def _bad_rows(request: HttpRequest, error: BadRows) -> HttpResponse:
    unit, first = error.problems.unit, error.problems.first
    errors = [FieldError(path=f"{unit} {row.line}", message=row.reason) for row in first]
    return problem(request, 422, str(error), errors=errors)


def _conflict(request: HttpRequest, error: IntegrityError) -> HttpResponse:
    log.warning("a request conflicts with what is stored: %s", error)
    return problem(request, 409, "this conflicts with what is stored already")


def _suspicious(request: HttpRequest, error: SuspiciousOperation) -> HttpResponse:
    if isinstance(error, RequestDataTooBig):
        return problem(request, 413, "the body is too large")
    return problem(request, 400, "the request cannot be served")


def _defect(request: HttpRequest, error: Exception) -> HttpResponse:
    request_id = uuid4().hex
    log.error("request %s to %s failed", request_id, request.path, exc_info=error)
    return problem(request, 500, "the server failed; its log says why", request_id=request_id)
