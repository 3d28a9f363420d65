"""Services that need no model: results are given, or follow from plain properties of the sound.

To these services a speaker is a tone: voiceprints tell how a sound's power lies over eight bands, so that
two tones are two people and the same tone is the same person again. Silence holds no speech.

What lives here: fakes of the Protocols in `clearcast/services.py`. What does not: fake files (`media`) and
fake checkpoints (`checkpoints`).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clearcast.audio.loudness import Loudness
from clearcast.audio.recording import SAMPLE_RATE_HZ, Clip, Recording
from clearcast.audio.sound import SoundReader
from clearcast.engines.boost.contract import BoostOptions, BoostReport
from clearcast.engines.classify.contract import ClassifyOptions
from clearcast.engines.denoise.contract import DenoiseOptions, DenoiseResult
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.embed.contract import Calibration, Embedding
from clearcast.engines.engine import EngineContext, EngineOptions, Progress, ignore_progress
from clearcast.engines.extract.contract import Extraction, ExtractOrder
from clearcast.engines.identify.contract import Candidate, IdentificationEngine, Match
from clearcast.engines.measure.contract import SoundScore
from clearcast.engines.separate.contract import SeparateOptions, Separation
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.services import Services
from clearcast.speech.extraction import Passage
from clearcast.speech.keywords import Keywords, SpottedWord
from clearcast.speech.meeting import Verdict
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript, Word
from clearcast.speech.turns import Diarization, Span, Turn
from clearcast.storage.voices import Voice

HIGHEST_HZ = 2000
BANDS = 8
SILENCE = 1e-3
_NOWHERE = Path("/nonexistent")
CALIBRATION = Calibration(accept_score=0.9, uncertain_score=0.7, min_speech_s=1.0)


@dataclass(slots=True)
class Hold:
    """Stops a fake in the middle of its work until it is released, and notes how that ended."""

    release: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@dataclass(slots=True)
class FakeDiarizer:
    """Gives `turns` as far as the recording reaches; without any, one speaker talks all the time.

    `asked` collects the options of every call.
    """

    turns: Sequence[Turn] = ()
    hold: Hold | None = None
    asked: list[DiarizeOptions] = field(default_factory=list)

    async def diarize(
        self, clip: Clip, options: DiarizeOptions, progress: Progress = ignore_progress
    ) -> Diarization:
        self.asked.append(options)
        if self.hold is not None:
            await self.hold.wait()
        duration_s, is_silent = _look(clip)
        turns = self.turns or (Turn(0.0, duration_s, "SPEAKER_00"),)
        heard = tuple(
            Turn(turn.start_s, min(turn.end_s, duration_s), turn.speaker)
            for turn in turns
            if turn.start_s < duration_s and not is_silent
        )
        progress(1.0)
        return Diarization(heard, duration_s, Provenance("diarize", "fake", "given-turns"))


@dataclass(slots=True)
class FakeEmbedder:
    """Voiceprints of tones; speech is the whole of a recording that is not silent."""

    async def describe(self) -> tuple[Provenance, Calibration]:
        return Provenance("embed", "fake", "tones"), CALIBRATION

    async def embed(self, voices: Sequence[Sequence[Clip]]) -> tuple[Embedding | None, ...]:
        return tuple(_voiceprint(group) for group in voices)

    async def likeness(self, voiceprint: Embedding, others: Sequence[Embedding]) -> tuple[float, ...]:
        return tuple(float(other @ voiceprint) for other in others)

    async def find_speech(self, clip: Clip, progress: Progress = ignore_progress) -> tuple[Span, ...]:
        duration_s, is_silent = _look(clip)
        progress(1.0)
        return () if is_silent else (Span(0.0, duration_s),)


@dataclass(slots=True)
class FakeTranscriber:
    """Gives those of `segments` that begin in the clip; without any, "hello" for every stretch of speech.

    `asked` collects the options of every call. `error` is raised instead of an answer.
    """

    segments: Sequence[Segment] = ()
    language: str = "en"
    hold: Hold | None = None
    error: Exception | None = None
    asked: list[TranscribeOptions] = field(default_factory=list)

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        self.asked.append(options)
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        duration_s, _ = _look(clip)
        end_s = duration_s if clip.end_s is None else min(clip.end_s, duration_s)
        segments = self.segments or [_hello(span) for span in options.speech or ()]
        progress(1.0)
        return Transcript(
            segments=tuple(one for one in segments if clip.start_s <= one.start_s < end_s),
            language=options.language or self.language,
            duration_s=duration_s,
            provenance=(Provenance("transcribe", "fake", "given-words", "rough"),),
            language_confidence=None if options.language else 0.9,
        )


@dataclass(slots=True)
class FakeBooster:
    """Gives the sound as it is, and says that it did nothing."""

    async def boost(
        self, source: Path, target: Path, options: BoostOptions, progress: Progress = ignore_progress
    ) -> BoostReport:
        shutil.copyfile(source, target)
        progress(1.0)
        heard = Loudness(-23.0, 0.0, -3.0, 0)
        return BoostReport(heard, heard, 0.0, 1.0, 0.0, (), Provenance("boost", "fake", "unchanged"))


@dataclass(slots=True)
class FakeDenoiser:
    """Gives the sound as it is."""

    async def denoise(
        self, source: Path, target: Path, options: DenoiseOptions, progress: Progress = ignore_progress
    ) -> DenoiseResult:
        shutil.copyfile(source, target)
        progress(1.0)
        with SoundReader.open(source) as reader:
            return DenoiseResult(Provenance("denoise", "fake", "unchanged"), reader.duration_s, 0)


@dataclass(slots=True)
class FakeSeparator:
    """Every stem is the whole sound."""

    async def separate(
        self,
        source: Path,
        targets: Mapping[str, Path],
        options: SeparateOptions,
        progress: Progress = ignore_progress,
    ) -> Separation:
        for target in targets.values():
            shutil.copyfile(source, target)
        progress(1.0)
        return Separation(options.stems, None, Provenance("separate", "fake", "unchanged"))


@dataclass(slots=True)
class FakeExtractor:
    """Gives the sound as it is, and says that the person is where the order says."""

    async def extract(
        self, source: Path, target: Path, order: ExtractOrder, progress: Progress = ignore_progress
    ) -> Extraction:
        shutil.copyfile(source, target)
        progress(1.0)
        passages = tuple(Passage(span.start_s, span.end_s, "alone") for span in order.alone)
        return Extraction(passages, Provenance("extract", "fake", "unchanged"))


@dataclass(slots=True)
class FakeClassifier:
    """Whatever is not silent is one word, "yes"."""

    async def classify(
        self, clip: Clip, options: ClassifyOptions, progress: Progress = ignore_progress
    ) -> Keywords:
        duration_s, is_silent = _look(clip)
        words = () if is_silent else (SpottedWord(0.0, duration_s, "yes", 0.9),)
        progress(1.0)
        return Keywords(words, duration_s, ("yes", "no"), Provenance("classify", "fake", "yes"))


@dataclass(slots=True)
class FakeMeter:
    """Every sound measures the same."""

    async def measure(self, source: Path, progress: Progress = ignore_progress) -> SoundScore:
        progress(1.0)
        heard = Loudness(-23.0, 0.0, -3.0, 0)
        return SoundScore(heard, 20.0, None, Provenance("measure", "fake", "constant"))


class FakeIdentifier(IdentificationEngine):
    """The nearest voice by cosine."""

    def __init__(self) -> None:
        super().__init__(EngineOptions(), EngineContext(models_dir=_NOWHERE))

    @classmethod
    def engine_name(cls) -> str:
        return "fake"

    @property
    def model_name(self) -> str:
        return "cosine"

    def _load(self) -> None:
        """Nothing to load."""

    def _run(
        self, embedding: Embedding, voices: Sequence[Voice], model: str, calibration: Calibration
    ) -> Match:
        scored = sorted(
            (
                Candidate(voice.name, float(max(sample.embedding @ embedding for sample in voice.samples)))
                for voice in voices
            ),
            key=lambda candidate: -candidate.score,
        )
        best, runner_up = (*scored, None, None)[:2]
        limits = (calibration.accept_score, calibration.uncertain_score)
        return Match(_verdict(best, *limits), best, runner_up, *limits)


def fake_services(
    diarizer: FakeDiarizer | None = None, transcriber: FakeTranscriber | None = None
) -> Services:
    """All services, none of them real."""
    embedder = FakeEmbedder()
    return Services(
        diarizer=diarizer or FakeDiarizer(),
        embedder=embedder,
        speech_finder=embedder,
        transcriber=transcriber or FakeTranscriber(),
        booster=FakeBooster(),
        denoiser=FakeDenoiser(),
        separator=FakeSeparator(),
        extractor=FakeExtractor(),
        classifier=FakeClassifier(),
        meter=FakeMeter(),
        identifier=FakeIdentifier(),
    )


def _verdict(best: Candidate | None, accept_score: float, uncertain_score: float) -> Verdict:
    if best is None:
        return "not_compared"
    if best.score >= accept_score:
        return "identified"
    return "uncertain" if best.score >= uncertain_score else "unknown"


def _hello(span: Span) -> Segment:
    word = Word(span.start_s, span.end_s, "hello", confidence=0.5)
    return Segment(span.start_s, span.end_s, "hello", (word,), confidence=0.5)


def _look(clip: Clip) -> tuple[float, bool]:
    """The length of the whole recording, and whether it is silent."""
    with Recording.from_uri(clip.uri) as recording:
        loudest = max((float(np.abs(sound).max()) for _, sound in recording.windows(10.0)), default=0.0)
        return recording.duration_s, loudest < SILENCE


def _voiceprint(clips: Sequence[Clip]) -> Embedding | None:
    pieces = []
    for clip in clips:
        with Recording.from_uri(clip.uri) as recording:
            pieces.append(recording.read(clip.start_s, clip.end_s))
    sound = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if len(sound) < SAMPLE_RATE_HZ // 10:
        return None
    power = np.abs(np.fft.rfft(sound)) ** 2
    heard = power[: round(len(power) * HIGHEST_HZ * 2 / SAMPLE_RATE_HZ)]
    bands = np.array([band.sum() for band in np.array_split(heard, BANDS)])
    norm = float(np.linalg.norm(bands))
    return None if norm < SILENCE else np.asarray(bands / norm, np.float32)
