"""The services as pipelines see them: Protocols, so that the same flow runs over Serve handles, in one
process and over Ray Data.

What lives here: only the promises. In-process implementations are in `clearcast/local.py`, those over
Serve handles in `deployments/handles.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from clearcast.audio.recording import Clip
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.embed.contract import Calibration, Embedding
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.identify.contract import IdentificationEngine
from clearcast.engines.transcribe.contract import TranscribeOptions
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


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the pipelines may call."""

    diarizer: Diarizer
    embedder: Embedder
    speech_finder: SpeechFinder
    transcriber: Transcriber
    identifier: IdentificationEngine
