"""The extraction model as a Serve replica, with the embedding model where it needs one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from clearcast.engines.embed.contract import EmbeddingEngine
from clearcast.engines.extract.contract import Extraction, ExtractionEngine, ExtractOrder
from clearcast.local import engine_from
from clearcast.local_sound import LocalExtractor
from clearcast.settings import Settings
from deployments.replica import Replica
from deployments.streamed import Done, stream


class Extractor(Replica):
    """One process with its loaded engines. Sounds travel by their paths, which every node sees."""

    def __init__(self, settings: Settings) -> None:
        threads = settings.serve.extractor.threads
        engine = engine_from(ExtractionEngine, settings, threads)
        embedding = engine_from(EmbeddingEngine, settings, threads)
        engine.load()
        if engine.needs_voiceprints:
            embedding.load()
        self._local = LocalExtractor(engine, embedding)

    async def extract(
        self, source: Path, target: Path, order: ExtractOrder
    ) -> AsyncGenerator[float | Done[Extraction], None]:
        async for item in stream(lambda progress: self._local.extract(source, target, order, progress)):
            yield item
