"""Boost on fifty assorted sounds: how near to the target, how far below the ceiling by another measure than
our own, and the processor time."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench._sounds import assorted
from bench.row import Row
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.boost.contract import BoostEngine, BoostOptions, BoostReport
from clearcast.engines.engine import EngineContext, make_engine

TARGETS_LUFS = (-14.0, -16.0, -23.0)
CEILING_DBTP = -1.0


def rows() -> Iterator[Row]:
    engine = make_engine(BoostEngine, "dsp", {}, EngineContext(models_dir=Path()))
    engine.load()
    off_lu: list[float] = []
    peaks_dbtp: list[float] = []
    cpu_s = sound_s = 0.0
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, path in enumerate(assorted(folder)):
            target_lufs = TARGETS_LUFS[index % len(TARGETS_LUFS)]
            started_s = time.process_time()
            louder = folder / "louder.wav"
            report = boosted(engine, path, louder, BoostOptions(target_lufs=target_lufs))
            cpu_s += time.process_time() - started_s
            with SoundReader.open(louder) as sound:
                sound_s += sound.duration_s
                peaks_dbtp.append(independent_true_peak_dbtp(sound))
            if "target_not_reached" in report.warnings:
                missed += 1
                yield Row("boost", path.stem, "target not reached by", _off(report, target_lufs), "LU")
            else:
                off_lu.append(_off(report, target_lufs))
            path.unlink()
    case = f"{len(peaks_dbtp)} sounds"
    yield Row("boost", case, "within 0.2 LU of the target", sum(off <= 0.2 for off in off_lu), "sounds")
    yield Row("boost", case, "target not reached, and said so", missed, "sounds")
    yield Row("boost", case, "farthest from the target", max(off_lu), "LU", 0.2)
    yield Row("boost", case, "highest true peak (8 × by scipy)", max(peaks_dbtp), "dBTP", CEILING_DBTP)
    yield Row("boost", case, "cpu-RTF", cpu_s / sound_s, "")


def boosted(engine: BoostEngine, source: Path, target: Path, options: BoostOptions) -> BoostReport:
    with (
        SoundReader.open(source) as reader,
        SoundWriter(target, reader.sample_rate_hz, reader.channels) as writer,
    ):
        return engine.boost(reader, writer, options)


def _off(report: BoostReport, target_lufs: float) -> float:
    reached = report.after.integrated_lufs
    return math.inf if reached is None else abs(reached - target_lufs)


def independent_true_peak_dbtp(sound: SoundReader) -> float:
    """The peak after eight-fold resampling by SciPy."""
    from scipy.signal import resample_poly

    peak = 1e-9
    block, around = 1 << 18, 1 << 10
    for start in range(0, sound.num_samples, block):
        samples = sound.read(start - around, start + block + around).astype(np.float64)
        first = 8 * (start - max(0, start - around))
        louder = resample_poly(samples, 8, 1, axis=0)[first : first + 8 * block]
        peak = max(peak, float(np.abs(louder).max()))
    return 20.0 * math.log10(peak)
