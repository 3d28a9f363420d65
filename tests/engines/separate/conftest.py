"""What the separation tests share: small Demucs checkpoints, and separation of arrays through files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.separate.contract import SeparateOptions, Separation, SeparationEngine
from clearcast.testing.checkpoints.demucs import write_demucs

SEGMENT_S = Fraction(1)  # an eighth of the published one, for speed

Separate = Callable[..., tuple[dict[str, FloatSamples], Separation]]


@pytest.fixture(scope="session")
def single_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network, as Demucs' own local repository."""
    return write_demucs(tmp_path_factory.mktemp("demucs") / "single", segment_s=SEGMENT_S, layout="th")


@pytest.fixture(scope="session")
def bag_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four networks, one for each stem, as htdemucs_ft."""
    return write_demucs(
        tmp_path_factory.mktemp("demucs") / "bag",
        "htdemucs_ft",
        ("f7e0c4bc", "d12395a8", "92cfc3b6", "04573f0d"),
        weights=np.eye(4).tolist(),
        segment_s=SEGMENT_S,
        layout="th",
    )


@pytest.fixture
def separate(tmp_path: Path) -> Separate:
    """`separate(engine, samples, rate_hz, stems)`: the stems as arrays, and the report."""

    def run(
        engine: SeparationEngine,
        samples: FloatSamples,
        rate_hz: int = 44_100,
        stems: tuple[str, ...] | None = None,
        progress: Progress = ignore_progress,
    ) -> tuple[dict[str, FloatSamples], Separation]:
        engine.load()
        wanted = stems or engine.stems()
        channels = samples.shape[1]
        with SoundWriter(tmp_path / "mix.wav", rate_hz, channels) as writer:
            writer.write(samples)
        with ExitStack() as stack:
            reader = stack.enter_context(SoundReader.open(tmp_path / "mix.wav"))
            writers = {
                stem: stack.enter_context(SoundWriter(tmp_path / f"{stem}.wav", rate_hz, channels))
                for stem in wanted
            }
            report = engine.separate(reader, writers, SeparateOptions(wanted), progress)
        found = {}
        for stem in wanted:
            with SoundReader.open(tmp_path / f"{stem}.wav") as sound:
                found[stem] = sound.read()
        return found, report

    return run
