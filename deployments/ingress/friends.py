"""`/v1/friends`: whom the caller is friends with. Answers tell nobody who exists or who blocked them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from clearcast.accounts.friends import Acquaintance
from clearcast.accounts.users import MAX_NAME_CHARACTERS
from clearcast.errors import Conflict, NotFound
from deployments.ingress.access import Owner
from deployments.ingress.forms import json_body, parse_json
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State
from deployments.ingress.uploads import read_body

router = APIRouter(prefix="/v1/friends", tags=["Friends"])

MAX_BODY_BYTES = 4096
_SARA: dict[str, Any] = {
    "id": "user_01k9zq3v5m8r2t4w6y8a0c2e4g",
    "name": "Sara",
    "since": "2026-01-31T09:00:00Z",
}


class FriendRequest(BaseModel):
    """`POST /v1/friends`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "Sara"}})

    name: str = Field(max_length=4 * MAX_NAME_CHARACTERS, description="Whom to ask.")


class Friend(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": _SARA})

    id: str
    name: str
    since: datetime

    @classmethod
    def of(cls, other: Acquaintance) -> Friend:
        return cls(id=other.id, name=other.name, since=other.since)


class FriendList(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"friends": [_SARA], "asking": [], "blocked": []}}
    )

    friends: list[Friend]
    asking: list[Friend] = Field(description="Those who wait for your answer.")
    blocked: list[Friend] = Field(description="Those whom you have blocked.")


class Asked(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"name": "Sara", "state": "asked"}})

    name: str
    state: Literal["asked"] = "asked"


@router.get("", operation_id="listFriends", summary="List your friends", responses=problems())
async def list_friends(owner: Owner, state: State) -> FriendList:
    """Friends, those who ask, and those you blocked. Requests that you have sent are not shown."""
    circle = await asyncio.to_thread(state.accounts.friends.circle, owner)
    return FriendList(
        friends=[Friend.of(other) for other in circle.friends],
        asking=[Friend.of(other) for other in circle.asking],
        blocked=[Friend.of(other) for other in circle.blocked],
    )


@router.post(
    "",
    status_code=202,
    operation_id="requestFriend",
    summary="Ask somebody to be friends",
    responses=problems(Conflict),
    openapi_extra=json_body(FriendRequest.model_json_schema()),
)
async def request_friend(request: Request, owner: Owner, state: State) -> Asked:
    """The answer is the same whether there is such a person or not. Who asks back accepts."""
    body = parse_json(FriendRequest, await read_body(request, MAX_BODY_BYTES))
    await asyncio.to_thread(state.accounts.friends.request, owner, body.name)
    return Asked(name=body.name)


@router.post(
    "/{user}/accept",
    status_code=204,
    operation_id="acceptFriend",
    summary="Become friends with somebody who asked",
    responses=problems(NotFound),
)
async def accept_friend(user: str, owner: Owner, state: State) -> None:
    """`user` is an id or, percent-encoded, a name, here and below."""
    await asyncio.to_thread(state.accounts.friends.accept, owner, user)


@router.post(
    "/{user}/block",
    status_code=204,
    operation_id="blockFriend",
    summary="Block somebody",
    responses=problems(),
)
async def block_friend(user: str, owner: Owner, state: State) -> None:
    """They cannot tell: to them it looks as if you were not friends and had not answered."""
    await asyncio.to_thread(state.accounts.friends.block, owner, user)


@router.post(
    "/{user}/unblock",
    status_code=204,
    operation_id="unblockFriend",
    summary="Unblock somebody",
    responses=problems(),
)
async def unblock_friend(user: str, owner: Owner, state: State) -> None:
    """You are not friends by that; either may ask again."""
    await asyncio.to_thread(state.accounts.friends.unblock, owner, user)


@router.delete(
    "/{user}",
    status_code=204,
    operation_id="removeFriend",
    summary="End a friendship, or take back a request",
    responses=problems(),
)
async def remove_friend(user: str, owner: Owner, state: State) -> None:
    """Also turns down somebody who asks. The answer is the same when there was nothing to end."""
    await asyncio.to_thread(state.accounts.friends.remove, owner, user)
