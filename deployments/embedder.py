"""The voice embedding model, with the voice activity model it needs, as a Serve replica."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from ray import serve

from clearcast.audio.recording import Clip
from clearcast.engines.embed.contract import Calibration, Embedding, EmbeddingEngine
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.local import LocalEmbedder, engine_from
from clearcast.settings import Settings
from clearcast.speech.provenance import Provenance
from clearcast.speech.turns import Span
from deployments.replica import Replica
from deployments.streamed import Done, stream

Voices = Sequence[Sequence[Clip]]


class Embedder(Replica):
    """One process with one loaded embedding engine. Calls that arrive together are one batch."""

    def __init__(self, settings: Settings) -> None:
        engine = engine_from(EmbeddingEngine, settings, settings.serve.embedder.threads)
        voice_activity = engine_from(VoiceActivityEngine, settings)
        engine.load()
        voice_activity.load()
        self._local = LocalEmbedder(engine, voice_activity)

    async def describe(self) -> tuple[Provenance, Calibration]:
        return await self._local.describe()

    async def likeness(self, voiceprint: Embedding, others: Sequence[Embedding]) -> tuple[float, ...]:
        return await self._local.likeness(voiceprint, others)

    # 10 ms: far below the time of one embedding, long enough for calls of one burst to meet.
    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.01)
    async def embed(self, calls: list[Voices]) -> list[tuple[Embedding | None, ...]]:
        together = await self._local.embed([group for voices in calls for group in voices])
        answers: list[tuple[Embedding | None, ...]] = []
        start = 0
        for voices in calls:
            answers.append(together[start : start + len(voices)])
            start += len(voices)
        return answers

    async def find_speech(self, clip: Clip) -> AsyncGenerator[float | Done[tuple[Span, ...]], None]:
        async for item in stream(lambda progress: self._local.find_speech(clip, progress)):
            yield item
