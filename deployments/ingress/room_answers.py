"""Live rooms as the API takes and shows them. What lives here: the shapes. What does not: routes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from clearcast.accounts.passwords import MAX_CHARACTERS
from clearcast.accounts.room_tokens import MAX_LABEL_CHARACTERS, MAX_S, MIN_S, RoomRole, RoomTokenRecord
from clearcast.storage.room_recordings import FileRole, RecordedFile, RecordingRecord, RecordingState
from clearcast.storage.rooms import (
    MAX_NAME_CHARACTERS,
    Guest,
    RoomRecord,
    RoomState,
    Sound,
    Visibility,
)

ROOM_ID = "room_01k9zr5x8m2c4v6b8n0q2w4e6r"
_LIVE = f"live.example.org/v1/rooms/{ROOM_ID}"
_PLAN: dict[str, Any] = {"name": "Morning show", "visibility": "public", "record": True}
_ROOM: dict[str, Any] = {
    "id": ROOM_ID,
    "name": "Morning show",
    "owner": "Sara",
    "is_mine": True,
    "visibility": "public",
    "sound": "speech",
    "frame_ms": 20,
    "denoise": True,
    "record": True,
    "transcribe": False,
    "captions": False,
    "is_locked": False,
    "state": "open",
    "created_at": "2026-01-31T09:00:00Z",
    "ended_at": None,
    "live_url": f"wss://{_LIVE}/ws",
    "whip_url": f"https://{_LIVE}/whip",
    "whep_url": f"https://{_LIVE}/whep",
}
_TOKEN: dict[str, Any] = {
    "id": "rtk_01k9zr7a2c4e6g8j0m2p4r6t8w",
    "role": "publish",
    "label": "Studio 2",
    "created_at": "2026-01-31T09:00:00Z",
    "expires_at": "2026-01-31T11:00:00Z",
}
_RECORDING: dict[str, Any] = {
    "id": "rec_01k9zrb3d5f7h9k1n3q5s7v9xz",
    "started_at": "2026-01-31T09:00:00Z",
    "ended_at": "2026-01-31T10:00:00Z",
    "state": "stored",
    "failure": None,
    "job_id": None,
    "files": [
        {
            "file_id": "file_01k9z3x5c8m2v7q4w6t1r0y9pb",
            "role": "mix",
            "participant": "",
            "participant_id": "",
            "part": 0,
            "name": "mix.ogg",
            "media_type": "audio/ogg",
            "size_bytes": 28800000,
        }
    ],
}


class NewRoom(BaseModel):
    """`POST /v1/rooms`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _PLAN})

    name: str = Field(max_length=4 * MAX_NAME_CHARACTERS, description="1 to 80 characters.")
    visibility: Visibility = Field(default="friends", description="Who may come in besides you.")
    password: str | None = Field(
        default=None, max_length=MAX_CHARACTERS, description="Where the visibility is `password`."
    )
    sound: Sound = Field(default="speech", description="`music`: stereo, 192 kbit/s, never denoised.")
    frame_ms: Literal[10, 20] = Field(default=20, description="10 is the low-delay mode.")
    denoise: bool | None = Field(
        default=None, description="Whether voices can be denoised; when not given, speech can."
    )
    record: bool = Field(default=False, description="Record while somebody speaks; everybody is told.")
    transcribe: bool = Field(
        default=False, description="When the room empties, make its recording a meeting."
    )
    captions: bool = Field(default=False, description="Show what is said as text from the beginning.")


class RoomPatch(BaseModel):
    """`PATCH /v1/rooms/{room_id}`: what is to change."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "Evening show", "record": False}}
    )

    name: str | None = Field(
        default=None, max_length=4 * MAX_NAME_CHARACTERS, description="1 to 80 characters."
    )
    visibility: Visibility | None = Field(default=None, description="Who may come in besides you.")
    password: str | None = Field(
        default=None, max_length=MAX_CHARACTERS, description="A new one holds for who comes from now on."
    )
    sound: Sound | None = Field(default=None, description="When the room next goes live.")
    frame_ms: Literal[10, 20] | None = Field(default=None, description="When the room next goes live.")
    denoise: bool | None = Field(default=None, description="When the room next goes live.")
    record: bool | None = Field(default=None, description="Whether what is said is recorded.")
    transcribe: bool | None = Field(default=None, description="Whether recordings become meetings.")
    captions: bool | None = Field(default=None, description="Whether what is said is shown as text.")
    is_locked: bool | None = Field(default=None, description="Whether nobody new may come in.")


class RoomAnswer(BaseModel):
    """One live room."""

    model_config = ConfigDict(json_schema_extra={"example": _ROOM})

    id: str
    name: str
    owner: str = Field(description="The name of whose room it is.")
    is_mine: bool
    visibility: Visibility
    sound: Sound
    frame_ms: Literal[10, 20]
    denoise: bool
    record: bool
    transcribe: bool
    captions: bool
    is_locked: bool
    state: RoomState
    created_at: datetime
    ended_at: datetime | None
    live_url: str | None = Field(description="The room's WebSocket; null: this server has no live rooms.")
    whip_url: str | None = Field(description="Where broadcasting programs publish (RFC 9725).")
    whep_url: str | None = Field(description="Where players listen.")

    @classmethod
    def of(cls, room: RoomRecord, viewer_id: str, live_url: str | None) -> Self:
        """`live_url`: http(s)://… of the gateway that holds the room, or would."""
        base = None if live_url is None or not room.is_open else f"{live_url}/v1/rooms/{room.id}"
        return cls(
            id=room.id,
            name=room.name,
            owner=room.owner_name,
            is_mine=room.owner_id == viewer_id,
            visibility=room.visibility,
            sound=room.sound,
            frame_ms=room.frame_ms,
            denoise=room.denoise,
            record=room.record,
            transcribe=room.transcribe,
            captions=room.captions,
            is_locked=room.is_locked,
            state=room.state,
            created_at=room.created_at,
            ended_at=room.ended_at,
            live_url=None if base is None else f"ws{base.removeprefix('http')}/ws",
            whip_url=None if base is None else f"{base}/whip",
            whep_url=None if base is None else f"{base}/whep",
        )


class RoomList(BaseModel):
    """One page of rooms, the newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"rooms": [_ROOM], "next": None}})

    rooms: list[RoomAnswer]
    next: str | None = Field(description="`after` for the next page; null on the last one.")


class GuestAnswer(BaseModel):
    name: str = Field(description="As it was written when they were invited.")
    since: datetime

    @classmethod
    def of(cls, guest: Guest) -> Self:
        return cls(name=guest.name, since=guest.since)


class GuestList(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"invites": [{"name": "Reza", "since": "2026-01-31T09:00:00Z"}]}}
    )

    invites: list[GuestAnswer]


class NewRoomToken(BaseModel):
    """`POST /v1/rooms/{room_id}/tokens`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"role": "publish", "lasts_s": 7200, "label": "Studio 2"}},
    )

    role: RoomRole = Field(description="What its bearer may do.")
    lasts_s: int = Field(default=3600, ge=MIN_S, le=MAX_S, description="Seconds until it ends by itself.")
    label: str = Field(
        default="", max_length=MAX_LABEL_CHARACTERS, description="The name of a bearer who gives none."
    )


class RoomTokenAnswer(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": _TOKEN})

    id: str
    role: RoomRole
    label: str
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, record: RoomTokenRecord, **more: Any) -> Self:
        return cls(
            id=record.id,
            role=record.role,
            label=record.label,
            created_at=record.created_at,
            expires_at=record.expires_at,
            **more,
        )


class RoomTokenList(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"tokens": [_TOKEN]}})

    tokens: list[RoomTokenAnswer]


class MadeRoomToken(RoomTokenAnswer):
    model_config = ConfigDict(json_schema_extra={"example": {**_TOKEN, "token": "rt_…"}})

    token: str = Field(description="The token itself, this once: it cannot be had again.")


class RecordedFileAnswer(BaseModel):
    file_id: str = Field(description="Its bytes are at `/v1/files/{file_id}/content`.")
    role: FileRole = Field(description="The mix, a voice as it came or as it was heard, or what happened.")
    participant: str = Field(description="The name of who speaks; empty for the mix and the events.")
    participant_id: str
    part: int = Field(description="From 0; long recordings are cut into several.")
    name: str
    media_type: str
    size_bytes: int

    @classmethod
    def of(cls, file: RecordedFile) -> Self:
        return cls(
            file_id=file.file_id,
            role=file.part.role,
            participant=file.part.participant,
            participant_id=file.part.participant_id,
            part=file.part.part,
            name=file.name,
            media_type=file.media_type,
            size_bytes=file.size_bytes,
        )


class RecordingAnswer(BaseModel):
    """One recording of a room: from the first voice to the last."""

    model_config = ConfigDict(json_schema_extra={"example": _RECORDING})

    id: str
    started_at: datetime
    ended_at: datetime | None
    state: RecordingState
    failure: str | None = Field(description="The code of what made it end, or lack something.")
    job_id: str | None = Field(description="The meeting job that was made of it.")
    files: list[RecordedFileAnswer]

    @classmethod
    def of(cls, record: RecordingRecord) -> Self:
        return cls(
            id=record.id,
            started_at=record.started_at,
            ended_at=record.ended_at,
            state=record.state,
            failure=record.failure,
            job_id=record.job_id,
            files=[RecordedFileAnswer.of(file) for file in record.files],
        )


class RecordingList(BaseModel):
    """One page of recordings, the newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"recordings": [_RECORDING], "next": None}})

    recordings: list[RecordingAnswer]
    next: str | None = Field(description="`after` for the next page; null on the last one.")


def live_url_of(room: RoomRecord, own_url: str | None, nodes: Mapping[str, str]) -> str | None:
    """Where the room is, or would be, live: its node's address, else the one of the settings."""
    return None if own_url is None else nodes.get(room.node_id or "", own_url)
