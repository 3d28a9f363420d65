"""`/v1/keys`: the caller's API keys."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from clearcast.accounts.api_keys import MAX_LABEL_CHARACTERS, KeyRecord
from clearcast.accounts.principal import Principal
from clearcast.accounts.scopes import checked, covers
from clearcast.errors import Forbidden, NotFound
from deployments.ingress.access import Caller, Owner
from deployments.ingress.forms import json_body, parse_json
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State
from deployments.ingress.uploads import read_body

router = APIRouter(prefix="/v1/keys", tags=["Accounts"])

MAX_BODY_BYTES = 16 << 10

Id = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9_]+$")]
_KEY: dict[str, Any] = {
    "id": "key_01k9zq3v5m8r2t4w6y8a0c2e4g",
    "label": "the newsroom's script",
    "scopes": ["jobs:read", "jobs:write"],
    "created_at": "2026-01-31T09:00:00Z",
    "expires_at": None,
    "last_used_at": "2026-01-31T10:00:00Z",
}


class NewKey(BaseModel):
    """`POST /v1/keys`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"label": "the newsroom's script", "scopes": ["jobs:write"]}},
    )

    label: str = Field(default="", max_length=MAX_LABEL_CHARACTERS, description="What the key is for.")
    scopes: list[str] | None = Field(
        default=None,
        max_length=200,
        description="`<noun>:read`, `<noun>:write` or `*`; those of this request when not given.",
    )
    expires_at: AwareDatetime | None = Field(default=None, description="When the key ends by itself.")


class KeySummary(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": _KEY})

    id: str
    label: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")

    @classmethod
    def of(cls, record: KeyRecord) -> KeySummary:
        return cls(
            id=record.id,
            label=record.label,
            scopes=list(record.scopes),
            created_at=record.created_at,
            expires_at=record.expires_at,
            last_used_at=record.last_used_at,
        )


class KeyList(BaseModel):
    keys: list[KeySummary]


class MadeKey(KeySummary):
    model_config = ConfigDict(json_schema_extra={"example": {**_KEY, "last_used_at": None, "key": "cc_…"}})

    key: str = Field(description="The key itself, this once: it cannot be had again.")


@router.get("", operation_id="listKeys", summary="List your API keys", responses=problems())
async def list_keys(owner: Owner, state: State) -> KeyList:
    """What is known of them without the keys, oldest first."""
    records = await asyncio.to_thread(state.accounts.keys.list, owner)
    return KeyList(keys=[KeySummary.of(record) for record in records])


@router.post(
    "",
    status_code=201,
    operation_id="createKey",
    summary="Make an API key",
    responses=problems(),
    openapi_extra=json_body(NewKey.model_json_schema()),
)
async def create_key(request: Request, caller: Caller, state: State) -> MadeKey:
    """A key made with a key can do no more, and lives no longer, than that one."""
    body = parse_json(NewKey, await read_body(request, MAX_BODY_BYTES))
    scopes = checked(caller.scopes if body.scopes is None else body.scopes)
    _assert_not_wider(caller, scopes, body.expires_at)
    record, key = await asyncio.to_thread(
        state.accounts.keys.create, caller.user_id, body.label, scopes, body.expires_at
    )
    return MadeKey(**KeySummary.of(record).model_dump(), key=key)


@router.delete(
    "/{key_id}",
    status_code=204,
    operation_id="revokeKey",
    summary="Revoke an API key",
    responses=problems(NotFound),
)
async def revoke_key(key_id: Id, owner: Owner, state: State) -> None:
    """It is worthless from now on: here at once, on other replicas within five seconds."""
    await asyncio.to_thread(state.accounts.keys.revoke, owner, key_id)


def _assert_not_wider(caller: Principal, scopes: tuple[str, ...], expires_at: datetime | None) -> None:
    if not covers(caller.scopes, scopes):
        raise Forbidden("A key cannot make one that may do more.", hint="Leave out some scopes.")
    last = caller.expires_at if caller.kind == "key" else None
    if last is not None and (expires_at is None or expires_at > last):
        raise Forbidden("A key cannot make one that lives longer.", hint="Give an earlier expires_at.")
