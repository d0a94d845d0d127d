"""The API as one object: its parser, its failures as problems, and its reference page.

Addresses are under `api/v1/`. The reference page and its schema hold no data, so they need no
sign-in; everything else needs a session or a key.
"""

import json
from typing import Any, NoReturn

from django.http import Http404, HttpRequest
from django.urls import URLPattern, URLResolver, re_path
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from ninja.parser import Parser

from alignment.api import ceilings, compare, desk, judges, projects, review_files, reviews, runs
from alignment.api.auth import ApiKeyAuth, SessionAuth
from alignment.api.problems import MEDIA_TYPE, Problem, add_handlers, told_as_problem
from alignment.importing.rows import flaw

DESCRIPTION = """
Send an API key (`manage.py create_api_key USER NAME`) as `Authorization: Bearer mora_...`, or use
the session of a signed-in page with its CSRF token in `X-CSRFToken`. Failures are problems of
RFC 9457. Lists come in parts: ask again with `after` = `next` until that is null.
"""
# What may go wrong with any request, by status; with a body also 400, 409 and 413.
FAILURES = {
    401: "no valid key or session",
    403: "your role in the project is too low, or the CSRF token is missing",
    404: "no such thing, or you are no member of its project",
    422: "a value cannot be used; `errors` says which and why",
    500: "the server failed; quote `request_id`",
}
BODY_FAILURES = {
    400: "the body is not JSON, or holds what cannot be stored",
    409: "the present state does not allow it",
    413: "the body is too large",
}


class StoredJson(Parser):
    """JSON without what the database cannot store: NUL, half surrogates, infinite numbers."""

    def parse_body(self, request: HttpRequest) -> Any:
        body = json.loads(request.body, parse_constant=_refuse)
        if reason := flaw({"body": body}):
            raise ValueError(reason)
        return body


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class Api(NinjaAPI):
    """NinjaAPI whose addresses answer with problems, and whose schema says so."""

    @property
    def urls(self) -> tuple[list[URLResolver | URLPattern], str, str]:
        patterns, app_name, namespace = super().urls
        patterns.append(re_path("", _nothing_here))
        for pattern in patterns:
            assert isinstance(pattern, URLPattern)
            pattern.callback = told_as_problem(pattern.callback)
            # Its own authentication answers 401, where the middleware would send to a form.
            pattern.callback.login_required = False  # type: ignore[attr-defined]
            pattern.callback.csrf_exempt = True  # type: ignore[attr-defined]
        return patterns, app_name, namespace

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        schema["components"]["schemas"]["Problem"] = Problem.model_json_schema(
            ref_template="#/components/schemas/{model}"
        )
        definitions = schema["components"]["schemas"]["Problem"].pop("$defs")
        schema["components"]["schemas"].update(definitions)
        for operations in schema["paths"].values():
            for method, operation in operations.items():
                failures = FAILURES | (BODY_FAILURES if method in ("post", "put") else {})
                operation["responses"].update({s: _failure(t) for s, t in failures.items()})
        return schema


def _failure(text: str) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": text, "content": content}


def _nothing_here(request: HttpRequest) -> NoReturn:
    raise Http404


api = Api(
    title="MORA console",
    version="1",
    description=DESCRIPTION,
    auth=[ApiKeyAuth(), SessionAuth()],
    parser=StoredJson(),
    urls_namespace="api-1",
)
add_handlers(api)
api.add_router("", projects.router)
api.add_router("", runs.router)
api.add_router("", ceilings.router)
api.add_router("", compare.router)
api.add_router("", judges.router)
api.add_router("", reviews.router)
api.add_router("", desk.router)
api.add_router("", review_files.router)
