"""`/v1/users` and `/v1/audit`: what admins see of people, and everybody of themselves."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from clearcast.accounts.audit import Line
from clearcast.accounts.principal import Principal
from clearcast.accounts.users import MAX_NAME_CHARACTERS
from clearcast.errors import Conflict, Forbidden, NotFound, OptionInvalid, Overloaded, ServiceUnavailable
from deployments.ingress.access import Admin, Caller
from deployments.ingress.auth import Account, ErasedAccount
from deployments.ingress.forms import json_body, parse_json
from deployments.ingress.keys import Id
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State
from deployments.ingress.uploads import read_body

router = APIRouter(tags=["Users"])

MAX_BODY_BYTES = 16 << 10
MAX_QUOTA_BYTES = 1 << 62

Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]


class NewUser(BaseModel):
    """`POST /v1/users`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "Sara", "password": "…"}}
    )

    name: str = Field(max_length=4 * MAX_NAME_CHARACTERS, description="Unique without regard to case.")
    password: str | None = Field(
        default=None, description="Without one: keys, or `clearcast users login-link`."
    )
    is_admin: bool = Field(default=False, description="Whether this person may do what is done here.")


class UserChange(BaseModel):
    """`PATCH /v1/users/{id}`; what is not given stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"is_disabled": True}})

    is_admin: bool | None = Field(default=None, description="Admin or not.")
    is_disabled: bool | None = Field(default=None, description="A disabled person cannot do anything.")
    quota_bytes: int | None = Field(
        default=None, ge=0, le=MAX_QUOTA_BYTES, description="Bytes to keep; null: what the settings say."
    )
    password: str | None = Field(default=None, description="A new password; ends all log-ins.")


class UserPage(BaseModel):
    users: list[Account]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class AuditEntry(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 7,
                "at": "2026-01-31T09:00:00Z",
                "user_id": "user_01k9zq3v5m8r2t4w6y8a0c2e4g",
                "event": "key_made",
                "facts": {"key_id": "key_01k9zq3v5m8r2t4w6y8a0c2e4g"},
            }
        }
    )

    id: int
    at: datetime
    user_id: str | None = Field(description="Whom it is about; null for a log-in under an unknown name.")
    event: str
    facts: dict[str, Any]

    @classmethod
    def of(cls, line: Line) -> AuditEntry:
        return cls(id=line.id, at=line.at, user_id=line.owner_id, event=line.event, facts=line.facts)


class AuditPage(BaseModel):
    lines: list[AuditEntry]
    next_cursor: str | None = Field(description="For the next page, of older lines; null on the last one.")


@router.get("/v1/users", operation_id="listUsers", summary="List people", responses=problems())
async def list_users(
    _admin: Admin,
    state: State,
    limit: Limit = 50,
    cursor: Annotated[
        str | None, Query(max_length=64, pattern=r"^[a-z0-9_]+$", description="`next_cursor` of a page.")
    ] = None,
) -> UserPage:
    """For admins. Everybody who has an account, oldest first."""
    people = await asyncio.to_thread(state.accounts.users.list, cursor, limit + 1)
    quota_bytes = state.settings.storage.quota_bytes
    shown = [Account.of(person, quota_bytes) for person in people[:limit]]
    return UserPage(users=shown, next_cursor=shown[-1].id if len(people) > limit else None)


@router.post(
    "/v1/users",
    status_code=201,
    operation_id="createUser",
    summary="Make an account for somebody",
    responses=problems(Conflict, Overloaded),
    openapi_extra=json_body(NewUser.model_json_schema()),
)
async def create_user(request: Request, admin: Admin, state: State) -> Account:
    """For admins, whatever `accounts.sign_up` says; a key needs the scope `*`."""
    _assert_whole(admin)
    body = parse_json(NewUser, await read_body(request, MAX_BODY_BYTES))
    create = partial(state.accounts.users.create, body.name, body.password, is_admin=body.is_admin)
    person = await state.passwords.run(create)
    return Account.of(person, state.settings.storage.quota_bytes)


@router.patch(
    "/v1/users/{user_id}",
    operation_id="changeUser",
    summary="Disable or enable somebody, set a quota or a password",
    responses=problems(NotFound, Conflict, Overloaded),
    openapi_extra=json_body(UserChange.model_json_schema()),
)
async def change_user(user_id: Id, request: Request, admin: Admin, state: State) -> Account:
    """For admins; to make an admin or set a password, a key needs the scope `*`."""
    body = parse_json(UserChange, await read_body(request, MAX_BODY_BYTES))
    if body.is_admin is not None or body.password is not None:
        _assert_whole(admin)
    users = state.accounts.users
    if body.password is not None:
        await state.passwords.run(users.set_password, user_id, body.password)
    person = await asyncio.to_thread(
        users.change,
        user_id,
        is_admin=body.is_admin,
        is_disabled=body.is_disabled,
        quota_bytes=body.quota_bytes,
        has_own_quota=body.quota_bytes is not None if "quota_bytes" in body.model_fields_set else None,
    )
    return Account.of(person, state.settings.storage.quota_bytes)


@router.delete(
    "/v1/users/{user_id}",
    operation_id="eraseUser",
    summary="Erase somebody and everything of theirs, with proof",
    responses=problems(NotFound, Conflict, ServiceUnavailable),
)
async def erase_user(user_id: Id, admin: Admin, state: State) -> ErasedAccount:
    """For admins; a key needs the scope `*`. There is no way back."""
    _assert_whole(admin)
    return ErasedAccount.of(await asyncio.to_thread(state.accounts.rights.erase, user_id))


@router.get("/v1/audit", operation_id="readAudit", summary="Read the audit log", responses=problems())
async def read_audit(
    caller: Caller,
    state: State,
    everybody: Annotated[bool, Query(description="Also other people's lines; for admins.")] = False,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=20, description="`next_cursor` of a page.")] = None,
) -> AuditPage:
    """Your own lines, newest first: log-ins, keys, changes of the account. No names, no addresses."""
    if everybody and not caller.is_admin:
        raise Forbidden("Only an admin may see other people's lines.")
    owner = None if everybody else caller.user_id
    before = None if cursor is None else _line_number(cursor)
    lines = await asyncio.to_thread(state.accounts.audit.page, owner, before, limit + 1)
    shown = [AuditEntry.of(line) for line in lines[:limit]]
    return AuditPage(lines=shown, next_cursor=str(shown[-1].id) if len(lines) > limit else None)


def _assert_whole(admin: Principal) -> None:
    # With less, a key could make itself a person who may do more than it may.
    if not admin.is_whole:
        raise Forbidden("This key may not do that.", hint="It needs the scope *.", scope="*")


def _line_number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and int(cursor) < 1 << 63):
        raise OptionInvalid("This is not a cursor of this list.", field="cursor")
    return int(cursor)
