"""The seam between a live room and those who keep its recordings.

What lives here: when a recording starts, what is noted of it, when it stops. What does not: files
(`recorder`), what becomes of them (`recordings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from streaming.entry import RoomPlan
from streaming.room import Room


class OpenRecording(Protocol):
    """A recording that runs."""

    def note(self, event: str, participant: str | None = None, **facts: str | float | bool) -> None:
        """Something happened now; never waits. Events: `joined`, `left`, `publishing`,
        `stopped_publishing`, `muted`, `denoise`, `chat`. `participant` is an id, also the name of the
        voice in the files."""

    async def stop(self) -> None:
        """Nothing is recorded any more, and all of it is kept."""


class RecordingKeeper(Protocol):
    async def start(self, plan: RoomPlan, room: Room, names: Mapping[str, str]) -> OpenRecording:
        """Record this room from now on. `names` are those of the participants who are there, by id.

        Raises OSError, ClearCastError; then nothing is recorded and the show goes on.
        """
