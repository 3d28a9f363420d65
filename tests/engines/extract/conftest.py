"""What the extraction tests share: extraction of arrays through files, and an embedding that prefers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.recording import FloatAudio
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.embed.contract import Embedding
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.extract.contract import Embed, Extraction, ExtractionEngine, ExtractOrder
from clearcast.speech.turns import Span

Extract = Callable[..., tuple[FloatSamples, Extraction]]

VOICEPRINT = np.array([1.0, 0.0], np.float32)


class Preferring:
    """An embedding to which the stream with this index is like `VOICEPRINT`, cosine 0.8, the others not.

    Attributes:
        heard: the utterances of every call.
    """

    def __init__(self, index: int = 0) -> None:
        self._index = index
        self.heard: list[list[FloatAudio]] = []

    def __call__(self, utterances: Sequence[FloatAudio]) -> Embedding:
        self.heard.append(list(utterances))
        vectors = np.tile(np.array([[0.0, 1.0]], np.float32), (len(utterances), 1))
        vectors[self._index] = (0.8, 0.6)
        return vectors


def order(
    *, alone: Sequence[tuple[float, float]] = (), crowded: Sequence[tuple[float, float]] = ()
) -> ExtractOrder:
    """Stretches as pairs of seconds."""
    return ExtractOrder(
        tuple(Span(*stretch) for stretch in alone),
        tuple(Span(*stretch) for stretch in crowded),
        VOICEPRINT,
    )


@pytest.fixture
def extract(tmp_path: Path) -> Extract:
    """`extract(engine, samples, rate_hz, order)`: what was written, shape (n, channels), and the report."""

    def run(
        engine: ExtractionEngine,
        samples: FloatSamples,
        rate_hz: int,
        wanted: ExtractOrder,
        embed: Embed | None = None,
        progress: Progress = ignore_progress,
    ) -> tuple[FloatSamples, Extraction]:
        channels = samples.shape[1]
        with SoundWriter(tmp_path / "all.wav", rate_hz, channels) as writer:
            writer.write(samples)
        with (
            SoundReader.open(tmp_path / "all.wav") as reader,
            SoundWriter(tmp_path / "one.wav", rate_hz, channels) as writer,
        ):
            report = engine.extract(reader, writer, wanted, embed or Preferring(), progress)
        with SoundReader.open(tmp_path / "one.wav") as sound:
            return sound.read(), report

    return run
