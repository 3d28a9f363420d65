"""Boost by our own signal processing: make-up gain, gentle compression as far as needed, true-peak limiter.

The sound is read once to measure it. Where the gain leaves room below −1 dBTP, nothing else is done to it.
Where it does not, the loudness that compressor and limiter take away is made up for by more gain, found by
trial: each trial reads the sound once more and writes nothing. Memory holds one block, however long the
sound.

Reference: ITU-R BS.1770-5, EBU R 128, EBU Tech 3341 and 3342.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.loudness import Loudness, LoudnessMeter
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.boost._compressor import Compression, compression_for
from clearcast.engines.boost._limiter import MARGIN_DB, Dynamics
from clearcast.engines.boost._stream import LiveBoost
from clearcast.engines.boost.contract import (
    CEILING_DBTP,
    FACTORS,
    BoostEngine,
    BoostOptions,
    BoostReport,
    BoostStream,
    Warning_,
)
from clearcast.engines.engine import Progress

_BLOCK_SAMPLES = 1 << 15
_CLOSE_LU = 0.05  # to the target; then no more trials
_REACHED_LU = 0.2
_MOST_TRIALS = 8
# More make-up than this for what the limiter takes away would crush the sound.
_MOST_MAKE_UP_DB = 15.0
_BUSY_PERCENT = 98.0  # a single click is the limiter's business, not the compressor's
_GATE_BELOW_DB = 25.0  # peaks so far below the loudness of the whole are pauses


@dataclass(frozen=True, slots=True)
class Plan:
    """Attributes:
    gain_db: make-up gain.
    dynamics: False where the gain alone keeps below the ceiling.
    gate_db: level of peaks below which the gain of compressor and limiter does not rise.
    """

    gain_db: float
    dynamics: bool
    gate_db: float
    compression: Compression | None


class DspEngine(BoostEngine):
    """Gain, compressor and limiter; exact to 0.2 LU where the target can be reached without crushing."""

    @property
    def model_name(self) -> str:
        return "EBU R 128"

    def _load(self) -> None:
        """Nothing to read; SciPy is imported now rather than in mid-work."""
        import scipy.ndimage
        import scipy.signal

        del scipy

    def _run(
        self, reader: SoundReader, writer: SoundWriter, options: BoostOptions, progress: Progress
    ) -> BoostReport:
        whole = _Passes(reader, progress)
        meter = whole.meter()
        for block in whole.blocks():
            meter.add(block)
        before, busy_db = meter.result(), meter.busy_peak_db(_BUSY_PERCENT)
        if before.integrated_lufs is None or before.true_peak_dbtp is None or busy_db is None:
            return self._unchanged(whole, writer, before)
        target = options.wanted_lufs
        if target is None:
            assert options.mode is not None
            gain_db = 20.0 * math.log10(FACTORS[options.mode])
        else:
            gain_db = meter.gain_db_to(target)
        plan = _plan(gain_db, before, busy_db)
        if target is not None and plan.dynamics:
            plan = _find_make_up(whole, target, lambda gain: _plan(gain, before, busy_db), gain_db)
        after, deepest_db = whole.run(plan, writer.write, last=True)
        missed = target is not None and not _reached(after, target)
        return BoostReport(
            before=before,
            after=after,
            gain_db=plan.gain_db,
            compression_ratio=plan.compression.ratio if plan.compression else 1.0,
            deepest_reduction_db=abs(deepest_db),
            warnings=("target_not_reached",) if missed else (),
            provenance=self.provenance,
        )

    def _unchanged(self, whole: _Passes, writer: SoundWriter, before: Loudness) -> BoostReport:
        """Silence stays what it is."""
        for block in whole.blocks(last=True):
            writer.write(block)
        silent: Warning_ = "silent"
        return BoostReport(before, before, 0.0, 1.0, 0.0, (silent,), self.provenance)

    def _open_stream(self, sample_rate_hz: int, channels: int, options: BoostOptions) -> BoostStream:
        return LiveBoost(sample_rate_hz, channels, options)


class _Passes:
    """Reads the sound from beginning to end, several times, and tells the progress of all together.

    How many passes there will be is not known: each but the last takes 30 % of what is left.
    """

    def __init__(self, reader: SoundReader, progress: Progress) -> None:
        self._reader = reader
        self._progress = progress
        self._done = 0.0

    def meter(self) -> LoudnessMeter:
        return LoudnessMeter(self._reader.sample_rate_hz, self._reader.channels)

    def blocks(self, *, last: bool = False) -> Iterator[FloatSamples]:
        total = self._reader.num_samples
        share = (1.0 - self._done) * (1.0 if last else 0.3)
        for start in range(0, total, _BLOCK_SAMPLES):
            self._progress(self._done + share * start / total)
            yield self._reader.read(start, start + _BLOCK_SAMPLES)
        self._done += share
        if last:
            self._progress(1.0)

    def run(
        self, plan: Plan, write: Callable[[FloatSamples], None] | None = None, *, last: bool = False
    ) -> tuple[Loudness, float]:
        """Carry out a plan: how it measures afterwards, and the lowest gain of the dynamics in dB."""
        meter = self.meter()
        gain = np.float32(10.0 ** (plan.gain_db / 20.0))
        dynamics = None
        if plan.dynamics:
            rate_hz, channels = self._reader.sample_rate_hz, self._reader.channels
            dynamics = Dynamics(rate_hz, channels, CEILING_DBTP, plan.gate_db, plan.compression)

        def give(samples: FloatSamples) -> None:
            meter.add(samples)
            if write is not None:
                write(samples)

        for block in self.blocks(last=last):
            louder = block * gain
            give(louder if dynamics is None else dynamics.push(louder))
        if dynamics is not None:
            give(dynamics.finish())
        return meter.result(), dynamics.deepest_db if dynamics else 0.0


def _plan(gain_db: float, before: Loudness, busy_db: float) -> Plan:
    assert before.true_peak_dbtp is not None
    assert before.integrated_lufs is not None
    over = before.true_peak_dbtp + gain_db > CEILING_DBTP
    return Plan(
        gain_db=gain_db,
        dynamics=over,
        gate_db=before.integrated_lufs + gain_db - _GATE_BELOW_DB,
        compression=compression_for(busy_db + gain_db, CEILING_DBTP - MARGIN_DB) if over else None,
    )


def _find_make_up(
    whole: _Passes, target_lufs: float, plan_for: Callable[[float], Plan], first_db: float
) -> Plan:
    """The plan that comes nearest to the target, by the secant method: loudness grows with gain, but less
    the more the limiter has to do."""
    gain_db, slope = first_db, 1.0
    tried: list[tuple[float, float, float]] = []  # (how far off, gain, loudness)
    for _ in range(_MOST_TRIALS):
        reached, _deepest = whole.run(plan_for(gain_db))
        loudness = reached.integrated_lufs
        if loudness is None:
            break
        tried.append((abs(target_lufs - loudness), gain_db, loudness))
        if tried[-1][0] <= _CLOSE_LU:
            break
        if len(tried) > 1 and tried[-1][1] != tried[-2][1]:
            slope = (tried[-1][2] - tried[-2][2]) / (tried[-1][1] - tried[-2][1])
            slope = min(1.0, max(0.25, slope))
        at_limit = gain_db == first_db + _MOST_MAKE_UP_DB
        gain_db = min(first_db + _MOST_MAKE_UP_DB, gain_db + (target_lufs - loudness) / slope)
        if at_limit and gain_db == first_db + _MOST_MAKE_UP_DB:
            break
    return plan_for(min(tried)[1] if tried else first_db)


def _reached(after: Loudness, target_lufs: float) -> bool:
    loudness = after.integrated_lufs
    return loudness is not None and abs(loudness - target_lufs) <= _REACHED_LU
