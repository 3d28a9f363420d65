"""`/v1/auth` and `/login`: signing up, logging in and out, and what people do with their own account."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from clearcast.accounts.audit import EXPORTED
from clearcast.accounts.data_rights import Proof
from clearcast.accounts.passwords import MIN_CHARACTERS
from clearcast.accounts.tokens import TokenPair
from clearcast.accounts.users import MAX_NAME_CHARACTERS, Person
from clearcast.errors import (
    AccountLocked,
    Conflict,
    LogInFailed,
    OptionInvalid,
    Overloaded,
    ServiceUnavailable,
)
from deployments.ingress.access import PAGE_COOKIE, Caller, FewTries, Whole
from deployments.ingress.forms import json_body, parse_json
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State
from deployments.ingress.uploads import read_body

router = APIRouter(tags=["Accounts"])

MAX_BODY_BYTES = 16 << 10
_TOKENS: dict[str, Any] = {
    "access_token": "eyJhbGciOiJIUzI1NiJ9.e30.abc",
    "refresh_token": "4uXh…",
    "token_type": "Bearer",
    "expires_in": 900,
}


class NameAndPassword(BaseModel):
    """`POST /v1/auth/sign-up` and `/v1/auth/log-in`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "Sara", "password": "…"}}
    )

    name: str = Field(
        max_length=4 * MAX_NAME_CHARACTERS,
        description="The person's name; upper and lower case are the same.",
    )
    password: str = Field(description=f"At least {MIN_CHARACTERS} characters.")


class RefreshRequest(BaseModel):
    """`POST /v1/auth/refresh`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"refresh_token": "4uXh…"}})

    refresh_token: str = Field(max_length=200, description="As the last answer gave it; it works once.")


class PasswordChange(BaseModel):
    """`POST /v1/auth/password`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"old_password": "…", "new_password": "…"}}
    )

    old_password: str | None = Field(default=None, description="Not needed where there is none yet.")
    new_password: str = Field(description=f"At least {MIN_CHARACTERS} characters.")


class ErasureRequest(BaseModel):
    """`DELETE /v1/auth/me`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"password": "…"}})

    password: str | None = Field(default=None, description="Your password, if you have one.")
    confirm: str | None = Field(default=None, description="Your name, if you have no password.")


class TokensAnswer(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": _TOKENS})

    access_token: str = Field(description="For the Authorization header.")
    refresh_token: str = Field(description="Gets the next pair of tokens; works once.")
    token_type: str = "Bearer"  # noqa: S105 - RFC 6749 §5.1
    expires_in: int = Field(description="Seconds the access token works.")

    @classmethod
    def of(cls, pair: TokenPair) -> TokensAnswer:
        return cls(
            access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in_s
        )


class Account(BaseModel):
    """A person, as they and the admins see them."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "user_01k9zq3v5m8r2t4w6y8a0c2e4g",
                "name": "Sara",
                "is_admin": False,
                "is_disabled": False,
                "has_password": True,
                "created_at": "2026-01-31T09:00:00Z",
                "locked_until": None,
                "quota_bytes": 20000000000,
            }
        }
    )

    id: str
    name: str
    is_admin: bool
    is_disabled: bool
    has_password: bool
    created_at: datetime
    locked_until: datetime | None = Field(description="Until then no password is tried.")
    quota_bytes: int = Field(description="Bytes this person may keep.")

    @classmethod
    def of(cls, person: Person, default_quota_bytes: int) -> Account:
        return cls(
            id=person.id,
            name=person.name,
            is_admin=person.is_admin,
            is_disabled=person.is_disabled,
            has_password=person.has_password,
            created_at=person.created_at,
            locked_until=person.locked_until,
            quota_bytes=default_quota_bytes if person.quota_bytes is None else person.quota_bytes,
        )


class Me(Account):
    scopes: list[str] = Field(description="What the credential of this request allows; `*` is everything.")


class ErasedAccount(BaseModel):
    """What was erased. The audit log keeps the counts and the digest."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "user_01k9zq3v5m8r2t4w6y8a0c2e4g",
                "counts": {"files": 2, "jobs": 1, "keys": 1, "voices": 1},
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "erased_at": "2026-01-31T09:00:00Z",
            }
        }
    )

    id: str
    counts: dict[str, int] = Field(description="How many of each kind there were.")
    sha256: str = Field(description="SHA-256 over the ids and checksums of all of it.")
    erased_at: datetime

    @classmethod
    def of(cls, proof: Proof) -> ErasedAccount:
        return cls(id=proof.user_id, counts=proof.counts, sha256=proof.sha256, erased_at=proof.erased_at)


@router.post(
    "/v1/auth/sign-up",
    status_code=201,
    operation_id="signUp",
    summary="Make an account",
    responses=problems(Conflict, Overloaded),
    openapi_extra=json_body(NameAndPassword.model_json_schema()),
    dependencies=[FewTries],
)
async def sign_up(request: Request, state: State) -> TokensAnswer:
    """Where the operator allows it (`accounts.sign_up`). Needs no credential; answers as log-in does."""
    body = parse_json(NameAndPassword, await read_body(request, MAX_BODY_BYTES))
    person = await state.passwords.run(state.accounts.users.sign_up, body.name, body.password)
    return TokensAnswer.of(await asyncio.to_thread(state.accounts.tokens.open, person.id))


@router.post(
    "/v1/auth/log-in",
    operation_id="logIn",
    summary="Log in with name and password",
    responses=problems(LogInFailed, AccountLocked, Overloaded),
    openapi_extra=json_body(NameAndPassword.model_json_schema()),
    dependencies=[FewTries],
)
async def log_in(request: Request, state: State) -> TokensAnswer:
    """Gives a short access token and a refresh token. After too many wrong passwords: `account_locked`."""
    body = parse_json(NameAndPassword, await read_body(request, MAX_BODY_BYTES))
    accounts = state.accounts
    return TokensAnswer.of(
        await state.passwords.run(accounts.tokens.log_in, accounts.users, body.name, body.password)
    )


@router.post(
    "/v1/auth/refresh",
    operation_id="refreshTokens",
    summary="Get the next pair of tokens",
    responses=problems(),
    openapi_extra=json_body(RefreshRequest.model_json_schema()),
    dependencies=[FewTries],
)
async def refresh_tokens(request: Request, state: State) -> TokensAnswer:
    """Uses the refresh token up. One that comes a second time ends the whole log-in: it was stolen."""
    body = parse_json(RefreshRequest, await read_body(request, MAX_BODY_BYTES))
    return TokensAnswer.of(await asyncio.to_thread(state.accounts.tokens.refresh, body.refresh_token))


@router.post(
    "/v1/auth/log-out",
    status_code=204,
    operation_id="logOut",
    summary="End this log-in",
    responses=problems(),
)
async def log_out(caller: Caller, state: State) -> None:
    """The access token of this request, its refresh token and their successors are worthless then."""
    if caller.family_id is None:
        raise OptionInvalid("An API key cannot log out.", hint="Revoke it: DELETE /v1/keys/{id}")
    await asyncio.to_thread(state.accounts.tokens.close, caller.user_id, caller.family_id)


@router.get("/v1/auth/me", operation_id="readMe", summary="Who am I?", responses=problems())
async def read_me(caller: Caller, state: State) -> Me:
    """The account, and what the credential of this request allows."""
    person = await asyncio.to_thread(state.accounts.users.get, caller.user_id)
    account = Account.of(person, state.settings.storage.quota_bytes)
    return Me(**account.model_dump(), scopes=sorted(caller.scopes))


@router.post(
    "/v1/auth/password",
    status_code=204,
    operation_id="changePassword",
    summary="Change your password",
    responses=problems(LogInFailed, AccountLocked, Overloaded),
    openapi_extra=json_body(PasswordChange.model_json_schema()),
)
async def change_password(request: Request, caller: Whole, state: State) -> None:
    """Ends all of your log-ins, this one too. API keys go on working."""
    body = parse_json(PasswordChange, await read_body(request, MAX_BODY_BYTES))
    users = state.accounts.users
    person = await asyncio.to_thread(users.get, caller.user_id)
    if person.has_password:
        if body.old_password is None:
            raise OptionInvalid("The old password is needed.", field="old_password")
        await state.passwords.run(users.check_password, caller.user_id, body.old_password)
    await state.passwords.run(users.set_password, caller.user_id, body.new_password)


@router.get(
    "/v1/auth/me/export",
    operation_id="exportMe",
    summary="Download everything that is kept about you",
    response_class=Response,
    responses={
        **problems(ServiceUnavailable),
        200: {"content": {"application/zip": {}}, "description": "A zip archive, made while it is sent."},
    },
)
async def export_me(caller: Whole, state: State) -> StreamingResponse:
    """Account, files, jobs, transcripts, voices, friends and audit lines; no secrets.

    A key needs the scope `*`, since everything is in it.
    """
    await asyncio.to_thread(state.accounts.audit.note, EXPORTED, caller.user_id)
    headers = {"Content-Disposition": 'attachment; filename="clearcast-export.zip"'}
    pieces = state.accounts.export.pieces(caller.user_id)
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


@router.delete(
    "/v1/auth/me",
    operation_id="eraseMe",
    summary="Erase your account and everything in it, with proof",
    responses=problems(LogInFailed, AccountLocked, Conflict, Overloaded, ServiceUnavailable),
    openapi_extra=json_body(ErasureRequest.model_json_schema()),
)
async def erase_me(request: Request, caller: Whole, state: State) -> ErasedAccount:
    """Needs your password again or, where you have none, your name as `confirm`. There is no way back."""
    body = parse_json(ErasureRequest, await read_body(request, MAX_BODY_BYTES))
    users = state.accounts.users
    person = await asyncio.to_thread(users.get, caller.user_id)
    if person.has_password:
        if body.password is None:
            raise OptionInvalid("Your password is needed.", field="password")
        await state.passwords.run(users.check_password, caller.user_id, body.password)
    elif body.confirm != person.name:
        raise OptionInvalid("Your name is needed, as it is written.", field="confirm")
    return ErasedAccount.of(await asyncio.to_thread(state.accounts.rights.erase, caller.user_id))


@router.get("/login/{code}", include_in_schema=False, dependencies=[FewTries])
async def log_in_by_code(code: str, request: Request, state: State) -> RedirectResponse:
    """A one-time link, as `clearcast serve` and `clearcast users login-link` print it."""
    response = RedirectResponse("/docs", status_code=303)
    response.set_cookie(
        PAGE_COOKIE,
        await asyncio.to_thread(state.accounts.tokens.open_page, code),
        max_age=state.settings.accounts.refresh_token_s,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response
