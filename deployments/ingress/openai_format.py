"""Results in the shapes the OpenAI SDK reads: pydantic models and how ours become them.

What lives here: the answer bodies and stream events of `/v1/audio`. What does not: the routes.
Fields that OpenAI does not know (`provenance`, `warnings`, `language_code`) are added beside its own; what
our engines do not tell (`tokens`, `seek`, `avg_logprob` without a confidence) has a plain neutral value.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clearcast.speech.meeting import Meeting, SpeakerIdentity
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript
from deployments.ingress.languages import language_name

MEL_FRAMES_PER_S = 100  # Whisper counts `seek` in frames of 10 ms


class MadeBy(BaseModel):
    """An engine that took part in a result."""

    service: str
    engine: str
    model: str
    quality: str | None = Field(default=None, description='"rough" where the engine is known to be weak.')

    @classmethod
    def of(cls, provenance: Provenance) -> MadeBy:
        return cls(
            service=provenance.service,
            engine=provenance.engine,
            model=provenance.model,
            quality=provenance.quality,
        )


class Usage(BaseModel):
    """Seconds of sound in the request."""

    type: Literal["duration"] = "duration"
    seconds: float


class Result(BaseModel):
    """What all whole answers hold."""

    text: str
    usage: Usage
    provenance: list[MadeBy]
    warnings: list[str]


class PlainTranscription(Result):
    """`response_format=json`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "text": "Good morning everybody.",
                "usage": {"type": "duration", "seconds": 2.4},
                "provenance": [
                    {"service": "transcribe", "engine": "faster_whisper", "model": "small", "quality": None}
                ],
                "warnings": [],
            }
        }
    )


class VerboseWord(BaseModel):
    word: str
    start: float
    end: float
    confidence: float | None = None
    joins_previous: bool = Field(default=False, description="No space stands before it.")


class VerboseSegment(BaseModel):
    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    confidence: float | None = None


class VerboseTranscription(Result):
    """`response_format=verbose_json`."""

    task: Literal["transcribe", "translate"]
    language: str = Field(description='English name of the language, for example "persian".')
    language_code: str | None
    language_confidence: float | None
    duration: float
    segments: list[VerboseSegment] | None = None
    words: list[VerboseWord] | None = None


class DiarizedSegment(BaseModel):
    type: Literal["transcript.text.segment"] = "transcript.text.segment"
    id: str
    start: float
    end: float
    speaker: str
    text: str


class DiarizedTranscription(Result):
    """`response_format=diarized_json`."""

    task: Literal["transcribe"] = "transcribe"
    duration: float
    segments: list[DiarizedSegment]


class TextDelta(BaseModel):
    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str
    segment_id: str | None = None


class TextDone(BaseModel):
    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str
    provenance: list[MadeBy]
    warnings: list[str]


StreamEvent = TextDelta | DiarizedSegment | TextDone


def plain(transcript: Transcript, warnings: Sequence[str]) -> PlainTranscription:
    return PlainTranscription(**_common(transcript, warnings))


def verbose(
    transcript: Transcript,
    warnings: Sequence[str],
    task: Literal["transcribe", "translate"],
    granularities: Sequence[str],
    temperature: float,
) -> VerboseTranscription:
    """With segments, words or both, as `granularities` asks. A translation's language is English."""
    code = "en" if task == "translate" else transcript.language
    return VerboseTranscription(
        **_common(transcript, warnings),
        task=task,
        language=language_name(code),
        language_code=code,
        language_confidence=transcript.language_confidence,
        duration=transcript.duration_s,
        segments=_verbose_segments(transcript, temperature) if "segment" in granularities else None,
        words=_verbose_words(transcript) if "word" in granularities else None,
    )


def diarized(meeting: Meeting, warnings: Sequence[str]) -> DiarizedTranscription:
    transcript = meeting.transcript
    assert transcript is not None
    letters = Letters(identified_names(meeting.speakers))
    return DiarizedTranscription(
        **_common(transcript, (*meeting.warnings, *warnings)),
        duration=transcript.duration_s,
        segments=[
            diarized_segment(segment, index, letters) for index, segment in enumerate(transcript.segments)
        ],
    )


def diarized_segment(segment: Segment, index: int, letters: Letters) -> DiarizedSegment:
    return DiarizedSegment(
        id=f"seg_{index}",
        start=_rounded(segment.start_s),
        end=_rounded(segment.end_s),
        speaker=letters.shown(segment.speaker),
        text=segment.text,
    )


def identified_names(speakers: Sequence[SpeakerIdentity]) -> tuple[str, ...]:
    return tuple(speaker.shown_as for speaker in speakers if speaker.verdict == "identified")


def done(transcript: Transcript, warnings: Sequence[str]) -> TextDone:
    made_by = [MadeBy.of(provenance) for provenance in transcript.provenance]
    return TextDone(text=transcript.text, provenance=made_by, warnings=list(warnings))


class Letters:
    """Speakers as OpenAI shows them: known ones by name, the others A, B … in order of appearance."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._given: dict[str, str] = {}
        self._count = 0

    def shown(self, speaker: str | None) -> str:
        label = speaker or ""
        if label in self._names:
            return label
        if label not in self._given:
            self._given[label] = self._next()
        return self._given[label]

    def _next(self) -> str:
        while True:
            letters, rest = "", self._count
            while rest >= 0:  # A … Z, AA, AB …
                letters, rest = chr(ord("A") + rest % 26) + letters, rest // 26 - 1
            self._count += 1
            if letters not in self._names:
                return letters


def as_json(result: BaseModel) -> dict[str, Any]:
    """The body as sent: fields that OpenAI leaves out when they were not asked for are left out."""
    content: dict[str, Any] = result.model_dump()
    absent = [name for name in ("segments", "words", "segment_id") if content.get(name, 0) is None]
    return {name: value for name, value in content.items() if name not in absent}


def _common(transcript: Transcript, warnings: Sequence[str]) -> Mapping[str, Any]:
    return {
        "text": transcript.text,
        "usage": Usage(seconds=_rounded(transcript.duration_s)),
        "provenance": [MadeBy.of(provenance) for provenance in transcript.provenance],
        "warnings": list(warnings),
    }


def _verbose_segments(transcript: Transcript, temperature: float) -> list[VerboseSegment]:
    return [
        VerboseSegment(
            id=index,
            seek=int(segment.start_s * MEL_FRAMES_PER_S),
            start=_rounded(segment.start_s),
            end=_rounded(segment.end_s),
            text=segment.text,
            tokens=[],
            temperature=temperature,
            avg_logprob=_log_probability(segment.confidence),
            compression_ratio=_compression_ratio(segment.text),
            no_speech_prob=segment.no_speech_probability or 0.0,
            confidence=segment.confidence,
        )
        for index, segment in enumerate(transcript.segments)
    ]


def _verbose_words(transcript: Transcript) -> list[VerboseWord]:
    return [
        VerboseWord(
            word=word.text,
            start=_rounded(word.start_s),
            end=_rounded(word.end_s),
            confidence=word.confidence,
            joins_previous=word.joins_previous,
        )
        for segment in transcript.segments
        for word in segment.words
    ]


def _log_probability(confidence: float | None) -> float:
    return 0.0 if confidence is None else round(math.log(max(confidence, 1e-6)), 4)


def _compression_ratio(text: str) -> float:
    """How well the text packs, as Whisper measures repetition: plain bytes by zlib's."""
    raw = text.encode()
    return round(len(raw) / len(zlib.compress(raw)), 4) if raw else 0.0


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
