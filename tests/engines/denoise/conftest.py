"""What the denoising tests share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clearcast.audio.sound import SoundArray
from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions

Cleaned = Callable[..., SoundArray]


@pytest.fixture(scope="session")
def cleaned() -> Cleaned:
    """`cleaned(engine, samples, rate, options, sizes)`: through a stream, in pieces of these sizes in turn,
    with what came out held against the stated delay after every piece."""

    def clean(
        engine: DenoiseEngine,
        samples: SoundArray,
        sample_rate_hz: int = 48_000,
        options: DenoiseOptions = DenoiseOptions(),
        sizes: Sequence[int] = (48_000,),
    ) -> SoundArray:
        with engine.open_stream(sample_rate_hz, samples.shape[1], options) as stream:
            parts, taken, given = [], 0, 0
            for size in cycle(sizes):
                if taken >= len(samples):
                    break
                parts.append(stream.push(samples[taken : taken + size]))
                taken, given = min(taken + size, len(samples)), given + len(parts[-1])
                hops = taken // stream.hop_samples * stream.hop_samples
                assert given == max(0, hops - stream.delay_samples)
            parts.append(stream.flush())
        return np.concatenate(parts)

    return clean


NoisyClean = tuple[str, SoundArray, SoundArray]


@pytest.fixture(scope="session")
def noisy_pairs(shared_audio: Path) -> list[NoisyClean]:
    """(name, noisy, clean), 16 kHz, shape (n, 1)."""

    def pairs() -> Iterator[NoisyClean]:
        for item in json.loads((shared_audio / "manifest.json").read_text())["items"]:
            if item["task"] == "denoise":
                noisy, _ = soundfile.read(shared_audio / item["file"], dtype="float32", always_2d=True)
                clean, _ = soundfile.read(
                    shared_audio / item["truth"]["clean"], dtype="float32", always_2d=True
                )
                yield item["file"], noisy, clean

    return list(pairs())
