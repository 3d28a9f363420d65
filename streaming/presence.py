"""Who is there: whether people are offline, online, listening or streaming, told to those who watch them.

What lives here: the contract, what every watch has in common, and the choice by URL scheme. `memory://`
counts in this process (`presence_memory`), `redis://` and `rediss://` for all nodes (`presence_redis`).
What does not: who is whose friend, and who may enter which room: a callback is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

from clearcast.errors import SettingsInvalid
from streaming.feed import Feed

State = Literal["offline", "online", "listening", "streaming"]
STATES: tuple[State, ...] = get_args(State)  # from the weakest to the strongest

EXPIRES_AFTER_S = 45.0

# (the watched person, their room) → whether the one who watches may know it.
MaySeeRoom = Callable[[str, str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class PersonState:
    """`room_id`: where they listen or stream; None elsewhere, and where the viewer may not know it."""

    user_id: str
    state: State = "offline"
    room_id: str | None = None


class Presence(Protocol):
    """Promises of every presence:

    - A person is as strong as the strongest of their connections (streaming, listening, online); of equals
      the one whose id sorts first gives the room.
    - A connection that was not told of for `EXPIRES_AFTER_S` is gone, and watchers hear of it, also when
      its whole node died.
    - While the service cannot be reached, watches wait, and go on with what is true afterwards.

    Raises ServiceUnavailable, with `retry_after_s`, when it cannot be reached for some seconds.
    """

    async def tell(
        self, user_id: str, connection_id: str, state: State, room_id: str | None = None
    ) -> None:
        """One connection's state; to be repeated as its heartbeat. "offline" is the same as `leave`."""
        ...

    async def leave(self, user_id: str, connection_id: str) -> None:
        """One connection is gone."""
        ...

    async def states(self, user_ids: Collection[str]) -> dict[str, PersonState]:
        """The state of each of them, with rooms: for who may know everything."""
        ...

    async def watch(self, user_ids: Collection[str], may_see_room: MaySeeRoom) -> PresenceWatch:
        """The state of each of them, then every change."""
        ...

    async def close(self) -> None:
        """Watches end. Nothing may be asked afterwards."""
        ...


class PresenceWatch(Feed[PersonState]):
    """An async iterator over changes, and a context manager that ends it.

        with await presence.watch(friends, may_see_room) as watch:
            async for person in watch:
                ...

    First comes everybody's state, then changes, until the watch or the presence is closed. Of several
    changes of one person that nobody has read yet only the latest is kept, so that a slow reader costs no
    memory. What `may_see_room` answers counts at the moment of reading.
    """

    def __init__(
        self,
        user_ids: Collection[str],
        may_see_room: MaySeeRoom,
        on_close: Callable[[PresenceWatch], None],
    ) -> None:
        self.user_ids = frozenset(user_ids)
        self._may_see_room = may_see_room
        self._on_close = on_close
        self._pending: dict[str, PersonState] = {}
        self._told: dict[str, PersonState] = {}
        self._filled = asyncio.Event()
        self._is_closed = False

    def offer(self, person: PersonState) -> None:
        """What a presence calls for every change of a watched person. Never waits."""
        if person.user_id in self.user_ids and not self._is_closed:
            self._pending[person.user_id] = person
            self._filled.set()

    def begin(self, people: Iterable[PersonState]) -> None:
        """What a presence calls once, with everybody; changes that came in between are newer."""
        for person in people:
            if person.user_id not in self._pending:
                self.offer(person)

    def close(self) -> None:
        """No more changes. May be called again."""
        if not self._is_closed:
            self._is_closed = True
            self._pending.clear()
            self._filled.set()
            self._on_close(self)

    async def __anext__(self) -> PersonState:
        while not self._is_closed:
            if not self._pending:
                self._filled.clear()
                await self._filled.wait()
                continue
            person = self._pending.pop(next(iter(self._pending)))
            if person.room_id is not None and not await self._may_see_room(person.user_id, person.room_id):
                person = replace(person, room_id=None)
            if self._told.get(person.user_id) != person:
                self._told[person.user_id] = person
                return person
        raise StopAsyncIteration


class Watches:
    """The watches of one process, by whom they watch."""

    def __init__(self) -> None:
        self._by_user: dict[str, set[PresenceWatch]] = {}

    @property
    def user_ids(self) -> Collection[str]:
        return self._by_user.keys()

    def open(self, user_ids: Collection[str], may_see_room: MaySeeRoom) -> PresenceWatch:
        watch = PresenceWatch(user_ids, may_see_room, self._forget)
        for user_id in watch.user_ids:
            self._by_user.setdefault(user_id, set()).add(watch)
        return watch

    def offer(self, person: PersonState) -> None:
        for watch in self._by_user.get(person.user_id, ()):
            watch.offer(person)

    def close(self) -> None:
        for watch in {watch for watches in self._by_user.values() for watch in watches}:
            watch.close()

    def _forget(self, watch: PresenceWatch) -> None:
        for user_id in watch.user_ids:
            watches = self._by_user[user_id]
            watches.remove(watch)
            if not watches:
                del self._by_user[user_id]


def open_presence(url: str, expires_after_s: float = EXPIRES_AFTER_S) -> Presence:
    """The presence of a URL: `memory://`, `redis://HOST:PORT/DB` or `rediss://…`. To be called on the event
    loop that it serves. Raises SettingsInvalid.
    """
    scheme = url.partition("://")[0]
    if scheme == "memory":
        from streaming.presence_memory import MemoryPresence

        return MemoryPresence(expires_after_s)
    if scheme in {"redis", "rediss"}:
        from streaming.presence_redis import RedisPresence

        return RedisPresence(url, expires_after_s)
    raise SettingsInvalid("Presence must be memory://, redis://… or rediss://….")
