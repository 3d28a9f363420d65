"""A hall without records and sockets: for tests of what happens between connections and rooms.

What lives here: a doorkeeper who takes the credential for the name and lets everybody moderate, a register
and a keeper of recordings that only take note, and a wire inside this process.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from clearcast.errors import Unauthenticated
from clearcast.storage.rooms import RoomRecord
from streaming.admission import Admission, LiveLimits
from streaming.bus_chat import BusChat
from streaming.bus_memory import MemoryBus
from streaming.entry import Pass, Visit
from streaming.hall import Hall
from streaming.live_text.sittings import Sittings
from streaming.peers import new_peer
from streaming.recording_keeper import RecordedShow
from streaming.room import Room
from streaming.surroundings import Surroundings
from streaming.testing.spoken import Conversation, KnowsEveryWord, sittings_of
from streaming.wire import WireClosed


def a_room(room_id: str = "room_1", **fields: Any) -> RoomRecord:
    values: dict[str, Any] = {
        "id": room_id,
        "owner_id": "user_owner",
        "owner_name": "owner",
        "name": "show",
        "visibility": "friends",
        "password_hash": None,
        "sound": "speech",
        "frame_ms": 20,
        "denoise": False,
        "record": False,
        "transcribe": False,
        "captions": False,
        "is_locked": False,
        "state": "open",
        "node_id": None,
        "created_at": datetime.now(UTC),
        "ended_at": None,
    }
    return RoomRecord(**{**values, **fields})


class OpenDoor:
    """`Doorkeeper` and `Register`."""

    def __init__(self) -> None:
        self.released: list[str] = []

    async def admit(self, visit: Visit) -> tuple[RoomRecord, Pass]:
        if visit.credential is None:
            raise Unauthenticated("Who are you?")
        return a_room(visit.room_id), Pass(visit.credential, visit.credential, "moderate")

    async def set_locked(self, room: RoomRecord, is_locked: bool) -> None: ...

    async def end(self, room: RoomRecord) -> None: ...

    async def release(self, room_id: str) -> None:
        self.released.append(room_id)


class NotedRecording:
    """`RunningRecording`."""

    id = "recording_1"
    started_at = datetime.now(UTC)

    def __init__(self) -> None:
        self.events: list[str] = []
        self.is_stopped = False

    def note(self, event: str, participant: str | None = None, **facts: str | float | bool) -> None:
        self.events.append(event)

    async def stop(self) -> None:
        self.is_stopped = True


class NotingKeeper:
    """`RecordingKeeper`."""

    def __init__(self) -> None:
        self.recordings: list[NotedRecording] = []
        self.shows: list[RecordedShow] = []

    async def start(self, show: RecordedShow, room: Room) -> NotedRecording:
        self.shows.append(show)
        self.recordings.append(NotedRecording())
        return self.recordings[-1]


def surroundings_of(
    door: OpenDoor,
    keeper: NotingKeeper,
    limits: LiveLimits = LiveLimits(),
    sittings: Sittings | None = None,
) -> Surroundings:
    bus = MemoryBus()
    return Surroundings(
        keeper=keeper,
        register=door,
        admission=Admission(limits),
        open_media=lambda _: Room(),
        new_peer=new_peer,
        open_chat=lambda room_id: BusChat(bus, room_id),
        sittings=sittings or sittings_of(KnowsEveryWord(Conversation((), 0.0))),
    )


def a_hall(door: OpenDoor, *, empty_s: float = 20.0) -> Hall:
    return Hall(surroundings_of(door, NotingKeeper()), empty_s=empty_s)


class PipeWire:
    """`Wire` whose other end is the test's hand.

    Attributes:
        sent: what came out.
        is_stuck: nothing is taken any more, as by a client that does not read.
        code: with which it was closed.
    """

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.is_stuck = False
        self.code: int | None = None
        self._news = asyncio.Event()
        self._incoming: asyncio.Queue[str | None] = asyncio.Queue(1000)

    def say(self, type: str, **fields: Any) -> None:  # noqa: A002 - the protocol's word
        self._incoming.put_nowait(json.dumps({"type": type, **fields}))

    def hang_up(self) -> None:
        self._incoming.put_nowait(None)

    async def receive(self) -> str:
        text = await self._incoming.get()
        if text is None:
            raise WireClosed
        return text

    async def send(self, text: str) -> None:
        if self.is_stuck:
            await asyncio.Event().wait()
        self.sent.append(json.loads(text))
        self._news.set()

    async def close(self, code: int) -> None:
        if self.code is None:
            self.code = code

    async def told(self, type: str, count: int = 1) -> dict[str, Any]:  # noqa: A002
        """The `count`-th message of this type."""
        async with asyncio.timeout(15):
            while len(found := [one for one in self.sent if one["type"] == type]) < count:
                self._news.clear()
                await self._news.wait()
        return found[count - 1]
