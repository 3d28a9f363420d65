"""The messages of `/ws/audio/<username>/`, for clients of the platform before this one.

What lives here: the table below, reading and writing. What does not: what they bring about
(`legacy_session`). Every message is a JSON object with `type`.

From the client:

    authenticate    token             first, unless the Authorization header has it → authenticated
    start_stream    sdp               the broadcaster's offer → answer; `offer` means the same
    subscribe                         → offer, which the client answers
    answer          sdp               the listener's
    toggle_denoise  enabled?          without `enabled`: the other way round → denoise_toggled to all
    chat_message    message           → chat_message to all
    stop_stream                       → stream_ended to all
    ice_candidate   anything          taken and not needed: all candidates are in our descriptions
    ping                              → pong

From the server, besides these answers:

    authenticated   username, broadcaster, is_streaming
    user_online     username          somebody came into the room; user_offline: he went
    user_streaming  username          somebody begins to speak
    stream_ended    username          he stops
    chat_message    username, message, timestamp
    error           message, code
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clearcast.errors import OptionInvalid
from streaming.messages import MAX_CHAT_CHARACTERS, read_object


class LegacyMessage(BaseModel):
    """What these clients send besides is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Authenticate(LegacyMessage):
    type: Literal["authenticate"]
    token: str = Field(max_length=4096)


class StartStream(LegacyMessage):
    type: Literal["start_stream", "offer"]
    sdp: str


class Subscribe(LegacyMessage):
    type: Literal["subscribe"]


class Answer(LegacyMessage):
    type: Literal["answer"]
    sdp: str


class ToggleDenoise(LegacyMessage):
    type: Literal["toggle_denoise"]
    enabled: bool | None = None


class ChatMessage(LegacyMessage):
    type: Literal["chat_message"]
    message: str = Field(min_length=1, max_length=MAX_CHAT_CHARACTERS)


class StopStream(LegacyMessage):
    type: Literal["stop_stream"]


class IceCandidate(LegacyMessage):
    type: Literal["ice_candidate"]


class LegacyPing(LegacyMessage):
    type: Literal["ping"]


AnyLegacyMessage: TypeAlias = (
    Authenticate
    | StartStream
    | Subscribe
    | Answer
    | ToggleDenoise
    | ChatMessage
    | StopStream
    | IceCandidate
    | LegacyPing
)

_MESSAGE: TypeAdapter[AnyLegacyMessage] = TypeAdapter(
    Annotated[AnyLegacyMessage, Field(discriminator="type")]
)


def read_legacy_message(text: str) -> AnyLegacyMessage:
    """Raises MessageMalformed, OptionInvalid."""
    try:
        return _MESSAGE.validate_python(read_object(text))
    except ValidationError:
        raise OptionInvalid(
            "The message is wrong.", hint="streaming/legacy_messages.py tells the messages."
        ) from None


def legacy_message(kind: str, **fields: Any) -> str:
    """As it goes over the wire."""
    return json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
