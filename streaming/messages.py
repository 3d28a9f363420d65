"""The messages of a room's WebSocket, as `docs/rooms.md` tells them: JSON objects with `type`.

What lives here: their shapes, reading and writing. What does not: what they bring about (`session`), and
the older messages of `/ws/audio/<username>/` (`legacy_messages`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clearcast.errors import MessageMalformed, OptionInvalid
from streaming.live_text.options import CaptionOptions, EnrolledVoices

MAX_MESSAGE_BYTES = 64 * 1024
MAX_CHAT_CHARACTERS = 2000

Role: TypeAlias = Literal["listen", "publish", "moderate"]
LeaveReason: TypeAlias = Literal["left", "lost", "removed", "revoked", "ended"]
EndReason: TypeAlias = Literal["ended", "removed", "revoked", "replaced"]
Ref: TypeAlias = Annotated[str, Field(max_length=64)]

T = TypeVar("T")


class Message(BaseModel):
    """Either way. Attributes:
    ref: what the client named its message; answers and errors carry it back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ref: Ref | None = None


# From the client


class Join(Message):
    type: Literal["join"]
    credential: str | None = Field(default=None, max_length=4096)
    password: str | None = Field(default=None, max_length=1024)
    name: str | None = Field(default=None, min_length=1, max_length=80)
    resume: str | None = Field(default=None, max_length=128)
    after: str | None = Field(default=None, max_length=64)


class Publish(Message):
    type: Literal["publish"]
    sdp: str


class Listen(Message):
    type: Literal["listen"]
    sdp: str


class StopPublishing(Message):
    type: Literal["stop_publishing"]


class StopListening(Message):
    type: Literal["stop_listening"]


class SetDenoise(Message):
    type: Literal["denoise"]
    is_on: bool
    participant: str | None = None


class SetMute(Message):
    type: Literal["mute"]
    is_on: bool
    participant: str | None = None


class SayChat(Message):
    type: Literal["chat"]
    text: str = Field(min_length=1, max_length=MAX_CHAT_CHARACTERS)


class RemoveChat(Message):
    type: Literal["remove_chat"]
    id: str = Field(max_length=64)


class Remove(Message):
    type: Literal["remove"]
    participant: str


class SetLock(Message):
    type: Literal["lock"]
    is_on: bool


class SetRecord(Message):
    type: Literal["record"]
    is_on: bool


class SetCaptions(Message):
    type: Literal["captions"]
    is_on: bool
    options: CaptionOptions = CaptionOptions()


class End(Message):
    type: Literal["end"]


class Leave(Message):
    type: Literal["leave"]


class Ping(Message):
    type: Literal["ping"]


ClientMessage: TypeAlias = (
    Join
    | Publish
    | Listen
    | StopPublishing
    | StopListening
    | SetDenoise
    | SetMute
    | SayChat
    | RemoveChat
    | Remove
    | SetLock
    | SetRecord
    | SetCaptions
    | End
    | Leave
    | Ping
)


# From the server


class RoomView(BaseModel):
    """The room as those see it who are in it."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    visibility: str
    sound: Literal["speech", "music"]
    frame_ms: Literal[10, 20]
    denoise: bool
    record: bool
    transcribe: bool
    captions: bool
    is_locked: bool
    state: Literal["open", "ended"]


class ParticipantView(Message):
    """Somebody in a room. `denoise_failed`: asked for, but what cleans is out of order just now."""

    id: str
    name: str
    role: Role
    is_publishing: bool = False
    is_listening: bool = False
    is_denoised: bool = False
    is_muted: bool = False
    denoise_failed: bool = False


class ParticipantChanged(ParticipantView):
    type: Literal["participant"] = "participant"


class Chat(Message):
    type: Literal["chat"] = "chat"
    id: str
    participant: str
    name: str
    text: str
    at: datetime


class CaptionsView(Message):
    """How captions stand in a room. Attributes:
    language: what was asked for; None where the engine finds out, or while they are off.
    engine, model: what makes the text.
    voices: whether people are named by the enrolled voices of the owner's account.
    troubles: by participant, whose words are late or missing: `behind`, or an error's code.
    """

    is_on: bool
    language: str | None = None
    engine: str
    model: str
    voices: EnrolledVoices = "none"
    troubles: dict[str, str] = {}


class CaptionsChanged(CaptionsView):
    type: Literal["captions"] = "captions"


class Caption(Message):
    """What somebody says, or said. Attributes:
    participant, name: whose voice it came by.
    speaker_id, speaker: who of those who share that voice, where they are told apart, and by what name.
    id: of a final line: 1, 2, … in one room. Partial ones have none, and the next one takes its place.
    stable: of a partial one: how many characters will not change.
    start_s, end_s: since the room opened; `at` is when it began.
    """

    type: Literal["caption"] = "caption"
    participant: str
    name: str
    speaker_id: int | None = None
    speaker: str | None = None
    id: int | None = None
    is_final: bool
    text: str
    stable: int | None = None
    start_s: float
    end_s: float
    at: datetime
    language: str | None = None


class IceServer(BaseModel):
    """As browsers' `RTCIceServer` (W3C WebRTC §4.2.2)."""

    model_config = ConfigDict(frozen=True)

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


class Joined(Message):
    type: Literal["joined"] = "joined"
    room: RoomView
    you: ParticipantView
    resume: str
    participants: tuple[ParticipantView, ...]
    chat: tuple[Chat, ...]
    recording: bool
    captions: CaptionsView
    ice_servers: tuple[IceServer, ...] = ()


class Publishing(Message):
    type: Literal["publishing"] = "publishing"
    sdp: str


class Listening(Message):
    type: Literal["listening"] = "listening"
    sdp: str


class Stopped(Message):
    type: Literal["stopped"] = "stopped"


class ChatAccepted(Message):
    type: Literal["chat_accepted"] = "chat_accepted"
    id: str


class ChatRemoved(Message):
    type: Literal["chat_removed"] = "chat_removed"
    id: str


class Left(Message):
    type: Literal["left"] = "left"
    id: str
    reason: LeaveReason


class RoomChanged(Message):
    type: Literal["room"] = "room"
    is_locked: bool
    is_recording: bool
    state: Literal["open", "ended"]


class Levels(Message):
    """Levels in dBFS, by participant."""

    type: Literal["levels"] = "levels"
    levels: dict[str, float]


class Pong(Message):
    type: Literal["pong"] = "pong"


class Moved(Message):
    type: Literal["moved"] = "moved"
    url: str


class Ended(Message):
    type: Literal["ended"] = "ended"
    reason: EndReason


class ErrorMessage(Message):
    """As a problem document; further facts of the error, such as `retry_after_s`, stand beside."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: Literal["error"] = "error"
    code: str
    title: str
    detail: str
    hint: str | None = None
    retryable: bool = False


ServerMessage: TypeAlias = (
    Joined
    | Publishing
    | Listening
    | Stopped
    | ParticipantChanged
    | Left
    | RoomChanged
    | Levels
    | CaptionsChanged
    | Caption
    | Chat
    | ChatAccepted
    | ChatRemoved
    | Moved
    | Ended
    | Pong
    | ErrorMessage
)

_CLIENT: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


def read_message(text: str) -> ClientMessage:
    """A message of a client. Raises what `read_as` raises."""
    return read_as(_CLIENT, text, "docs/rooms.md")


def read_as(kinds: TypeAdapter[T], text: str, page: str) -> T:
    """A message of one of these kinds, told apart by `type`; `page` tells which there are.

    Raises MessageMalformed for what is no JSON object with a `type`, or too long; OptionInvalid, with the
    `ref` among its fields, for a message whose type or fields there are not.
    """
    value = read_object(text)
    try:
        return kinds.validate_python(value, strict=False)
    except ValidationError as error:
        ref = value.get("ref")
        raise OptionInvalid(
            f"The message is wrong: {_reason(error)}.",
            hint=f"{page} tells the messages.",
            ref=ref[:64] if isinstance(ref, str) else None,
        ) from None


def read_object(text: str) -> dict[str, Any]:
    """Raises MessageMalformed for what is no JSON object with a `type`, or too long."""
    if len(text) > MAX_MESSAGE_BYTES:
        raise MessageMalformed("The message is too long.", limit_bytes=MAX_MESSAGE_BYTES)
    try:
        value = _OBJECT.validate_json(text)
    except ValidationError:
        raise MessageMalformed("A message is a JSON object.") from None
    if not isinstance(value.get("type"), str):
        raise MessageMalformed("A message has a type.")
    return value


_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def write_message(message: Message) -> str:
    """As it goes over the wire; what is None is left out."""
    return message.model_dump_json(exclude_none=True)


def _reason(error: ValidationError) -> str:
    """The first thing that is wrong, without the value, which may be secret."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return f"{place}: {first['msg']}" if place else "there is no such type"
