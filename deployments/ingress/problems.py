"""Problem documents (RFC 9457): the one place where an exception becomes an HTTP answer.

What lives here: the translation and the document. What does not: the errors themselves
(`clearcast/errors.py`) and their description for readers (`error_pages.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import compile_path

from clearcast.errors import (
    Cancelled,
    ClearCastError,
    InputError,
    MethodNotAllowed,
    NotFound,
    OptionInvalid,
    RangeWrong,
    RateLimited,
    RequestMalformed,
    Unauthenticated,
)
from deployments.ingress.uploads import is_disk_full, storage_full

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5  # where the error itself does not know
ERRORS_PAGE = "/docs/errors"

# Paths whose callers use the OpenAI SDK, which reads its own shape of an error from "error".
OPENAI_PATHS = ("/v1/audio/", "/v1/models")

# Paths of tus 1.0.0, whose every answer names the version.
TUS_PATHS = "/v1/uploads"
TUS_VERSION = "1.0.0"

# Pages that people open: a browser that is asked for "Basic" lets them type the key as the password.
PAGES = ("/docs", "/openapi.json", "/metrics")

REQUEST_ID = "request_id"
PROBLEM_CODE = "problem_code"


class Problem(BaseModel):
    """What went wrong, for people and for programs."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Address of the description of this kind of problem.")
    title: str = Field(description="The kind of problem, the same every time.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What went wrong this time.")
    code: str = Field(description="Stable name of the problem, for programs.")
    hint: str | None = Field(default=None, description="What can be done about it.")
    retryable: bool = Field(description="True when the same request may succeed later.")
    request_id: str = Field(description="Name of this request in the server's log.")


def install(app: FastAPI) -> None:
    """Answer the expected exceptions of `app` with problem documents; `FrontDoor` answers the others."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        return problem_response(request.scope, error)

    for kind in (ClearCastError, RequestValidationError, HTTPException, ClientDisconnect):
        app.add_exception_handler(kind, answer)


def problem_response(scope: Mapping[str, Any], error: Exception) -> JSONResponse:
    """The answer to `error` in the request of `scope`; failures of the server are logged here."""
    known = translated(error)
    document = _noted(scope, known, error)
    return JSONResponse(document, known.http_status, _headers(scope, known), media_type=MEDIA_TYPE)


def late_problem(scope: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    """The document for an error in the middle of an answer, whose status is out already."""
    return _noted(scope, translated(error), error)


def _noted(scope: Mapping[str, Any], known: ClearCastError, error: Exception) -> dict[str, Any]:
    """The document; the code goes to `FrontDoor`'s log and count.

    What is the server's fault is logged. An error of ours, raised on purpose, is named by its code alone;
    the way through the code is logged of the unexpected, be it what came out or what ours was made `from`.
    """
    state = scope["state"]
    state[PROBLEM_CODE] = known.code
    if known.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR and not known.retryable:
        logger.error(
            "request failed",
            extra={"request_id": state[REQUEST_ID], "code": known.code},
            exc_info=None if isinstance(error, ClearCastError) and error.__cause__ is None else error,
        )
    return problem_document(known, state[REQUEST_ID], openai=is_openai(scope["path"]))


def translated(error: Exception) -> ClearCastError:
    """The error of our tree that says what `error` means to the caller."""
    if isinstance(error, ClearCastError):
        return error
    if isinstance(error, RequestValidationError):
        return from_validation(error)
    if isinstance(error, ClientDisconnect):
        return Cancelled("The client went away.")
    if isinstance(error, HTTPException):
        return _from_http(error)
    if is_disk_full(error):
        return storage_full()
    return ClearCastError(
        "An unexpected error happened; it was logged.", hint="Tell the operator the request_id."
    )


def problem_document(error: ClearCastError, request_id: str, *, openai: bool = False) -> dict[str, Any]:
    """The document for `error`; with `openai` it also holds the shape that the OpenAI SDK shows."""
    document: dict[str, Any] = dict(error.fields)
    document.update(
        type=f"{ERRORS_PAGE}#{error.code}",
        title=error.title,
        status=error.http_status,
        detail=error.message,
        code=error.code,
        hint=error.hint,
        retryable=error.retryable,
        request_id=request_id,
    )
    if openai:
        caller = error.http_status < HTTPStatus.INTERNAL_SERVER_ERROR
        document["error"] = {
            "message": str(error),
            "type": "invalid_request_error" if caller else "server_error",
            "code": error.code,
            "param": error.fields.get("field"),
        }
    return document


def is_openai(path: str) -> bool:
    return path.startswith(OPENAI_PATHS)


def _headers(scope: Mapping[str, Any], error: ClearCastError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        scheme = "Basic" if scope["path"].startswith(PAGES) else "Bearer"
        headers["WWW-Authenticate"] = f'{scheme} realm="ClearCast"'  # RFC 7617 §2, RFC 6750 §3
    if "retry_after_s" in error.fields:
        headers["Retry-After"] = str(error.fields["retry_after_s"])
    elif error.retryable and error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, RateLimited) and "policy" in error.fields:
        # draft-ietf-httpapi-ratelimit-headers-10 §3, §4
        limit = error.fields
        headers["RateLimit-Policy"] = f'"{limit["policy"]}";q={limit["limit"]};w={limit["window_s"]}'
        headers["RateLimit"] = f'"{limit["policy"]}";r=0;t={limit["retry_after_s"]}'
    if isinstance(error, RangeWrong):
        headers["Content-Range"] = f"bytes */{error.fields['size_bytes']}"  # RFC 9110 §15.5.17
    if scope["path"].startswith(TUS_PATHS):
        headers |= {"Tus-Resumable": TUS_VERSION, "Tus-Version": TUS_VERSION}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(_methods_at(scope))  # RFC 9110 §15.5.6
    # The OpenAI SDK sends the whole recording again on any 5xx unless it is told that this is no use.
    headers["X-Should-Retry"] = "true" if error.retryable else "false"
    return headers


def _methods_at(scope: Mapping[str, Any]) -> list[str]:
    """The methods that any route answers at the path of `scope`; each route knows only its own."""
    methods: set[str] = set()
    for route in iter_route_contexts(scope["app"].routes):
        if route.path is not None and compile_path(route.path)[0].match(scope["path"]):
            methods |= route.methods or set()
    return sorted(methods)


def from_validation(error: RequestValidationError | ValidationError) -> OptionInvalid:
    """What is wrong with which field. The values stay out: they may be secret."""
    found = [{"field": _field_name(item["loc"]), "message": str(item["msg"])} for item in error.errors()]
    first = found[0] if found else {"field": "", "message": "The request is wrong"}
    return OptionInvalid(
        f"{first['field']}: {first['message']}." if first["field"] else f"{first['message']}.",
        field=first["field"],
        errors=found,
    )


def _field_name(location: tuple[Any, ...] | list[Any]) -> str:
    parts = [str(part) for part in location]
    if parts and parts[0] in {"query", "path", "header", "body"}:
        parts = parts[1:]
    return ".".join(parts)


def _from_http(error: HTTPException) -> ClearCastError:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NotFound("There is nothing at this address.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed("This address does not answer that method.", hint="See the Allow header.")
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        return Unauthenticated("The Authorization header cannot be read.")
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return RequestMalformed(str(error.detail))
    return InputError(str(error.detail))
