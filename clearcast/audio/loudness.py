"""Loudness as people hear it: ITU-R BS.1770-5 and EBU R 128 (Tech 3341, Tech 3342), of a stream of blocks.

What lives here: K-weighting, gating, loudness range, true peak, all in memory that does not grow: gated
blocks are kept as a histogram of 0.01 LU. What does not: what is done about it
(`engines/boost`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.true_peak import PeakFinder

ABSOLUTE_GATE_LUFS = -70.0  # BS.1770-5 Annex 1
HOPS_PER_S = 10  # blocks of 400 ms overlap by three quarters
MOMENTARY_HOPS = 4
SHORT_TERM_HOPS = 30  # 3 s, Tech 3341
_RELATIVE_GATE_LU = -10.0
_RANGE_GATE_LU = -20.0  # Tech 3342
_RANGE_PERCENTILES = (10.0, 95.0)
_OFFSET_LU = -0.691  # makes a 997 Hz sine of 0 dBFS in one channel read −3.01 LUFS

_BINS_PER_LU = 100
_LOWEST_LUFS, _HIGHEST_LUFS = -150.0, 40.0
_PEAK_BINS_PER_DB = 10
_LOWEST_PEAK_DB, _HIGHEST_PEAK_DB = -60.0, 40.0

CLIPPED = 32767 / 32768  # the end of the 16-bit range; many programs never write −32768

# Surround channels count 1.41, the bass channel nothing (BS.1770-5 table 3); order as FFmpeg's layouts.
_CHANNEL_WEIGHTS = {
    5: (1.0, 1.0, 1.0, 1.41, 1.41),
    6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41),
    7: (1.0, 1.0, 1.0, 0.0, 1.0, 1.41, 1.41),
    8: (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.41, 1.41),
}


@dataclass(frozen=True, slots=True)
class Loudness:
    """What a sound measures by EBU R 128.

    Attributes:
        integrated_lufs: None where nothing is above the absolute gate of −70 LUFS.
        loudness_range_lu: how far apart quiet and loud passages are; 0 for less than 3 s.
        true_peak_dbtp: between the samples, by oversampling; None where every sample is zero.
        clipped_samples: samples at or beyond the ends of the 16-bit range.
    """

    integrated_lufs: float | None
    loudness_range_lu: float
    true_peak_dbtp: float | None
    clipped_samples: int


class HopPower:
    """Mean K-weighted power of consecutive stretches of 100 ms, channels summed by their weights.

    Where the rate is no multiple of ten, stretches differ by one sample and no time is lost.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._rate_hz = sample_rate_hz
        self._sections = k_weighting(sample_rate_hz)
        self._state = np.zeros((len(self._sections), channels, 2))
        weights = _CHANNEL_WEIGHTS.get(channels, (1.0,) * channels)
        self._weights = np.array(weights, np.float64)
        self._power: npt.NDArray[np.float64] = np.zeros(0)  # of the stretch that is not complete yet
        self._hops = 0

    def push(self, samples: FloatSamples) -> npt.NDArray[np.float64]:
        """Shape (n, channels) in; out (k,): powers of the stretches that are complete now."""
        from scipy.signal import sosfilt

        if not len(samples):
            return np.zeros(0)
        heard, self._state = sosfilt(self._sections, samples.T, axis=1, zi=self._state)
        self._power = np.concatenate((self._power, self._weights @ np.square(heard)))
        first = self._boundary(self._hops)
        complete = self._hops_before(first + len(self._power)) - self._hops
        if complete <= 0:
            return np.zeros(0)
        edges = np.array([self._boundary(self._hops + k) - first for k in range(complete + 1)])
        sums = np.add.reduceat(self._power[: edges[-1]], edges[:-1])
        self._power = self._power[edges[-1] :]
        self._hops += complete
        means: npt.NDArray[np.float64] = sums / np.diff(edges)
        return means

    def rest(self) -> tuple[float, int]:
        """(mean power, samples) of the stretch that is not complete."""
        return (float(self._power.mean()) if len(self._power) else 0.0), len(self._power)

    def _boundary(self, hop: int) -> int:
        return hop * self._rate_hz // HOPS_PER_S

    def _hops_before(self, samples: int) -> int:
        """How many stretches end at or before this sample."""
        hops = samples * HOPS_PER_S // self._rate_hz
        return hops + (self._boundary(hops + 1) <= samples)


class LoudnessMeter:
    """Adds up blocks of shape (n, channels), float32, full scale 1."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._rate_hz = sample_rate_hz
        self._hop_power = HopPower(sample_rate_hz, channels)
        self._peaks = PeakFinder(sample_rate_hz, channels)
        self._recent: npt.NDArray[np.float64] = np.zeros(0)
        self._momentary = _Gated()
        self._short_term = _Gated()
        self._total_power, self._hops = 0.0, 0
        self._true_peak = 0.0
        self._peak_counts = np.zeros(
            round((_HIGHEST_PEAK_DB - _LOWEST_PEAK_DB) * _PEAK_BINS_PER_DB), np.int64
        )
        self._clipped = 0

    def add(self, samples: FloatSamples) -> None:
        """Hear one more block."""
        self._clipped += int(np.count_nonzero(np.abs(samples) >= CLIPPED))
        self._peaks.unimportant = self._true_peak
        self._add_peaks(self._peaks.push(samples))
        powers = self._hop_power.push(samples)
        if not len(powers):
            return
        self._total_power += float(powers.sum())
        self._hops += len(powers)
        joined = np.concatenate((self._recent, powers))
        for gated, hops in ((self._momentary, MOMENTARY_HOPS), (self._short_term, SHORT_TERM_HOPS)):
            # Of the old ones only as many as make each new one end a block once.
            ending = joined[max(0, len(joined) - len(powers) - hops + 1) :]
            if len(ending) >= hops:
                gated.add(np.convolve(ending, np.full(hops, 1.0 / hops), "valid"))
        self._recent = joined[-(SHORT_TERM_HOPS - 1) :]

    def result(self) -> Loudness:
        """What was heard so far. Call it once, at the end.

        Sound shorter than one block of 400 ms is measured as one block of its own length.
        """
        self._add_peaks(self._peaks.finish())
        if self._hops < MOMENTARY_HOPS:
            self._add_whole()
        integrated = self._momentary.gated_lufs(_RELATIVE_GATE_LU)
        return Loudness(
            integrated_lufs=integrated,
            loudness_range_lu=self._short_term.spread_lu() if integrated is not None else 0.0,
            true_peak_dbtp=20.0 * math.log10(self._true_peak) if self._true_peak > 0.0 else None,
            clipped_samples=self._clipped,
        )

    def gain_db_to(self, target_lufs: float) -> float:
        """The gain after which this sound has that integrated loudness; ask after `result`.

        More than the difference where the gain moves quiet passages across the absolute gate.
        """
        gain_db = 0.0
        for _ in range(10):
            loudness = self._momentary.gated_lufs(_RELATIVE_GATE_LU, gain_db)
            if loudness is None or abs(loudness - target_lufs) < 1e-3:
                break
            gain_db += target_lufs - loudness
        return gain_db

    def busy_peak_db(self, percent: float) -> float | None:
        """The peak that this share of the 100 ms stretches that hold sound stay below; None in silence."""
        total = int(self._peak_counts.sum())
        if not total:
            return None
        at = int(np.searchsorted(np.cumsum(self._peak_counts), total * percent / 100.0))
        return _LOWEST_PEAK_DB + (at + 1) / _PEAK_BINS_PER_DB

    def _add_peaks(self, peaks: FloatSamples) -> None:
        if not len(peaks):
            return
        self._true_peak = max(self._true_peak, float(peaks.max()))
        # Statistics only: stretches begin anew with each block.
        step = max(1, self._rate_hz // HOPS_PER_S)
        tops = np.maximum.reduceat(peaks, np.arange(0, len(peaks), step))
        tops_db = 20.0 * np.log10(np.maximum(tops, 1e-9))
        bins = np.floor((tops_db[tops_db > _LOWEST_PEAK_DB] - _LOWEST_PEAK_DB) * _PEAK_BINS_PER_DB)
        np.add.at(self._peak_counts, np.minimum(bins.astype(np.intp), len(self._peak_counts) - 1), 1)

    def _add_whole(self) -> None:
        power, samples = self._hop_power.rest()
        whole_hops = self._hops + samples * HOPS_PER_S / self._rate_hz
        if whole_hops > 0.0:
            share = samples * HOPS_PER_S / self._rate_hz
            self._momentary.add(np.array([(self._total_power + power * share) / whole_hops]))


class _Gated:
    """Blocks of any loudness: how many of each, and their power. Gates are applied when it is asked for."""

    def __init__(self) -> None:
        bins = round((_HIGHEST_LUFS - _LOWEST_LUFS) * _BINS_PER_LU)
        self._counts = np.zeros(bins, np.int64)
        self._powers = np.zeros(bins, np.float64)

    def add(self, powers: npt.NDArray[np.float64]) -> None:
        levels = lufs(powers)
        above = levels > _LOWEST_LUFS
        bins = np.floor((levels[above] - _LOWEST_LUFS) * _BINS_PER_LU).astype(np.intp)
        bins = np.minimum(bins, len(self._counts) - 1)
        np.add.at(self._counts, bins, 1)
        np.add.at(self._powers, bins, powers[above])

    def gated_lufs(self, gate_lu: float, gain_db: float = 0.0) -> float | None:
        """Loudness, after a gain, of the blocks above the absolute gate and above that relative to the mean
        of all such; None when there are none."""
        first = self._gate_bin(gate_lu, gain_db)
        count = int(self._counts[first:].sum())
        if not count:
            return None
        return float(lufs(np.array([self._powers[first:].sum() / count]))[0]) + gain_db

    def spread_lu(self) -> float:
        """Loudness range by Tech 3342: between the 10th and the 95th percentile of gated blocks."""
        first = self._gate_bin(_RANGE_GATE_LU)
        counts = np.cumsum(self._counts[first:])
        if not len(counts):
            return 0.0
        low, high = (
            int(np.searchsorted(counts, math.floor((counts[-1] - 1) * percent / 100.0 + 0.5) + 1))
            for percent in _RANGE_PERCENTILES
        )
        return (high - low) / _BINS_PER_LU

    def _gate_bin(self, gate_lu: float, gain_db: float = 0.0) -> int:
        """The first of the bins that pass both gates."""
        first = max(0, round((ABSOLUTE_GATE_LUFS - gain_db - _LOWEST_LUFS) * _BINS_PER_LU))
        count = int(self._counts[first:].sum())
        if not count:
            return len(self._counts)
        mean_lufs = float(lufs(np.array([self._powers[first:].sum() / count]))[0])
        return max(first, round((mean_lufs + gate_lu - _LOWEST_LUFS) * _BINS_PER_LU))


def lufs(power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Loudness of K-weighted mean powers; −200 for nothing at all."""
    level: npt.NDArray[np.float64] = _OFFSET_LU + 10.0 * np.log10(np.maximum(power, 1e-20))
    return level


def k_weighting(sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """The two filters of BS.1770-5 Annex 1 as second-order sections, shape (2, 6).

    The standard prints coefficients for 48 kHz; for other rates the analogue filters behind them are
    transformed anew (their parameters as in libebur128), which gives the printed ones at 48 kHz.
    """
    rate_hz = float(sample_rate_hz)
    # Head: a shelf of +4 dB above 1.7 kHz. Below 3.4 kHz of rate it lies beyond the band.
    k = math.tan(math.pi * min(1681.974450955533 / rate_hz, 0.49))
    high, quality = 10.0 ** (3.999843853973347 / 20.0), 0.7071752369554196
    middle = high**0.4996667741545416
    a0 = 1.0 + k / quality + k * k
    shelf = (
        (high + middle * k / quality + k * k) / a0,
        2.0 * (k * k - high) / a0,
        (high - middle * k / quality + k * k) / a0,
        1.0,
        2.0 * (k * k - 1.0) / a0,
        (1.0 - k / quality + k * k) / a0,
    )
    # RLB: what lies below 38 Hz counts less and less.
    k, quality = math.tan(math.pi * 38.13547087602444 / rate_hz), 0.5003270373238773
    a0 = 1.0 + k / quality + k * k
    bass = (1.0, -2.0, 1.0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / quality + k * k) / a0)
    return np.array([shelf, bass])
