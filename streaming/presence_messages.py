"""The messages of `/v1/presence`, as `docs/rooms.md` tells them.

What lives here: their shapes. What does not: who sees whom (`deployments/live/presence.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clearcast.errors import OptionInvalid
from streaming.messages import Message, Ping, read_object
from streaming.presence import State


class Hello(Message):
    type: Literal["hello"]
    credential: str | None = Field(default=None, max_length=4096)


class FriendView(BaseModel):
    """`room` is told only where the one who looks may enter."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    state: State = "offline"
    room: str | None = None


class Friends(Message):
    type: Literal["friends"] = "friends"
    friends: tuple[FriendView, ...]


class FriendChanged(Message):
    type: Literal["presence"] = "presence"
    id: str
    name: str
    state: State
    room: str | None = None


PresenceMessage: TypeAlias = Hello | Ping

_MESSAGE: TypeAdapter[PresenceMessage] = TypeAdapter(
    Annotated[PresenceMessage, Field(discriminator="type")]
)


def read_presence_message(text: str) -> PresenceMessage:
    """Raises MessageMalformed, OptionInvalid."""
    try:
        return _MESSAGE.validate_python(read_object(text))
    except ValidationError:
        raise OptionInvalid("The message is wrong.", hint="docs/rooms.md tells the messages.") from None
