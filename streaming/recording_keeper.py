"""What a show asks of whoever keeps its recordings.

What lives here: the contract between the hall, which knows shows, and the keeper, which knows folders, rows
and blobs. What does not: either of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from streaming.room import Room


@dataclass(frozen=True, slots=True)
class RecordedShow:
    """What is to be recorded. Attributes:
    room_id, owner_id: as in the table of rooms.
    room_name: for file names and labels.
    is_transcribed: whether the recording becomes a meeting job of the owner.
    name_of: the name to show of the participant who speaks under this voice's name in `Room`.
    on_failure: called on the event loop, once at most, when the recording has ended by itself; with a code
        for the room to be told: `storage_full`, `quota_exceeded`, `internal_error`. The show goes on.
    """

    room_id: str
    owner_id: str
    room_name: str
    is_transcribed: bool
    name_of: Callable[[str], str]
    on_failure: Callable[[str], None]


class RunningRecording(Protocol):
    """One recording while it runs."""

    @property
    def id(self) -> str: ...

    @property
    def started_at(self) -> datetime:
        """In UTC. Earlier than now where a recording that a crash broke off goes on."""

    def note(self, event: str, participant: str | None = None, **facts: str | float | bool) -> None:
        """A line for the sidecar: something happened now. Never waits, never raises.

        Events: `joined`, `left`, `publishing`, `stopped_publishing`, `muted`, `denoise`, `chat` and
        `chat_removed`, both with the message's `id`.
        `participant` is an id, which is also the name of that one's voice in `Room`.
        """

    async def stop(self) -> None:
        """Finish the files; storing them, and the job, follow in the background. Again does nothing."""


class RecordingKeeper(Protocol):
    """Starts recordings, and sees to it that they are stored whatever dies."""

    async def start(self, show: RecordedShow, room: Room) -> RunningRecording:
        """Record this room from now on; everything in it, voices to come included.

        One that a crash broke off in this room a few minutes ago goes on. Raises Conflict where one runs,
        QuotaExceeded, StorageFull, ServiceUnavailable, and then none runs.
        """
