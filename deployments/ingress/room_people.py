"""`/v1/rooms/{room_id}/invites` and `…/tokens`: whom a room's owner lets in.

Answers tell nobody who exists: an invitation is listed as it was written, whether somebody is called so or
not. What does not live here: who then comes in (`clearcast/accounts/room_access.py`).
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from clearcast.errors import Conflict, NotFound
from clearcast.storage.rooms import RoomRecords
from deployments.ingress.access import Owner
from deployments.ingress.forms import json_body, parse_json
from deployments.ingress.problem_docs import problems
from deployments.ingress.room_answers import (
    GuestAnswer,
    GuestList,
    MadeRoomToken,
    NewRoomToken,
    RoomTokenAnswer,
    RoomTokenList,
)
from deployments.ingress.rooms import RoomId
from deployments.ingress.state import IngressState, State
from deployments.ingress.uploads import read_body

router = APIRouter(prefix="/v1/rooms/{room_id}", tags=["Rooms"])

MAX_BODY_BYTES = 4096

TokenId = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9_]+$")]


@router.get(
    "/invites", operation_id="listInvites", summary="List invitations", responses=problems(NotFound)
)
async def list_invites(room_id: RoomId, owner: Owner, state: State) -> GuestList:
    """As they were written: a name here says nothing about whether somebody is called so."""
    guests = await asyncio.to_thread(RoomRecords(state.database).guests, owner, room_id)
    return GuestList(invites=[GuestAnswer.of(guest) for guest in guests])


@router.put(
    "/invites/{user}",
    status_code=204,
    operation_id="inviteGuest",
    summary="Invite somebody",
    responses=problems(NotFound),
)
async def invite_guest(room_id: RoomId, user: str, owner: Owner, state: State) -> Response:
    """`user` is an id or, percent-encoded, a name. It counts while the visibility is `invited`."""
    user_id = await asyncio.to_thread(_id_of, state, user)
    await asyncio.to_thread(RoomRecords(state.database).invite, owner, room_id, user, user_id)
    return Response(status_code=204)


@router.delete(
    "/invites/{user}",
    status_code=204,
    operation_id="removeInvite",
    summary="Take an invitation back",
    responses=problems(NotFound),
)
async def remove_invite(room_id: RoomId, user: str, owner: Owner, state: State) -> Response:
    """Who came in by it is sent away within a second. The answer is the same when there was none."""
    user_id = await asyncio.to_thread(_id_of, state, user)
    await asyncio.to_thread(RoomRecords(state.database).uninvite, owner, room_id, user, user_id)
    return Response(status_code=204)


@router.get(
    "/tokens", operation_id="listRoomTokens", summary="List room tokens", responses=problems(NotFound)
)
async def list_room_tokens(room_id: RoomId, owner: Owner, state: State) -> RoomTokenList:
    """Those that still let somebody in, oldest first."""
    records = await asyncio.to_thread(state.accounts.room_tokens.list, owner, room_id)
    return RoomTokenList(tokens=[RoomTokenAnswer.of(record) for record in records])


@router.post(
    "/tokens",
    status_code=201,
    operation_id="createRoomToken",
    summary="Make a room token",
    responses=problems(NotFound, Conflict),
    openapi_extra=json_body(NewRoomToken.model_json_schema()),
)
async def create_room_token(room_id: RoomId, request: Request, owner: Owner, state: State) -> MadeRoomToken:
    """For a person or a program without an account; whoever has it may enter this one room."""
    body = parse_json(NewRoomToken, await read_body(request, MAX_BODY_BYTES))
    record, token = await asyncio.to_thread(
        lambda: state.accounts.room_tokens.create(
            owner, room_id, body.role, lasts_s=body.lasts_s, label=body.label
        )
    )
    return MadeRoomToken.of(record, token=token)


@router.delete(
    "/tokens/{token_id}",
    status_code=204,
    operation_id="revokeRoomToken",
    summary="Revoke a room token",
    responses=problems(NotFound),
)
async def revoke_room_token(room_id: RoomId, token_id: TokenId, owner: Owner, state: State) -> Response:
    """It lets nobody in any more; who came in by it is sent away within a second."""
    await asyncio.to_thread(state.accounts.room_tokens.revoke, owner, room_id, token_id)
    return Response(status_code=204)


def _id_of(state: IngressState, name_or_id: str) -> str | None:
    try:
        return state.accounts.users.find(name_or_id).id
    except NotFound:
        return None
