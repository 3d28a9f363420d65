"""Temporary: until streaming/chat.py and streaming/recordings.py are there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from clearcast.errors import Forbidden, NotFound
from clearcast.ids import new_id
from streaming.bus import Bus, Posted
from streaming.messages import Chat
from streaming.participant import Participant
from streaming.recording_folder import RecordingFacts, RecordingFolder
from streaming.recording_keeper import RecordedShow
from streaming.room import Room


class BusChat:
    def __init__(self, bus: Bus, room_id: str) -> None:
        self._bus, self._topic = bus, f"room:{room_id}:chat"

    async def say(self, who: Participant, text: str) -> Chat:
        at = datetime.now(UTC)
        message = {
            "participant": who.id,
            "person": who.entry.person,
            "name": who.entry.name,
            "text": text,
            "at": at.isoformat(),
        }
        message_id = await self._bus.publish(self._topic, message)
        return Chat(id=message_id, participant=who.id, name=who.entry.name, text=text, at=at)

    async def latest(self, after: str | None) -> tuple[Chat, ...]:
        return tuple(_chat(posted) for posted in await self._bus.history(self._topic, 100, after))

    async def remove(self, who: Participant, message_id: str) -> None:
        posted = await self._bus.find(self._topic, message_id)
        if posted is None:
            raise NotFound("There is no such message.")
        if posted.message["person"] != who.entry.person and not who.entry.reaches("moderate"):
            raise Forbidden("This is somebody else's message.")
        await self._bus.remove(self._topic, message_id)


def _chat(posted: Posted) -> Chat:
    names = ("participant", "name", "text", "at")
    return Chat(id=posted.id, **{name: posted.message[name] for name in names})


class FolderRecording:
    def __init__(self, room: Room) -> None:
        self.id = new_id("rec")
        self.started_at = datetime.now(UTC)
        self._room = room

    def note(self, event: str, participant: str | None = None, **facts: str | float | bool) -> None:
        pass

    async def stop(self) -> None:
        await self._room.stop_recording()


class FolderKeeper:
    def __init__(self, root: Path) -> None:
        self._root = root

    async def start(self, show: RecordedShow, room: Room) -> FolderRecording:
        recording = FolderRecording(room)
        facts = RecordingFacts(
            id=recording.id,
            room_id=show.room_id,
            owner_id=show.owner_id,
            room_name=show.room_name,
            is_transcribed=show.is_transcribed,
            started_at=recording.started_at,
        )
        self._root.mkdir(parents=True, exist_ok=True)
        await room.start_recording(RecordingFolder.create(self._root / recording.id, facts))
        return recording
