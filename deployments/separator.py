"""The separation model as a Serve replica."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from clearcast.engines.separate.contract import SeparateOptions, Separation, SeparationEngine
from clearcast.local import engine_from
from clearcast.local_sound import LocalSeparator
from clearcast.settings import Settings
from deployments.replica import Replica
from deployments.streamed import Done, stream


class Separator(Replica):
    """One process with one loaded engine. Sounds travel by their paths, which every node sees."""

    def __init__(self, settings: Settings) -> None:
        engine = engine_from(SeparationEngine, settings, settings.serve.separator.threads)
        engine.load()
        self._local = LocalSeparator(engine)

    async def separate(
        self, source: Path, targets: Mapping[str, Path], options: SeparateOptions
    ) -> AsyncGenerator[float | Done[Separation], None]:
        async for item in stream(lambda progress: self._local.separate(source, targets, options, progress)):
            yield item
