"""The services that make sounds, in one process: from one sound file to another, in threads.

What lives here: opening the files around an engine. What does not: the engines, and the services for speech
(`clearcast/local.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.boost.contract import BoostEngine, BoostOptions, BoostReport
from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions, DenoiseResult
from clearcast.engines.embed.contract import EmbeddingEngine
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.extract.contract import Extraction, ExtractionEngine, ExtractOrder
from clearcast.engines.measure.contract import MeasureEngine, SoundScore
from clearcast.engines.separate.contract import SeparateOptions, Separation, SeparationEngine
from clearcast.offload import OneAtATime

WORKING_COPY_SUFFIX = ".wav"  # of recordings; sounds have another


class LocalBooster(OneAtATime):
    def __init__(self, engine: BoostEngine) -> None:
        super().__init__()
        self.engine = engine

    async def boost(
        self, source: Path, target: Path, options: BoostOptions, progress: Progress = ignore_progress
    ) -> BoostReport:
        def work(report: Progress) -> BoostReport:
            with SoundReader.open(source) as reader, _like(reader, target) as writer:
                return self.engine.boost(reader, writer, options, report)

        return await self._run(work, progress)


class LocalDenoiser(OneAtATime):
    def __init__(self, engine: DenoiseEngine) -> None:
        super().__init__()
        self.engine = engine

    async def denoise(
        self, source: Path, target: Path, options: DenoiseOptions, progress: Progress = ignore_progress
    ) -> DenoiseResult:
        def work(report: Progress) -> DenoiseResult:
            with SoundReader.open(source) as reader, _like(reader, target) as writer:
                return self.engine.denoise(reader, writer, options, report)

        return await self._run(work, progress)


class LocalSeparator(OneAtATime):
    def __init__(self, engine: SeparationEngine) -> None:
        super().__init__()
        self.engine = engine

    async def separate(
        self,
        source: Path,
        targets: Mapping[str, Path],
        options: SeparateOptions,
        progress: Progress = ignore_progress,
    ) -> Separation:
        def work(report: Progress) -> Separation:
            with ExitStack() as stack:
                reader = stack.enter_context(SoundReader.open(source))
                writers = {
                    stem: stack.enter_context(_like(reader, target)) for stem, target in targets.items()
                }
                return self.engine.separate(reader, writers, options, report)

        return await self._run(work, progress)


class LocalExtractor(OneAtATime):
    """`embedding` makes the voiceprints that an engine may ask for; it is loaded when one does."""

    def __init__(self, engine: ExtractionEngine, embedding: EmbeddingEngine) -> None:
        super().__init__()
        self.engine = engine
        self.embedding = embedding

    async def extract(
        self, source: Path, target: Path, order: ExtractOrder, progress: Progress = ignore_progress
    ) -> Extraction:
        def work(report: Progress) -> Extraction:
            with SoundReader.open(source) as reader, _like(reader, target) as writer:
                return self.engine.extract(reader, writer, order, self.embedding.embed, report)

        return await self._run(work, progress)


class LocalMeter(OneAtATime):
    def __init__(self, engine: MeasureEngine) -> None:
        super().__init__()
        self.engine = engine

    async def measure(self, source: Path, progress: Progress = ignore_progress) -> SoundScore:
        def work(report: Progress) -> SoundScore:
            if source.suffix != WORKING_COPY_SUFFIX:
                with SoundReader.open(source) as reader:
                    return self.engine.measure(reader, report)
            with Recording.open(source) as recording:
                return self.engine.measure(_Mono(recording), report)

        return await self._run(work, progress)


@dataclass(frozen=True, slots=True)
class _Mono:
    """A working copy for speech, read like a sound."""

    recording: Recording
    sample_rate_hz: int = SAMPLE_RATE_HZ
    channels: int = 1

    @property
    def num_samples(self) -> int:
        return self.recording.num_samples

    def read(self, start: int, stop: int) -> FloatSamples:
        return self.recording.read_samples(start, stop)[:, np.newaxis]


def _like(reader: SoundReader, target: Path) -> SoundWriter:
    return SoundWriter(target, reader.sample_rate_hz, reader.channels)
