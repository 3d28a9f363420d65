"""The diarization model as a Serve replica."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from clearcast.audio.recording import Clip
from clearcast.engines.diarize.contract import DiarizationEngine, DiarizeOptions
from clearcast.local import LocalDiarizer, engine_from
from clearcast.settings import Settings
from clearcast.speech.turns import Diarization
from deployments.replica import Replica
from deployments.streamed import Done, stream


class Diarizer(Replica):
    """One process with one loaded diarization engine."""

    def __init__(self, settings: Settings) -> None:
        engine = engine_from(DiarizationEngine, settings, settings.serve.diarizer.threads)
        engine.load()
        self._local = LocalDiarizer(engine)

    async def diarize(
        self, clip: Clip, options: DiarizeOptions
    ) -> AsyncGenerator[float | Done[Diarization], None]:
        async for item in stream(lambda progress: self._local.diarize(clip, options, progress)):
            yield item
