"""Twice a second: does everybody who is in a room still have the right to be?

What lives here: asking the records, cutting who lost the right, taking over what was changed through the
HTTP API, this node's heartbeat, telling presence who listens and speaks. What does not: the rule
(`clearcast/accounts/room_access.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace

from clearcast.accounts.room_access import RoomAccess, Standing, Visitor
from clearcast.errors import ClearCastError, NotFound
from clearcast.storage.rooms import RoomRecord
from deployments.live.doors import Doors
from streaming.hall import Hall
from streaming.live_room import LiveRoom
from streaming.participant import Participant
from streaming.presence import Presence, State
from streaming.session import socket_url

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
_BEATS = 2  # the node row and presence are written every second look


class Watch:
    def __init__(self, hall: Hall, doors: Doors, access: RoomAccess, presence: Presence) -> None:
        self._hall = hall
        self._doors = doors
        self._access = access
        self._presence = presence
        self._looks = 0
        self._task: asyncio.Task[None] | None = None
        self._told: dict[str, str] = {}  # connection → person, as presence was told

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """This node's rooms are free at once."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        try:
            await asyncio.to_thread(self._doors.nodes.gone, self._doors.node_id)
        except ClearCastError as error:  # the others notice by themselves that this node is silent
            logger.warning("this node could not say that it stops", extra={"code": error.code})

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # while the records cannot be read, everybody stays who he is
                logger.exception("live rooms could not be looked after")
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Once."""
        if self._looks % _BEATS == 0:
            await self._keep_rooms()
        self._looks += 1
        present = self._hall.present()
        asked: dict[str, tuple[str, Visitor]] = {}
        for participant_id, (room, who) in present.items():
            assert isinstance(who.entry.grounds, Visitor)
            asked[participant_id] = (room.record.id, who.entry.grounds)
        standings = await asyncio.to_thread(self._access.still_allowed, asked)
        for participant_id, standing in standings.items():
            room, who = present[participant_id]
            await self._apply(room, who, standing)
        await self._take_over_changes()
        if self._looks % _BEATS == 0:
            await self._tell_presence()

    async def _keep_rooms(self) -> None:
        """Say that this node lives; a room that meanwhile went elsewhere is given up."""
        held = await asyncio.to_thread(self._doors.nodes.seen, self._doors.node_id, self._doors.url)
        for room_id in [room_id for room_id in self._hall.rooms if room_id not in held]:
            try:
                holder = await asyncio.to_thread(self._doors.nodes.claim, room_id, self._doors.node_id)
            except NotFound:
                self._hall.end(room_id)
                continue
            if holder is not None:
                self._hall.move(room_id, socket_url(holder.url, room_id))

    async def _apply(self, room: LiveRoom, who: Participant, standing: Standing) -> None:
        if standing.reason == "ended":
            self._hall.end(room.record.id)
        elif standing.role is None:
            await room.cut(who, "revoked")
        elif standing.role != who.entry.role and not who.is_gone:
            who.entry = replace(who.entry, role=standing.role)
            if not who.entry.reaches("publish"):
                await room.stop_publishing(who)
            room.tell(who.changed())

    async def _take_over_changes(self) -> None:
        def read(room_ids: tuple[str, ...]) -> list[RoomRecord]:
            found = []
            for room_id in room_ids:
                with contextlib.suppress(NotFound):
                    found.append(self._doors.rooms.find(room_id))
            return found

        for record in await asyncio.to_thread(read, tuple(self._hall.rooms)):
            room = self._hall.rooms.get(record.id)
            if room is not None and record.is_open:
                room.update(record)

    async def _tell_presence(self) -> None:
        """Of people with an account who are in a room; each participant is a connection of theirs."""
        before, self._told = self._told, {}
        for room, who in self._hall.present().values():
            visitor = who.entry.grounds
            if isinstance(visitor, Visitor) and visitor.user_id is not None and who.lost_s is None:
                self._told[who.id] = visitor.user_id
                await self._presence.tell(visitor.user_id, who.id, _state(who), room.record.id)
        for connection_id in before.keys() - self._told.keys():
            await self._presence.leave(before[connection_id], connection_id)


def _state(who: Participant) -> State:
    if who.is_publishing:
        return "streaming"
    return "listening" if who.is_listening else "online"
