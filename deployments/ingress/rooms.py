"""`/v1/rooms`: making, listing, changing, ending and erasing live rooms.

What lives here: the rooms themselves. What does not: invitations and tokens (`room_people.py`), recordings
(`room_memories.py`), and everything live (`deployments/live`), whose gateway answers these addresses too.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from clearcast.accounts.audit import ROOM_ERASED
from clearcast.accounts.room_access import Visitor
from clearcast.errors import Conflict, NotFound
from clearcast.storage.room_nodes import RoomNodes
from clearcast.storage.room_recordings import RoomRecordings
from clearcast.storage.rooms import RoomChange, RoomPlan, RoomRecord, RoomRecords
from deployments.ingress.access import Caller, Owner
from deployments.ingress.forms import json_body, parse_json
from deployments.ingress.problem_docs import problems
from deployments.ingress.room_answers import NewRoom, RoomAnswer, RoomList, RoomPatch, live_url_of
from deployments.ingress.state import IngressState, State
from deployments.ingress.tus_parts import intake_of
from deployments.ingress.uploads import read_body

router = APIRouter(prefix="/v1/rooms", tags=["Rooms"])

MAX_BODY_BYTES = 16 << 10
MAX_PAGE = 200

RoomId = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9_]+$")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many on a page.")]
After = Annotated[str | None, Query(max_length=64, description="`next` of the page before.")]


@router.post(
    "",
    status_code=201,
    operation_id="createRoom",
    summary="Make a live room",
    responses=problems(Conflict),
    openapi_extra=json_body(NewRoom.model_json_schema()),
)
async def create_room(request: Request, response: Response, owner: Owner, state: State) -> RoomAnswer:
    """Nobody is in it yet: it goes live when somebody joins at `live_url`."""
    body = parse_json(NewRoom, await read_body(request, MAX_BODY_BYTES))
    values = body.model_dump(exclude={"password", "denoise"})
    denoise = body.sound == "speech" if body.denoise is None else body.denoise
    password_hash = await _hash(state, body.password)
    plan = RoomPlan(**values, password_hash=password_hash, denoise=denoise)
    room = await asyncio.to_thread(RoomRecords(state.database).create, owner, plan)
    response.headers["Location"] = f"{router.prefix}/{room.id}"
    return await _answer(state, owner, room)


@router.get("", operation_id="listRooms", summary="List live rooms", responses=problems())
async def list_rooms(
    owner: Owner,
    state: State,
    whose: Annotated[
        Literal["mine", "others"],
        Query(description="Yours, ended ones too; or open ones of others that you may enter."),
    ] = "mine",
    limit: Limit = 50,
    after: After = None,
) -> RoomList:
    """The newest first. Rooms of others with a password are in no list: who knows their id finds them."""
    records = RoomRecords(state.database)
    look = records.list if whose == "mine" else records.visible
    found = await asyncio.to_thread(look, owner, limit=limit + 1, after=after)
    page = found[:limit]
    return RoomList(
        rooms=await _answers(state, owner, page), next=page[-1].id if len(found) > limit else None
    )


@router.get(
    "/{room_id}", operation_id="describeRoom", summary="Describe a room", responses=problems(NotFound)
)
async def describe_room(room_id: RoomId, caller: Caller, state: State) -> RoomAnswer:
    """One of yours, or one that you may enter, be it with its password."""
    room = await asyncio.to_thread(state.accounts.rooms.look, room_id, Visitor.of(caller))
    return await _answer(state, caller.user_id, room)


@router.patch(
    "/{room_id}",
    operation_id="changeRoom",
    summary="Change a room",
    responses=problems(NotFound, Conflict),
    openapi_extra=json_body(RoomPatch.model_json_schema()),
)
async def change_room(room_id: RoomId, request: Request, owner: Owner, state: State) -> RoomAnswer:
    """Who may no longer be there is sent away; sound and frames change when the room next goes live."""
    body = parse_json(RoomPatch, await read_body(request, MAX_BODY_BYTES))
    password_hash = await _hash(state, body.password)
    change = RoomChange(**body.model_dump(exclude={"password"}), password_hash=password_hash)
    room = await asyncio.to_thread(RoomRecords(state.database).change, owner, room_id, change)
    return await _answer(state, owner, room)


@router.post("/{room_id}/end", operation_id="endRoom", summary="End a room", responses=problems(NotFound))
async def end_room(room_id: RoomId, owner: Owner, state: State) -> RoomAnswer:
    """Everybody is sent away, nobody comes in any more; what was recorded stays."""
    room = await asyncio.to_thread(RoomRecords(state.database).end, owner, room_id)
    return await _answer(state, owner, room)


@router.delete(
    "/{room_id}",
    status_code=204,
    operation_id="deleteRoom",
    summary="End a room, or erase it",
    responses=problems(NotFound),
)
async def delete_room(
    room_id: RoomId,
    owner: Owner,
    state: State,
    erase: Annotated[bool, Query(description="Forget it with its recordings and tokens.")] = False,
) -> Response:
    """Without `erase` as `POST /v1/rooms/{room_id}/end`. Jobs that were made of it stay."""
    await asyncio.to_thread(RoomRecords(state.database).end, owner, room_id)
    if erase:
        recordings = RoomRecordings(state.database)
        await asyncio.to_thread(recordings.erase_room, intake_of(state), owner, room_id)
        await asyncio.to_thread(state.accounts.audit.note, ROOM_ERASED, owner, room_id=room_id)
    return Response(status_code=204)


async def _hash(state: IngressState, password: str | None) -> str | None:
    if password is None:
        return None
    return await state.passwords.run(state.accounts.rooms.hash_password, password)


async def _answer(state: IngressState, viewer_id: str, room: RoomRecord) -> RoomAnswer:
    [answer] = await _answers(state, viewer_id, (room,))
    return answer


async def _answers(state: IngressState, viewer_id: str, rooms: tuple[RoomRecord, ...]) -> list[RoomAnswer]:
    live = state.settings.live
    own_url = live.url if live.enabled else None
    nodes = {}
    if own_url is not None and any(room.node_id for room in rooms):
        nodes = await asyncio.to_thread(RoomNodes(state.database).urls)
    return [RoomAnswer.of(room, viewer_id, live_url_of(room, own_url, nodes)) for room in rooms]
