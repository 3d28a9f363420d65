"""Presence inside one process: for one node, and for tests. What it knows ends with the process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection
from dataclasses import dataclass

from streaming.presence import (
    EXPIRES_AFTER_S,
    STATES,
    MaySeeRoom,
    PersonState,
    PresenceWatch,
    State,
    Watches,
)


@dataclass(frozen=True, slots=True)
class _Connection:
    state: State
    room_id: str | None
    until_s: float


class MemoryPresence:
    """`Presence` in this process and event loop."""

    def __init__(self, expires_after_s: float = EXPIRES_AFTER_S) -> None:
        self._expires_after_s = expires_after_s
        self._people: dict[str, dict[str, _Connection]] = {}
        self._told: dict[str, PersonState] = {}
        self._watches = Watches()
        self._expiring = asyncio.ensure_future(self._expire())

    async def tell(
        self, user_id: str, connection_id: str, state: State, room_id: str | None = None
    ) -> None:
        if state == "offline":
            await self.leave(user_id, connection_id)
            return
        until_s = time.monotonic() + self._expires_after_s
        self._people.setdefault(user_id, {})[connection_id] = _Connection(state, room_id, until_s)
        self._settle(user_id)

    async def leave(self, user_id: str, connection_id: str) -> None:
        self._people.get(user_id, {}).pop(connection_id, None)
        self._settle(user_id)

    async def states(self, user_ids: Collection[str]) -> dict[str, PersonState]:
        return {user_id: self._state(user_id) for user_id in user_ids}

    async def watch(self, user_ids: Collection[str], may_see_room: MaySeeRoom) -> PresenceWatch:
        watch = self._watches.open(user_ids, may_see_room)
        watch.begin((await self.states(user_ids)).values())
        return watch

    async def close(self) -> None:
        self._watches.close()
        self._expiring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._expiring

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._expires_after_s / 10))
            for user_id in tuple(self._people):
                self._settle(user_id)

    def _settle(self, user_id: str) -> None:
        """Drop what has expired, and tell when that, or what was noted before, made a difference."""
        now_s = time.monotonic()
        connections = self._people.get(user_id, {})
        for connection_id in [key for key, held in connections.items() if held.until_s <= now_s]:
            del connections[connection_id]
        person = self._state(user_id)
        if not connections:
            self._people.pop(user_id, None)
        if person != self._told.get(user_id, PersonState(user_id)):
            self._watches.offer(person)
        if connections:
            self._told[user_id] = person
        else:
            self._told.pop(user_id, None)

    def _state(self, user_id: str) -> PersonState:
        connections = sorted(self._people.get(user_id, {}).items())
        if not connections:
            return PersonState(user_id)
        _, strongest = max(connections, key=lambda item: STATES.index(item[1].state))
        return PersonState(user_id, strongest.state, strongest.room_id)
