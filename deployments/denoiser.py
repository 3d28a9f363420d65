"""The denoising model as a Serve replica."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions, DenoiseResult
from clearcast.local import engine_from
from clearcast.local_sound import LocalDenoiser
from clearcast.settings import Settings
from deployments.replica import Replica
from deployments.streamed import Done, stream


class Denoiser(Replica):
    """One process with one loaded engine. Sounds travel by their paths, which every node sees."""

    def __init__(self, settings: Settings) -> None:
        engine = engine_from(DenoiseEngine, settings, settings.serve.denoiser.threads)
        engine.load()
        self._local = LocalDenoiser(engine)

    async def denoise(
        self, source: Path, target: Path, options: DenoiseOptions
    ) -> AsyncGenerator[float | Done[DenoiseResult], None]:
        async for item in stream(lambda progress: self._local.denoise(source, target, options, progress)):
            yield item
