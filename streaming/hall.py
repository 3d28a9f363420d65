"""The rooms that are open in this process.

What lives here: opening a room when somebody comes, closing it a while after it is empty, finding who comes
back, the clock of all rooms. What does not: what happens in a room (`live_room`), who may come in
(`entry.Doorkeeper`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from typing import Any

from clearcast.storage.rooms import RoomRecord
from streaming.admission import Admission
from streaming.entry import Pass
from streaming.live_room import LiveRoom
from streaming.messages import EndReason, Moved
from streaming.outbox import Outbox
from streaming.participant import Participant
from streaming.surroundings import Surroundings

logger = logging.getLogger(__name__)

TICK_S = 0.2  # levels five times a second
EMPTY_S = 20.0  # a room that nobody is in closes after so long


class Hall:
    """Attributes:
    rooms: by id.
    """

    def __init__(self, surroundings: Surroundings, *, empty_s: float = EMPTY_S) -> None:
        self.rooms: dict[str, LiveRoom] = {}
        self._surroundings = surroundings
        self._empty_s = empty_s
        self._clock: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[Any]] = set()

    @property
    def admission(self) -> Admission:
        return self._surroundings.admission

    def start(self) -> None:
        """Have the clock run. To be called on the event loop."""
        self._clock = asyncio.create_task(self._run())

    def open(self, record: RoomRecord) -> LiveRoom:
        """The room, opened if nobody was in it. Raises Overloaded, OptionInvalid, ModelMissing."""
        room = self.rooms.get(record.id)
        if room is None or room.is_over:
            self.admission.check_rooms(len(self.rooms))
            room = self.rooms[record.id] = LiveRoom(record, self._surroundings, lambda: self.end(record.id))
        else:
            room.update(record)
        return room

    def returning(self, room_id: str, resume: str | None, entry: Pass | None = None) -> Participant | None:
        """Who comes back with this; with `entry`, only the one whose it is."""
        room = self.rooms.get(room_id)
        if room is None or resume is None:
            return None
        for who in room.people.values():
            if hmac.compare_digest(who.resume.encode(), resume.encode()):
                return who if entry is None or who.entry.person == entry.person else None
        return None

    def enter(
        self, room: LiveRoom, entry: Pass, outbox: Outbox | None, resume: str | None = None
    ) -> Participant:
        """Somebody new, or the same one as before. Raises Forbidden, RoomLocked, Overloaded."""
        who = self.returning(room.record.id, resume, entry)
        if who is None or outbox is None:
            return room.enter(entry, outbox, is_bare=outbox is None)
        room.come_back(who, entry, outbox)
        return who

    def present(self) -> dict[str, tuple[LiveRoom, Participant]]:
        """Everybody, by participant id."""
        return {who.id: (room, who) for room in self.rooms.values() for who in room.people.values()}

    def end(self, room_id: str, reason: EndReason = "ended") -> None:
        """The room is over: everybody is sent away."""
        room = self.rooms.get(room_id)
        if room is not None and not room.is_over:
            self._close(room, reason)

    def move(self, room_id: str, url: str) -> None:
        """The room lives elsewhere from now on: everybody is sent there."""
        room = self.rooms.get(room_id)
        if room is not None and not room.is_over:
            room.tell(Moved(url=url))
            self._close(room, None, code=1000)

    def _close(self, room: LiveRoom, reason: EndReason | None, code: int = 1012) -> None:
        room.is_over = True
        if self.rooms.get(room.record.id) is room:
            del self.rooms[room.record.id]
        task = asyncio.create_task(self._finish(room, reason, code))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _finish(self, room: LiveRoom, reason: EndReason | None, code: int) -> None:
        try:
            await room.close(reason, code)
            if reason == "ended":
                await room.chat.erase()
            if room.record.id not in self.rooms:
                await self._surroundings.register.release(room.record.id)
        except Exception:
            logger.exception("a live room could not be closed")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            for room in tuple(self.rooms.values()):
                try:
                    room.tick(now_s)
                except Exception:  # one room, not all of them
                    logger.exception("a live room missed a beat")
                if room.empty_since_s is not None and now_s - room.empty_since_s > self._empty_s:
                    self._close(room, None)

    async def close(self) -> None:
        """Everybody is told to come again: this process ends."""
        if self._clock is not None:
            self._clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._clock
        for room in tuple(self.rooms.values()):
            self._close(room, None)
        if self._closing:
            await asyncio.wait(self._closing)
