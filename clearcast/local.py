"""The services in one process, without Ray: for one file on the command line, for tests and notebooks.

What lives here: the service Protocols implemented on engines in threads, and `local_services`, which
builds them from settings. What does not: the engines and the flows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, Clip, FloatAudio, Recording
from clearcast.engines.boost.contract import BoostEngine
from clearcast.engines.classify.contract import ClassifyOptions, KeywordEngine
from clearcast.engines.denoise.contract import DenoiseEngine
from clearcast.engines.diarize.contract import DiarizationEngine, DiarizeOptions
from clearcast.engines.embed.contract import Calibration, Embedding, EmbeddingEngine
from clearcast.engines.engine import Engine, EngineContext, Progress, ignore_progress, make_engine
from clearcast.engines.extract.contract import ExtractionEngine
from clearcast.engines.identify.contract import IdentificationEngine
from clearcast.engines.measure.contract import MeasureEngine
from clearcast.engines.separate.contract import SeparationEngine
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.local_sound import LocalBooster, LocalDenoiser, LocalExtractor, LocalMeter, LocalSeparator
from clearcast.offload import OneAtATime
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.speech.keywords import Keywords
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization, Span

EngineT = TypeVar("EngineT", bound=Engine)

_BATCH_SAMPLES = 60 * SAMPLE_RATE_HZ  # of speech that is in memory at a time


class LocalDiarizer(OneAtATime):
    def __init__(self, engine: DiarizationEngine) -> None:
        super().__init__()
        self.engine = engine

    async def diarize(
        self, clip: Clip, options: DiarizeOptions, progress: Progress = ignore_progress
    ) -> Diarization:
        def work(report: Progress) -> Diarization:
            with Recording.from_uri(clip.uri) as recording:
                return self.engine.diarize(recording, options, report)

        return await self._run(work, progress)


class LocalEmbedder(OneAtATime):
    def __init__(self, engine: EmbeddingEngine, voice_activity: VoiceActivityEngine) -> None:
        super().__init__()
        self.engine = engine
        self.voice_activity = voice_activity

    async def describe(self) -> tuple[Provenance, Calibration]:
        return self.engine.provenance, self.engine.calibration

    async def embed(self, voices: Sequence[Sequence[Clip]]) -> tuple[Embedding | None, ...]:
        return await self._run(lambda report: embed_groups(self.engine, voices, report))

    async def likeness(self, voiceprint: Embedding, others: Sequence[Embedding]) -> tuple[float, ...]:
        scores = await self._run(lambda _report: self.engine.likeness(voiceprint, np.stack(others)))
        return tuple(float(score) for score in scores)

    async def find_speech(self, clip: Clip, progress: Progress = ignore_progress) -> tuple[Span, ...]:
        def work(report: Progress) -> tuple[Span, ...]:
            with (
                Recording.from_uri(clip.uri) as whole,
                whole.section(clip.start_s, clip.end_s) as recording,
            ):
                found = self.voice_activity.detect(recording, report)
            return tuple(Span(clip.start_s + s.start_s, clip.start_s + s.end_s) for s in found)

        return await self._run(work, progress)


class LocalTranscriber(OneAtATime):
    def __init__(self, engine: TranscriptionEngine) -> None:
        super().__init__(engine.live_at_once)
        self.engine = engine

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        def work(report: Progress) -> Transcript:
            with Recording.from_uri(clip.uri) as recording:
                return self.engine.transcribe(recording, clip.start_s, clip.end_s, options, report)

        return await self._run(work, progress, is_urgent=options.is_live)


class LocalClassifier(OneAtATime):
    def __init__(self, engine: KeywordEngine) -> None:
        super().__init__()
        self.engine = engine

    async def classify(
        self, clip: Clip, options: ClassifyOptions, progress: Progress = ignore_progress
    ) -> Keywords:
        def work(report: Progress) -> Keywords:
            with Recording.from_uri(clip.uri) as recording:
                return self.engine.classify(recording, options, report)

        return await self._run(work, progress)


def embed_groups(
    engine: EmbeddingEngine, voices: Sequence[Sequence[Clip]], progress: Progress = ignore_progress
) -> tuple[Embedding | None, ...]:
    """One voiceprint for each group of clips; None where a group holds too little.

    Groups share batches of `_BATCH_SAMPLES`, so that memory does not grow with their number.
    """
    found: list[Embedding | None] = [None] * len(voices)
    batch: dict[int, FloatAudio] = {}
    for index, group in enumerate(voices):
        sound = _joined(group)
        if engine.is_enough(sound):
            batch[index] = sound
        if index == len(voices) - 1 or sum(map(len, batch.values())) >= _BATCH_SAMPLES:
            for place, embedding in zip(batch, engine.embed(list(batch.values())), strict=True):
                found[place] = embedding
            batch.clear()
            progress((index + 1) / len(voices))
    return tuple(found)


def _joined(clips: Sequence[Clip]) -> FloatAudio:
    pieces: list[FloatAudio] = [np.zeros(0, np.float32)]
    for clip in clips:
        with Recording.from_uri(clip.uri) as recording:
            pieces.append(recording.read(clip.start_s, clip.end_s))
    return np.concatenate(pieces)


def engine_from(kind: type[EngineT], settings: Settings, threads: int | None = None) -> EngineT:
    """The engine that the profile names for a service, not loaded yet.

    `threads` reaches engines that have such an option and whose profile does not set it.
    Raises EngineUnknown, SettingsInvalid.
    """
    choice = getattr(settings.engines, kind.service)
    options = dict(choice.options)
    if threads is not None and kind.has_option(choice.engine, "threads"):
        options.setdefault("threads", threads)
    return make_engine(kind, choice.engine, options, EngineContext(models_dir=settings.models_path))


def local_services(settings: Settings) -> Services:
    """All services in this process, engines loaded at first use. Raises EngineUnknown, SettingsInvalid."""
    embedder = LocalEmbedder(
        engine_from(EmbeddingEngine, settings, settings.serve.embedder.threads),
        engine_from(VoiceActivityEngine, settings),
    )
    return Services(
        diarizer=LocalDiarizer(engine_from(DiarizationEngine, settings, settings.serve.diarizer.threads)),
        embedder=embedder,
        speech_finder=embedder,
        transcriber=LocalTranscriber(
            engine_from(TranscriptionEngine, settings, settings.serve.transcriber.threads)
        ),
        booster=LocalBooster(engine_from(BoostEngine, settings)),
        denoiser=LocalDenoiser(engine_from(DenoiseEngine, settings)),
        separator=LocalSeparator(engine_from(SeparationEngine, settings)),
        extractor=LocalExtractor(engine_from(ExtractionEngine, settings), embedder.engine),
        classifier=LocalClassifier(engine_from(KeywordEngine, settings)),
        meter=LocalMeter(engine_from(MeasureEngine, settings)),
        identifier=engine_from(IdentificationEngine, settings),
    )
