"""`/ws/audio/<username>/`: the live room of the platform before this one.

What lives here: whose room it is and who may come in. What does not: the messages
(`streaming/legacy_messages.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from fastapi import APIRouter, WebSocket

from clearcast.accounts.friends import are_friends
from clearcast.errors import ClearCastError, Conflict, MessageMalformed, NotFound, Unauthenticated
from clearcast.storage.rooms import RoomPlan, RoomRecord
from deployments.live.sockets import SocketWire, bearer_of
from deployments.live.state import LiveState, live_state_of
from streaming.entry import Visit
from streaming.legacy_messages import Authenticate, legacy_message, read_legacy_message
from streaming.legacy_session import LegacyConversation
from streaming.outbox import Outbox
from streaming.session import JOIN_WITHIN_S
from streaming.wire import WireClosed, close_code

logger = logging.getLogger(__name__)

router = APIRouter()

ROOM_NAME = "live"


@router.websocket("/ws/audio/{username}/")
async def legacy_socket(socket: WebSocket, username: str) -> None:
    state = live_state_of(socket)
    await socket.accept()
    wire = SocketWire(socket)
    try:
        conversation = await _join(wire, state, username, bearer_of(socket))
    except WireClosed:
        return
    except ClearCastError as error:
        with contextlib.suppress(WireClosed):
            await wire.send(legacy_message("error", code=error.code, message=error.message))
        await wire.close(close_code(error))
        return
    await conversation.run()


async def _join(
    wire: SocketWire, state: LiveState, username: str, credential: str | None
) -> LegacyConversation:
    """Raises WireClosed and what a join raises."""
    credential = credential or await _credential(wire)
    visitor = await state.doors.visitor(credential)
    room_id = (await asyncio.to_thread(_room, state, username, visitor.user_id)).id
    record, entry = await state.doors.admit(Visit(room_id, credential))
    await state.hall.admission.turn()
    room, outbox = state.hall.open(record), Outbox()
    who = state.hall.enter(room, entry, outbox)
    conversation = LegacyConversation(wire, room, who, outbox)
    outbox.put(room.welcome(who, (), None))
    return conversation


async def _credential(wire: SocketWire) -> str:
    try:
        async with asyncio.timeout(JOIN_WITHIN_S):
            message = read_legacy_message(await wire.receive())
    except TimeoutError:
        raise MessageMalformed("Nobody authenticated in time.") from None
    if not isinstance(message, Authenticate):
        raise Unauthenticated("The first message is authenticate.")
    return message.token


def _room(state: LiveState, username: str, visitor_id: str | None) -> RoomRecord:
    """The room of this person, made on first use, for himself and friends; nobody else learns whether
    there is such a person. Raises NotFound."""
    ingress, rooms = state.ingress, state.doors.rooms
    try:
        owner = ingress.accounts.users.find(username)
    except NotFound:
        raise _nobody() from None
    if visitor_id is None or not (
        visitor_id == owner.id or are_friends(ingress.database, owner.id, visitor_id)
    ):
        raise _nobody()
    found = rooms.find_open(owner.id, ROOM_NAME)
    if found is not None:
        return found
    try:
        return rooms.create(owner.id, RoomPlan(ROOM_NAME, visibility="friends", record=True))
    except Conflict:  # made by another connection meanwhile
        found = rooms.find_open(owner.id, ROOM_NAME)
        if found is None:
            raise
        return found


def _nobody() -> NotFound:
    return NotFound("There is no such broadcaster.")
