"""Live rooms as the Python client answers with them. What does not live here: requests (`rooms`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from clearcast.client.types import Values, read_all, read_as, read_time

Visibility = Literal["public", "friends", "invited", "password"]
RoomRole = Literal["listen", "publish", "moderate"]


@dataclass(frozen=True, slots=True)
class Room:
    """A live room. The addresses are None where it has ended, or the server carries no live rooms."""

    id: str
    name: str
    owner: str
    is_mine: bool
    visibility: Visibility
    sound: Literal["speech", "music"]
    frame_ms: int
    denoise: bool
    record: bool
    transcribe: bool
    captions: bool
    is_locked: bool
    state: Literal["open", "ended"]
    created_at: datetime
    ended_at: datetime | None
    live_url: str | None
    whip_url: str | None
    whep_url: str | None

    @classmethod
    def of(cls, values: Values) -> Room:
        return read_as(cls, values, created_at=read_time, ended_at=read_time)


@dataclass(frozen=True, slots=True)
class RoomToken:
    """A room token; `token` itself is there when it has just been made, and never again."""

    id: str
    role: RoomRole
    label: str
    created_at: datetime
    expires_at: datetime
    token: str | None = None

    @classmethod
    def of(cls, values: Values) -> RoomToken:
        return read_as(cls, values, created_at=read_time, expires_at=read_time)


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file of a recording: the mix, one voice as it came ("original") or was heard ("cleaned"), the
    "events", or the "captions" as WebVTT. `part` counts from 0."""

    file_id: str
    role: Literal["mix", "original", "cleaned", "events", "captions"]
    participant: str
    participant_id: str
    part: int
    name: str
    media_type: str
    size_bytes: int

    @classmethod
    def of(cls, values: Values) -> RecordedFile:
        return read_as(cls, values)


@dataclass(frozen=True, slots=True)
class Recording:
    """From a room's first voice to its last. `failure`: the code of what made it end, or lack something."""

    id: str
    started_at: datetime
    ended_at: datetime | None
    state: Literal["running", "storing", "stored", "failed"]
    failure: str | None
    job_id: str | None
    files: tuple[RecordedFile, ...]

    @classmethod
    def of(cls, values: Values) -> Recording:
        return read_as(
            cls, values, started_at=read_time, ended_at=read_time, files=read_all(RecordedFile.of)
        )
