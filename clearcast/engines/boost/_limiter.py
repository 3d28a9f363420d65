"""Look-ahead limiting of the true peak, and the course of the gain over time.

What lives here: `GainCurve`, which makes wanted gains smooth without ever being above them, and `Dynamics`,
which applies compressor and limiter to a stream of blocks. What does not: how loud it shall be (`dsp`).

Gains are computed for steps of 1 ms and drawn as straight lines in between; all channels get the same one,
so the stereo image stays. Where the input goes below the gate the gain does not rise: pauses do not swell.

Look-ahead by a running minimum and a moving average of the same length: G. Luff, "Designing a
straightforward limiter", Signalsmith Audio, 2022.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.true_peak import REACH_SAMPLES, PeakFinder
from clearcast.engines.boost._compressor import Compression

STEPS_PER_S = 1000
# The points between samples are seen by an eight-fold grid (0.17 dB at the very top of the band), and the
# changing gain itself moves them a little.
MARGIN_DB = 0.1
_LIMITER_AHEAD_STEPS = 5
_LIMITER_RELEASE_S = 0.04
_COMPRESSOR_AHEAD_STEPS = 10
_COMPRESSOR_RELEASE_S = 0.1
_SILENCE_DB = -200.0
_LONGEST_RUN = 1000  # steps whose release is multiplied out at once, lest the product vanish

Decibels = npt.NDArray[np.float64]


def step_samples(sample_rate_hz: int) -> int:
    """Samples of one step."""
    return max(1, round(sample_rate_hz / STEPS_PER_S))


class GainCurve:
    """From the gain wanted for each step to one at each border of steps.

    Border j lies before step j. Its gain is never above what the steps on either side want, falls in a
    straight line (of dB) over `ahead_steps` before it must, and rises exponentially towards 0 dB, only
    where the gate is open.
    """

    def __init__(self, ahead_steps: int, release_s: float) -> None:
        self._ahead = ahead_steps
        self._decay = math.exp(-1.0 / (release_s * STEPS_PER_S))
        self._wanted: Decibels = np.zeros(1)  # of the step before the first border
        self._open: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._last = 0.0
        self._held: Decibels | None = None

    def push(self, wanted: Decibels, is_open: npt.NDArray[np.bool_]) -> Decibels:
        """Wanted gains (≤ 0) and gates of the next steps in; out: the next borders, `ahead_steps` − 1
        behind the number of steps."""
        self._wanted = np.concatenate((self._wanted, wanted))
        self._open = np.concatenate((self._open, is_open))
        ready = len(self._wanted) - self._ahead
        if ready <= 0:
            return np.zeros(0)
        lowest = sliding_window_view(self._wanted, self._ahead + 1).min(axis=1)
        decay = np.where(self._open[:ready], self._decay, 1.0)
        self._wanted, self._open = self._wanted[ready:], self._open[ready:]
        released = np.concatenate(
            [
                self._release(lowest[start : start + _LONGEST_RUN], decay[start : start + _LONGEST_RUN])
                for start in range(0, ready, _LONGEST_RUN)
            ]
        )
        if self._held is None:
            # A sound that begins loud finds the gain where it must be.
            self._held = np.full(self._ahead - 1, released[0])
        joined = np.concatenate((self._held, released))
        self._held = joined[ready:]
        # Each of the averaged values is at most what the steps beside this border want.
        averages: Decibels = sliding_window_view(joined, self._ahead).mean(axis=1)
        return averages

    def _release(self, lowest: Decibels, decay: Decibels) -> Decibels:
        """g[j] = min(lowest[j], g[j − 1] · decay[j]) without a loop: divided by the product of decays it is
        a running minimum."""
        product = np.cumprod(decay)
        start = np.array([self._last])
        released: Decibels = np.minimum.accumulate(np.concatenate((start, lowest / product)))[1:] * product
        self._last = float(released[-1])
        return released


class Dynamics:
    """Compressor (where one is given) and limiter for a stream of blocks; the sound comes out unshifted,
    some time after it went in.

    Attributes:
        delay_samples: how far the output may lie behind the input, at most.
        deepest_db: the lowest gain so far, ≤ 0.
    """

    def __init__(
        self,
        sample_rate_hz: int,
        channels: int,
        ceiling_db: float,
        gate_db: float,
        compression: Compression | None = None,
    ) -> None:
        self._ceiling_db = ceiling_db - MARGIN_DB
        self._gate_db = gate_db
        self._compression = compression
        self._step = step_samples(sample_rate_hz)
        self._channels = channels
        lowest_db = min(self._ceiling_db, compression.lowest_db if compression else 0.0)
        self._finder = PeakFinder(sample_rate_hz, channels, 10.0 ** (lowest_db / 20.0))
        self._limit = GainCurve(_LIMITER_AHEAD_STEPS, _LIMITER_RELEASE_S)
        self._compress = GainCurve(_COMPRESSOR_AHEAD_STEPS, _COMPRESSOR_RELEASE_S)
        ahead = _LIMITER_AHEAD_STEPS + (_COMPRESSOR_AHEAD_STEPS if compression else 0)
        self.delay_samples = ahead * self._step + self._step - 1 + REACH_SAMPLES
        self.deepest_db = 0.0
        self._held: FloatSamples = np.zeros((0, channels), np.float32)
        self._peaks: FloatSamples = np.zeros(1, np.float32)  # from the one before the next step on
        self._levels: Decibels = np.zeros(0)  # of steps whose compression is not known yet
        self._compressed: Decibels = np.zeros(0)  # borders from the next step of the limiter on
        self._totals: Decibels = np.zeros(0)  # compressor borders waiting for the limiter's
        self._borders: Decibels = np.zeros(0)  # from the next step to come out on

    def push(self, samples: FloatSamples) -> FloatSamples:
        """Shape (n, channels) in; what is ready comes out, float32."""
        self._held = np.concatenate((self._held, samples))
        self._hear(self._finder.push(samples))
        return self._ready()

    def finish(self) -> FloatSamples:
        """What is still held."""
        left = len(self._held)
        self._hear(self._finder.finish())
        quiet = np.zeros(self.delay_samples + self._step, np.float32)
        self._held = np.concatenate((self._held, np.zeros((len(quiet), self._channels), np.float32)))
        self._hear(quiet)
        return self._ready()[:left]

    def _hear(self, peaks: FloatSamples) -> None:
        """Move the gain on by the peaks that are known now."""
        self._peaks = np.concatenate((self._peaks, peaks))
        steps = (len(self._peaks) - 1) // self._step
        if not steps:
            return
        # The curve between the last sample of the step before and the first of this one belongs to both.
        tops = sliding_window_view(self._peaks, self._step + 1)[:: self._step][:steps].max(axis=1)
        self._peaks = self._peaks[steps * self._step :]
        levels = 20.0 * np.log10(np.maximum(tops.astype(np.float64), 10.0 ** (_SILENCE_DB / 20.0)))
        self._levels = np.concatenate((self._levels, levels))
        compressed = self._compressor_borders(levels)
        self._compressed = np.concatenate((self._compressed, compressed))
        self._totals = np.concatenate((self._totals, compressed))
        known = len(self._compressed) - 1
        if known <= 0:
            return
        before = np.maximum(self._compressed[:-1], self._compressed[1:])
        self._compressed = self._compressed[known:]
        levels, self._levels = self._levels[:known], self._levels[known:]
        wanted = np.minimum(0.0, self._ceiling_db - (levels + before))
        limited = self._limit.push(wanted, levels > self._gate_db)
        totals = limited + self._totals[: len(limited)]
        self._totals = self._totals[len(limited) :]
        self._borders = np.concatenate((self._borders, totals))

    def _compressor_borders(self, levels: Decibels) -> Decibels:
        """Gains at the next borders; without a compressor, as many zeros."""
        if self._compression is None:
            first = 0 if self._compressed.size else 1  # the border before the first step
            return np.zeros(len(levels) + first)
        return self._compress.push(self._compression.gain_db(levels), levels > self._gate_db)

    def _ready(self) -> FloatSamples:
        """The steps between borders whose gains are known."""
        steps = min(len(self._borders) - 1, len(self._held) // self._step)
        if steps <= 0:
            return np.zeros((0, self._channels), np.float32)
        borders = self._borders[: steps + 1]
        self._borders = self._borders[steps:]
        count = steps * self._step
        block, self._held = self._held[:count], self._held[count:]
        lowest = float(borders.min())
        if lowest >= 0.0:
            return block
        self.deepest_db = min(self.deepest_db, lowest)
        gains = 10.0 ** (borders / 20.0)
        position = np.arange(self._step) / self._step
        lines = gains[:-1, np.newaxis] + np.diff(gains)[:, np.newaxis] * position
        louder: FloatSamples = block * lines.reshape(-1, 1).astype(np.float32)
        return louder
