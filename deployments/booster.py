"""The booster as a Serve replica."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from clearcast.engines.boost.contract import BoostEngine, BoostOptions, BoostReport
from clearcast.local import engine_from
from clearcast.local_sound import LocalBooster
from clearcast.settings import Settings
from deployments.replica import Replica
from deployments.streamed import Done, stream


class Booster(Replica):
    """One process that makes sounds louder. Sounds travel by their paths, which every node sees."""

    def __init__(self, settings: Settings) -> None:
        engine = engine_from(BoostEngine, settings, settings.serve.booster.threads)
        engine.load()
        self._local = LocalBooster(engine)

    async def boost(
        self, source: Path, target: Path, options: BoostOptions
    ) -> AsyncGenerator[float | Done[BoostReport], None]:
        async for item in stream(lambda progress: self._local.boost(source, target, options, progress)):
            yield item
