"""Scopes: which one a route needs, and what is closed."""

from __future__ import annotations

import pytest

from clearcast.accounts.scopes import checked, covers, needed_scope
from clearcast.errors import OptionInvalid


@pytest.mark.parametrize(
    ("method", "route", "scope"),
    [
        ("GET", "/v1/jobs/{id}", "jobs:read"),
        ("HEAD", "/v1/uploads/{id}", "uploads:read"),
        ("OPTIONS", "/v1/uploads", "uploads:read"),
        ("POST", "/v1/jobs", "jobs:write"),
        ("PATCH", "/v1/uploads/{id}", "uploads:write"),
        ("DELETE", "/v1/voices/{name:path}", "voices:write"),
        ("POST", "/v1/audio/transcriptions", "audio:write"),
        ("POST", "/api/denoise/upload/", "denoise:write"),
        ("GET", "/metrics", "metrics:read"),
        ("GET", "/docs/errors", "docs:read"),
        ("GET", "/openapi.json", "docs:read"),
        ("GET", "/v1/surprises", None),
        ("GET", "/", None),
        ("GET", "/v1", None),
    ],
)
def test_a_route_needs_the_scope_of_its_noun(method: str, route: str, scope: str | None) -> None:
    assert needed_scope(method, route) == scope


def test_reading_is_not_writing_and_everything_is_both() -> None:
    assert covers({"*"}, ["jobs:read", "*"])
    assert covers({"jobs:read", "jobs:write"}, ["jobs:read"])
    assert not covers({"jobs:read"}, ["jobs:write"])
    assert not covers({"jobs:write"}, ["jobs:read"])
    assert not covers({"jobs:read"}, ["*"])


@pytest.mark.parametrize("scopes", [[], ["jobs"], ["jobs:"], ["jobs:all"], ["x:read"], ["*:read"], [""]])
def test_scopes_that_there_are_not_are_refused(scopes: list[str]) -> None:
    with pytest.raises(OptionInvalid):
        checked(scopes)
