"""The services as pipelines see them: Protocols, so that the same flow runs over Serve handles, in one
process and over Ray Data.

What lives here: only the promises. In-process implementations are in `clearcast/local.py`, those over
Serve handles in `deployments/handles.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clearcast.audio.recording import Clip
from clearcast.engines.boost.contract import BoostOptions, BoostReport
from clearcast.engines.classify.contract import ClassifyOptions
from clearcast.engines.denoise.contract import DenoiseOptions, DenoiseResult
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.embed.contract import Calibration, Embedding
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.extract.contract import Extraction, ExtractOrder
from clearcast.engines.identify.contract import IdentificationEngine
from clearcast.engines.measure.contract import SoundScore
from clearcast.engines.separate.contract import SeparateOptions, Separation
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.speech.keywords import Keywords
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization, Span


class Diarizer(Protocol):
    async def diarize(
        self, clip: Clip, options: DiarizeOptions, progress: Progress = ignore_progress
    ) -> Diarization:
        """Who speaks when in the recording."""
        ...


class Embedder(Protocol):
    async def describe(self) -> tuple[Provenance, Calibration]:
        """The model voiceprints come from and the scores that go with it."""
        ...

    async def embed(self, voices: Sequence[Sequence[Clip]]) -> tuple[Embedding | None, ...]:
        """One voiceprint for each group of clips of one speaker, shape (dimension,).

        The clips of a group are stretches of speech and are joined. None where they hold too little.
        """
        ...

    async def likeness(self, voiceprint: Embedding, others: Sequence[Embedding]) -> tuple[float, ...]:
        """How like that voice each of the others is, to be read by `Calibration.present_score`."""
        ...


class SpeechFinder(Protocol):
    async def find_speech(self, clip: Clip, progress: Progress = ignore_progress) -> tuple[Span, ...]:
        """Where somebody speaks within the clip, in seconds from the start of the recording."""
        ...


class Transcriber(Protocol):
    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        """What is said in the clip; times count from the start of the recording."""
        ...


class Booster(Protocol):
    async def boost(
        self, source: Path, target: Path, options: BoostOptions, progress: Progress = ignore_progress
    ) -> BoostReport:
        """The sound file `source` (`clearcast.audio.sound`) made louder, as a sound file at `target`."""
        ...


class Denoiser(Protocol):
    async def denoise(
        self, source: Path, target: Path, options: DenoiseOptions, progress: Progress = ignore_progress
    ) -> DenoiseResult:
        """The sound file `source` without its noise, as a sound file at `target`."""
        ...


class Separator(Protocol):
    async def separate(
        self,
        source: Path,
        targets: Mapping[str, Path],
        options: SeparateOptions,
        progress: Progress = ignore_progress,
    ) -> Separation:
        """The sound file `source` taken apart: a sound file for each stem that `targets` names."""
        ...


class Extractor(Protocol):
    async def extract(
        self, source: Path, target: Path, order: ExtractOrder, progress: Progress = ignore_progress
    ) -> Extraction:
        """One person's voice out of the sound file `source`, as a sound file at `target`."""
        ...


class Classifier(Protocol):
    async def classify(
        self, clip: Clip, options: ClassifyOptions, progress: Progress = ignore_progress
    ) -> Keywords:
        """The keywords of the whole recording."""
        ...


class Meter(Protocol):
    async def measure(self, source: Path, progress: Progress = ignore_progress) -> SoundScore:
        """What a sound file, or a working copy for speech, is like in numbers."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the pipelines may call."""

    diarizer: Diarizer
    embedder: Embedder
    speech_finder: SpeechFinder
    transcriber: Transcriber
    booster: Booster
    denoiser: Denoiser
    separator: Separator
    extractor: Extractor
    classifier: Classifier
    meter: Meter
    identifier: IdentificationEngine
