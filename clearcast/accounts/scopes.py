"""Scopes: what a key may do. `jobs:read`, `jobs:write`, …, and `*` for everything its owner may.

What lives here: their names, and which one a route needs. The noun is the second part of a route's address
(`/v1/jobs/{id}` → jobs), or the first where there is no second. A noun that is not in `NOUNS` is closed to
everybody until somebody decides that it is to be open. What does not: asking for them (`access.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from clearcast.errors import OptionInvalid

EVERYTHING = "*"
NOUNS = frozenset(
    {
        "audio",
        "audio-boost",
        "audit",
        "auth",
        "batches",
        "boosts",
        "classifications",
        "denoise",
        "diarizations",
        "docs",
        "enhancements",
        "extractions",
        "files",
        "friends",
        "jobs",
        "keys",
        "links",
        "live",
        "meetings",
        "metrics",
        "models",
        "pipelines",
        "presigned",
        "rooms",
        "search",
        "separations",
        "speaker-extraction",
        "transcripts",
        "uploads",
        "users",
        "vocal-separation",
        "voices",
        "webhooks",
    }
)
ACTIONS = ("read", "write")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_SCOPES = 2 * len(NOUNS) + 1


def needed_scope(method: str, route: str) -> str | None:
    """The scope that a request to the route with this address template needs; None: closed to all."""
    parts = [part for part in route.split("/") if part]
    noun = "" if not parts else parts[1] if parts[0] in {"v1", "api"} and len(parts) > 1 else parts[0]
    if noun == "openapi.json":
        noun = "docs"
    if noun not in NOUNS:
        return None
    return f"{noun}:{'read' if method.upper() in _READING else 'write'}"


def covers(scopes: Collection[str], wanted: Iterable[str]) -> bool:
    """Whether who has `scopes` may do all that is `wanted`."""
    return EVERYTHING in scopes or all(scope in scopes for scope in wanted)


def checked(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes sorted, each once. Raises OptionInvalid for one that there is not, or none at all."""
    found = sorted(set(scopes))
    for scope in found:
        noun, _, action = scope.partition(":")
        if scope != EVERYTHING and (noun not in NOUNS or action not in ACTIONS):
            raise OptionInvalid(
                f"There is no scope {scope[:64]!r}.",
                hint="Scopes are <noun>:read and <noun>:write, such as jobs:read, and * for everything.",
                field="scopes",
            )
    if not found or len(found) > _MAX_SCOPES:
        raise OptionInvalid("A key needs at least one scope.", hint="* is everything.", field="scopes")
    return tuple(found)
