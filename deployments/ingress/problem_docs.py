"""What can go wrong with each route, for OpenAPI: every problem with an example, by status."""

from __future__ import annotations

from typing import Any

from clearcast.errors import (
    AccountLocked,
    AudioEmpty,
    AudioForbidden,
    AudioTooLong,
    AudioTruncated,
    AudioUnrecognised,
    ClearCastError,
    DecodeLimitExceeded,
    Forbidden,
    LanguageUnsupported,
    ModelCorrupt,
    ModelMissing,
    NotFound,
    OptionInvalid,
    Overloaded,
    RateLimited,
    RequestMalformed,
    ServiceTimeout,
    ServiceUnavailable,
    StorageFull,
    Unauthenticated,
    UploadStalled,
    UploadTooLarge,
)
from deployments.ingress.error_pages import reason_phrase
from deployments.ingress.problems import MEDIA_TYPE, problem_document

EVERYWHERE: tuple[type[ClearCastError], ...] = (
    Unauthenticated,
    Forbidden,
    OptionInvalid,
    RateLimited,
    ClearCastError,
)

AUDIO_PROBLEMS: tuple[type[ClearCastError], ...] = (
    AudioEmpty,
    AudioForbidden,
    AudioTooLong,
    AudioTruncated,
    AudioUnrecognised,
    DecodeLimitExceeded,
    LanguageUnsupported,
    ModelCorrupt,
    ModelMissing,
    NotFound,
    Overloaded,
    RequestMalformed,
    ServiceTimeout,
    ServiceUnavailable,
    StorageFull,
    UploadStalled,
    UploadTooLarge,
)
"""What every route that takes a recording may answer."""


def problems(*kinds: type[ClearCastError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may raise these, besides what any route may."""
    by_status: dict[int, list[type[ClearCastError]]] = {}
    for kind in dict.fromkeys((*kinds, *EVERYWHERE)):
        by_status.setdefault(kind.http_status, []).append(kind)
    return {status: _response(status, found) for status, found in sorted(by_status.items())}


def answers(*text_types: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that takes a recording and answers JSON or one of these types of text."""
    texts = {kind: {"schema": {"type": "string"}} for kind in text_types}
    return {**problems(*AUDIO_PROBLEMS), 200: {"content": texts}}


def _response(status: int, kinds: list[type[ClearCastError]]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "examples": {kind.code: {"summary": kind.title, "value": _example(kind)} for kind in kinds},
    }
    response: dict[str, Any] = {
        "description": f"{reason_phrase(status)}: {', '.join(f'`{kind.code}`' for kind in kinds)}",
        "content": {MEDIA_TYPE: content},
    }
    if any(issubclass(kind, Overloaded | AccountLocked) for kind in kinds):
        response["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        }
    return response


def _example(kind: type[ClearCastError]) -> dict[str, Any]:
    return problem_document(kind(f"{kind.title}."), "req_0123456789abcdef01234567")
