"""The transcription model as a Serve replica."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from clearcast.audio.recording import Clip
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.local import LocalTranscriber, engine_from
from clearcast.settings import Settings
from clearcast.speech.transcript import Transcript
from deployments.replica import Replica
from deployments.streamed import Done, stream


class Transcriber(Replica):
    """One process with one loaded transcription engine."""

    def __init__(self, settings: Settings) -> None:
        engine = engine_from(TranscriptionEngine, settings, settings.serve.transcriber.threads)
        engine.load()
        self._local = LocalTranscriber(engine)

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions
    ) -> AsyncGenerator[float | Done[Transcript], None]:
        async for item in stream(lambda progress: self._local.transcribe(clip, options, progress)):
            yield item
