"""The messages of `/v1/keywords`, as `docs/live.md` tells them: JSON objects with `type`.

What lives here: their shapes, reading and writing. What does not: what they bring about (`talk`).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.engines.classify.contract import ClassifyOptions, Heard
from streaming.messages import Message, read_as

_BY_DEFAULT = ClassifyOptions()

# From the client


class Options(BaseModel):
    """`ClassifyOptions` as a client names them; what is left out is as it is by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_silence_s: float = _BY_DEFAULT.min_silence_s
    silence_db: float | None = _BY_DEFAULT.silence_db
    window_s: float = _BY_DEFAULT.window_s
    min_probability: float | None = _BY_DEFAULT.min_probability
    keep_unknown: bool = _BY_DEFAULT.keep_unknown

    def checked(self) -> ClassifyOptions:
        """Raises OptionInvalid."""
        return ClassifyOptions(**self.model_dump())


class Hello(Message):
    type: Literal["hello"]
    credential: str | None = Field(default=None, max_length=4096)
    sample_rate_hz: int = SAMPLE_RATE_HZ
    model: str | None = Field(default=None, max_length=200)
    options: Options = Options()


class Ping(Message):
    type: Literal["ping"]


class Close(Message):
    type: Literal["close"]


ClientMessage: TypeAlias = Hello | Ping | Close

_CLIENT: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


def read_keyword_message(text: str) -> ClientMessage:
    """Raises MessageMalformed, OptionInvalid; see `streaming.messages.read_as`."""
    return read_as(_CLIENT, text, "docs/live.md")


# From the server


class ModelLoaded(Message):
    type: Literal["model_loaded"] = "model_loaded"
    engine: str
    model: str
    labels: tuple[str, ...]


class Word(Message):
    """Attributes:
    id: of the word; what is not final yet is told again under the same one.
    label: a keyword, or "unknown"; of a word that is taken back, "silence" too.
    is_taken_back: it was told, and is no keyword after all.
    """

    type: Literal["word"] = "word"
    id: int
    label: str
    probability: float
    start_s: float
    end_s: float
    is_final: bool
    is_taken_back: bool

    @classmethod
    def of(cls, number: int, heard: Heard) -> Self:
        return cls(
            id=number,
            label=heard.word.label,
            probability=heard.word.probability,
            start_s=round(heard.word.start_s, 3),
            end_s=round(heard.word.end_s, 3),
            is_final=heard.is_final,
            is_taken_back=heard.is_taken_back,
        )


class Closed(Message):
    type: Literal["closed"] = "closed"
