"""The messages of `/v1/stream`, as `docs/live.md` tells them: a file goes in, its transcript comes out.

What lives here: their shapes and reading them. What does not: the transcript itself
(`deployments/ingress/openai_format.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from clearcast.speech.transcript import Segment
from streaming.live_text.messages import WordView
from streaming.messages import Message, read_as


class StreamOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str | None = Field(default=None, max_length=16)


class SendFile(Message):
    type: Literal["file"]
    credential: str | None = Field(default=None, max_length=4096)
    name: str = Field(default="", max_length=255)
    size_bytes: int | None = Field(default=None, ge=0)
    options: StreamOptions = StreamOptions()


class End(Message):
    type: Literal["end"]


class Queued(Message):
    type: Literal["queued"] = "queued"
    place: int


class Accepted(Message):
    type: Literal["accepted"] = "accepted"
    decoding: Literal["while_received", "after_last_byte"]


class Progress(Message):
    type: Literal["progress"] = "progress"
    heard_s: float
    received_bytes: int


class StreamLine(Message):
    type: Literal["line"] = "line"
    id: int
    text: str
    start_s: float
    end_s: float
    words: tuple[WordView, ...]

    @classmethod
    def of(cls, number: int, segment: Segment) -> Self:
        words = tuple(
            WordView(text=one.text, start_s=one.start_s, end_s=one.end_s, confidence=one.confidence)
            for one in segment.words
        )
        return cls(
            id=number,
            text=segment.text,
            start_s=round(segment.start_s, 3),
            end_s=round(segment.end_s, 3),
            words=words,
        )


class Done(Message):
    type: Literal["done"] = "done"
    transcript: dict[str, Any]


StreamMessage: TypeAlias = SendFile | End

_CLIENT: TypeAdapter[StreamMessage] = TypeAdapter(Annotated[StreamMessage, Field(discriminator="type")])


def read_stream_message(text: str) -> StreamMessage:
    """Raises MessageMalformed, OptionInvalid; see `streaming.messages.read_as`."""
    return read_as(_CLIENT, text, "docs/live.md")
