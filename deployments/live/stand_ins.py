"""Temporary: until streaming/recordings.py is there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from clearcast.ids import new_id
from streaming.recording_folder import RecordingFacts, RecordingFolder
from streaming.recording_keeper import RecordedShow
from streaming.room import Room


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
