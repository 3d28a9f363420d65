"""The messages of `/v1/live`, as `docs/live.md` tells them: JSON objects with `type`.

What lives here: their shapes, reading and writing. What does not: what they bring about (`talk`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, TypeAdapter

from streaming.live_text.lines import Lag, Line, Partial
from streaming.live_text.options import EnrolledVoices, Options
from streaming.messages import Message, Pong, read_as

SpeakerId: TypeAlias = Annotated[int, Field(ge=0, le=31)]

# From the client


class Hello(Message):
    type: Literal["hello"]
    credential: str | None = Field(default=None, max_length=4096)
    sample_rate_hz: int = 16_000
    options: Options = Options()
    voices: EnrolledVoices = "none"
    resume: str | None = Field(default=None, max_length=128)
    after: int = Field(default=0, ge=0)


class StartRegistration(Message):
    type: Literal["start_speaker_registration"]
    speaker_id: SpeakerId
    name: str | None = Field(default=None, min_length=1, max_length=80)


class CompleteRegistration(Message):
    type: Literal["complete_speaker_registration"]
    speaker_id: SpeakerId
    save_as: str | None = Field(default=None, min_length=1, max_length=80)


class StartTranscription(Message):
    type: Literal["start_transcription"]


class Flush(Message):
    type: Literal["flush"]


class StopTranscription(Message):
    type: Literal["stop_transcription"]


class Ping(Message):
    type: Literal["ping"]


class Close(Message):
    type: Literal["close"]


ClientMessage: TypeAlias = (
    Hello
    | StartRegistration
    | CompleteRegistration
    | StartTranscription
    | Flush
    | StopTranscription
    | Ping
    | Close
)


# From the server


class ModelLoaded(Message):
    type: Literal["model_loaded"] = "model_loaded"
    message: str = "Models are loaded; sound may come."
    engine: str
    model: str
    languages: tuple[str, ...] | None
    resume: str
    received_samples: int


class RegistrationStarted(Message):
    type: Literal["speaker_registration_started"] = "speaker_registration_started"
    speaker_id: int
    message: str = "Speak for three to five seconds; ten are better."


class RegistrationCompleted(Message):
    type: Literal["speaker_registration_completed"] = "speaker_registration_completed"
    speaker_id: int
    message: str = "This voice is known now."
    speech_s: float
    advice: str | None
    saved_as: str | None


class RegistrationFailed(Message):
    type: Literal["speaker_registration_failed"] = "speaker_registration_failed"
    speaker_id: int
    code: str
    message: str
    speech_s: float


class TranscriptionStarted(Message):
    type: Literal["transcription_started"] = "transcription_started"


class TranscriptionStopped(Message):
    type: Literal["transcription_stopped"] = "transcription_stopped"


class Flushed(Message):
    type: Literal["flushed"] = "flushed"


class Closed(Message):
    type: Literal["closed"] = "closed"


class PartialText(Message):
    type: Literal["partial"] = "partial"
    text: str
    stable: int
    start_s: float
    end_s: float

    @classmethod
    def of(cls, partial: Partial) -> PartialText:
        return cls(
            text=partial.text,
            stable=partial.stable,
            start_s=round(partial.start_s, 3),
            end_s=round(partial.end_s, 3),
        )


class WordView(BaseModel):
    text: str
    start_s: float
    end_s: float
    confidence: float | None


class Transcription(Message):
    type: Literal["transcription"] = "transcription"
    id: int
    text: str
    speaker_id: int | None
    name: str | None
    score: float | None
    start_s: float
    end_s: float
    language: str | None
    timestamp: datetime
    words: tuple[WordView, ...]
    engines: tuple[str, ...]

    @classmethod
    def of(cls, line: Line) -> Transcription:
        speaker = line.speaker
        score = None if speaker is None else speaker.score
        return cls(
            id=line.id,
            text=line.text,
            speaker_id=None if speaker is None else speaker.id,
            name=None if speaker is None else speaker.name,
            score=None if score is None else round(score, 3),
            start_s=round(line.start_s, 3),
            end_s=round(line.end_s, 3),
            language=line.language,
            timestamp=line.at,
            words=tuple(
                WordView(
                    text=word.text,
                    start_s=round(word.start_s, 3),
                    end_s=round(word.end_s, 3),
                    confidence=word.confidence,
                )
                for word in line.words
            ),
            engines=tuple(str(one) for one in line.made_by),
        )


class LagMessage(Message):
    type: Literal["lag"] = "lag"
    is_behind: bool
    lag_s: float

    @classmethod
    def of(cls, lag: Lag) -> LagMessage:
        return cls(is_behind=lag.is_behind, lag_s=round(lag.lag_s, 1))


_CLIENT: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])

__all__ = ["ClientMessage", "Pong", "read_live_message"]


def read_live_message(text: str) -> ClientMessage:
    """Raises MessageMalformed, OptionInvalid; see `streaming.messages.read_as`."""
    return read_as(_CLIENT, text, "docs/live.md")
