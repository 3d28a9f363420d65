"""The messages of OpenAI's Realtime transcription: what clients send, and what our lines become.

What lives here: shapes and translation. What does not: the connection (`realtime`).

Deltas only add: what was understood so far becomes a delta when it will not change any more, and
`completed` has the text as it is in the end.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clearcast.errors import OptionInvalid
from streaming.live_text.messages import PartialText, Transcription
from streaming.live_text.options import SPEECH_THRESHOLDS, LiveOptions
from streaming.messages import ErrorMessage

Event: TypeAlias = dict[str, Any]

_PREFIX = "conversation.item.input_audio_transcription"


class _Read(BaseModel):
    """Clients send more than we need."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Format(_Read):
    type: Literal["audio/pcm"] = "audio/pcm"
    rate: int = 24_000


class Wanted(_Read):
    model: str | None = None
    language: str | None = Field(default=None, max_length=16)


class TurnDetection(_Read):
    type: str = "server_vad"
    threshold: float = Field(default=0.3, ge=0, le=1)
    silence_duration_ms: int = Field(default=500, ge=200, le=3000)


class AudioInput(_Read):
    format: Format | None = None
    transcription: Wanted | None = None
    turn_detection: TurnDetection | None = TurnDetection()


class Audio(_Read):
    input: AudioInput = AudioInput()


class RealtimeSession(_Read):
    """As `session.update` has it; the older `transcription_session.update` has the parts of `input` on top,
    under names of their own."""

    type: Literal["transcription"] = "transcription"
    audio: Audio = Audio()
    input_audio_format: Literal["pcm16"] = "pcm16"
    input_audio_transcription: Wanted | None = None
    turn_detection: TurnDetection | None = TurnDetection()

    @property
    def sample_rate_hz(self) -> int:
        return (self.audio.input.format or Format()).rate

    @property
    def turns(self) -> TurnDetection | None:
        """None where the client says itself what belongs together."""
        return self.audio.input.turn_detection and self.turn_detection

    @property
    def options(self) -> LiveOptions:
        """Raises OptionInvalid."""
        wanted = self.audio.input.transcription or self.input_audio_transcription or Wanted()
        turns = self.turns or TurnDetection()
        sure = min(SPEECH_THRESHOLDS, key=lambda one: abs(one - turns.threshold))
        return LiveOptions(
            language=wanted.language,
            silence_s=turns.silence_duration_ms / 1000,
            voice_activity_mode=SPEECH_THRESHOLDS.index(sure),
            speakers=0,
            partials=self.turns is not None,
        )

    def as_event(self) -> Event:
        """The session as the SDK reads it."""
        wanted = self.audio.input.transcription or self.input_audio_transcription or Wanted()
        sound = {
            "format": {"type": "audio/pcm", "rate": self.sample_rate_hz},
            "transcription": wanted.model_dump(exclude_none=True),
            "turn_detection": None if self.turns is None else self.turns.model_dump(),
        }
        return {"type": "transcription", "audio": {"input": sound}}


_SESSION = TypeAdapter(RealtimeSession)


def read_session(value: object) -> RealtimeSession:
    """Raises OptionInvalid."""
    try:
        return _SESSION.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise OptionInvalid(
            f"session.{place}: {first['msg']}.", hint="Transcription of 16-bit PCM is what there is."
        ) from None


def read_sound(value: object) -> bytes:
    """Base64 to bytes. Raises OptionInvalid."""
    try:
        return base64.b64decode(value if isinstance(value, str) else "!", validate=True)
    except binascii.Error:
        raise OptionInvalid("audio is not base64.") from None


class Items:
    """Lines and what comes before them as events, each with the id of its item."""

    def __init__(self, prefix: str) -> None:
        """`prefix` makes ids different from those of other connections."""
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._item: str | None = None  # the one that is being said
        self._before: str | None = None  # the one before it
        self._start_s = 0.0
        self._told = ""

    def of_partial(self, partial: PartialText) -> Iterator[Event]:
        if self._item is not None and partial.start_s != self._start_s:
            yield from self._end(partial.start_s, "", 0.0)  # nothing came of it
        yield from self._begin(partial.start_s)
        stable = partial.text[: partial.stable]
        if len(stable) > len(self._told):
            yield self._delta(stable[len(self._told) :])
            self._told = stable

    def of_line(self, line: Transcription) -> Iterator[Event]:
        yield from self.of_text(line.text, line.start_s, line.end_s)

    def of_text(self, text: str, start_s: float, end_s: float) -> Iterator[Event]:
        yield from self._begin(start_s)
        if text.startswith(self._told) and len(text) > len(self._told):
            yield self._delta(text[len(self._told) :])
        yield from self._end(end_s, text, end_s - start_s)

    def of_failure(self, error: ErrorMessage) -> Iterator[Event]:
        told = {"type": error.code, "code": error.code, "message": error.detail, "param": None}
        if self._item is None:
            yield {"type": "error", "error": told}
            return
        yield {"type": f"{_PREFIX}.failed", "item_id": self._item, "content_index": 0, "error": told}
        self._forget()

    def _begin(self, start_s: float) -> Iterator[Event]:
        if self._item is not None:
            return
        self._item, self._start_s, self._told = f"item_{self._prefix}_{next(self._numbers)}", start_s, ""
        yield {
            "type": "input_audio_buffer.speech_started",
            "audio_start_ms": round(1000 * start_s),
            "item_id": self._item,
        }

    def _delta(self, text: str) -> Event:
        return {"type": f"{_PREFIX}.delta", "item_id": self._item, "content_index": 0, "delta": text}

    def _end(self, end_s: float, text: str, length_s: float) -> Iterator[Event]:
        yield {
            "type": "input_audio_buffer.speech_stopped",
            "audio_end_ms": round(1000 * end_s),
            "item_id": self._item,
        }
        yield {
            "type": "input_audio_buffer.committed",
            "item_id": self._item,
            "previous_item_id": self._before,
        }
        yield {
            "type": f"{_PREFIX}.completed",
            "item_id": self._item,
            "content_index": 0,
            "transcript": text,
            "usage": {"type": "duration", "seconds": round(length_s, 3)},
        }
        self._before = self._item
        self._forget()

    def _forget(self) -> None:
        self._item = None
