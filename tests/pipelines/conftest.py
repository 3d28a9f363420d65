"""Services with known answers, so that a flow's own logic can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.recording import Clip
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.embed.contract import Calibration, Embedding
from clearcast.engines.engine import EngineContext, Progress, ignore_progress, make_engine
from clearcast.engines.identify.contract import IdentificationEngine
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.services import Services
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript, Word
from clearcast.speech.turns import Diarization, Span, Turn
from clearcast.testing.services import fake_services

DIARIZER = Provenance("diarize", "script", "script")
EMBEDDER = Provenance("embed", "script", "script-voices")
TRANSCRIBER = Provenance("transcribe", "script", "script", "rough")


@dataclass
class ScriptedDiarizer:
    turns: tuple[Turn, ...]
    duration_s: float

    async def diarize(
        self, clip: Clip, options: DiarizeOptions, progress: Progress = ignore_progress
    ) -> Diarization:
        progress(0.5)
        progress(1.0)
        return Diarization(self.turns, self.duration_s, DIARIZER)


@dataclass
class ScriptedEmbedder:
    """Knows the voice of a clip by its start: `voices` maps a start to a direction."""

    voices: dict[float, Sequence[float]]
    speech: tuple[Span, ...] = ()

    async def describe(self) -> tuple[Provenance, Calibration]:
        return EMBEDDER, Calibration(accept_score=0.75, uncertain_score=0.65)

    async def embed(self, voices: Sequence[Sequence[Clip]]) -> tuple[Embedding | None, ...]:
        return tuple(
            np.asarray(self.voices[group[0].start_s], np.float32) if group else None for group in voices
        )

    async def likeness(self, voiceprint: Embedding, others: Sequence[Embedding]) -> tuple[float, ...]:
        return tuple(float(other @ voiceprint) for other in others)

    async def find_speech(self, clip: Clip, progress: Progress = ignore_progress) -> tuple[Span, ...]:
        return self.speech


@dataclass
class ScriptedTranscriber:
    """One word for each second of speech, "w0", "w1" …, in every window it is asked for."""

    language: str = "en"
    calls: list[tuple[Clip, TranscribeOptions]] = field(default_factory=list)

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        self.calls.append((clip, options))
        assert clip.end_s is not None
        assert options.speech is not None
        window = range(round(clip.start_s), round(clip.end_s))
        seconds = [s for s in window if any(Span(s, s + 1).overlap_s(span) for span in options.speech)]
        words = tuple(Word(s + 0.1, s + 0.9, f"w{s}") for s in seconds)
        progress(1.0)
        segment = Segment(clip.start_s, clip.end_s, " ".join(word.text for word in words), words)
        return Transcript((segment,) if words else (), self.language, clip.end_s, (TRANSCRIBER,), 0.9)


@pytest.fixture
def identifier() -> IdentificationEngine:
    context = EngineContext(models_dir=Path("/nowhere"))
    return make_engine(IdentificationEngine, "cosine", {}, context)


@pytest.fixture
def two_speakers(identifier: IdentificationEngine) -> Services:
    """Ten seconds: A speaks 0–4 and 8–10, B speaks 4–8."""
    turns = (
        Turn(0.0, 4.0, "SPEAKER_00"),
        Turn(4.0, 8.0, "SPEAKER_01"),
        Turn(8.0, 10.0, "SPEAKER_00"),
    )
    embedder = ScriptedEmbedder({0.0: (1.0, 0.0), 4.0: (0.0, 1.0), 8.0: (1.0, 0.0)}, (Span(0.0, 10.0),))
    return replace(
        fake_services(),
        diarizer=ScriptedDiarizer(turns, 10.0),
        embedder=embedder,
        speech_finder=embedder,
        transcriber=ScriptedTranscriber(),
        identifier=identifier,
    )
