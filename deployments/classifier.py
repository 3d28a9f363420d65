"""The keyword model as a Serve replica."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from clearcast.audio.recording import Clip
from clearcast.engines.classify.contract import ClassifyOptions, KeywordEngine
from clearcast.local import LocalClassifier, engine_from
from clearcast.settings import Settings
from clearcast.speech.keywords import Keywords
from deployments.replica import Replica
from deployments.streamed import Done, stream


class Classifier(Replica):
    """One process with one loaded engine."""

    def __init__(self, settings: Settings) -> None:
        engine = engine_from(KeywordEngine, settings, settings.serve.classifier.threads)
        engine.load()
        self._local = LocalClassifier(engine)

    async def classify(
        self, clip: Clip, options: ClassifyOptions
    ) -> AsyncGenerator[float | Done[Keywords], None]:
        async for item in stream(lambda progress: self._local.classify(clip, options, progress)):
            yield item
