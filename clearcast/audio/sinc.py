"""Sample rates changed by a windowed sinc, the filter that Demucs uses.

What lives here: `Resampler`, for sound that arrives in blocks, and `resample`, for sound that is at hand.
Their output is that of `julius.resample_frac` for the whole signal at once, in float tolerance, for any
pair of rates. What does not: FFmpeg's resampler (`clearcast.audio.resample`).

Reference: the windowed sinc of J. O. Smith, "Digital Audio Resampling", with julius' parameters.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from clearcast.audio.chunk import FloatSamples

_ZEROS = 24  # crossings of the sinc to either side
_ROLLOFF = 0.945  # of the lower rate's band passes
_MOST_PHASES = 2048  # more are computed when they are needed
_OUTPUTS_AT_ONCE = 1 << 12  # unfolded windows stay within a few MB


def resample(
    samples: FloatSamples, from_hz: int, to_hz: int, num_samples: int | None = None
) -> FloatSamples:
    """Sound of shape (n, channels) at another rate; as it is where the rates are equal.

    `num_samples` is how many come out, instead of n · to_hz // from_hz; beyond the end of the sound its
    last sample goes on. Raises ValueError when there is no sound.
    """
    if from_hz == to_hz and num_samples in (None, len(samples)):
        return samples
    resampler = Resampler(from_hz, to_hz)
    count = resampler.output_samples(len(samples)) if num_samples is None else num_samples
    known = resampler.push(samples)
    return np.concatenate((known, resampler.finish(count)))[:count]


class Resampler:
    """Blocks of shape (n, channels) at one rate in, blocks at another out.

    The first output stands where the first input stood. Beyond its ends the signal is taken to go on with
    its first and last sample.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        common = math.gcd(from_hz, to_hz)
        self._old, self._new = from_hz // common, to_hz // common
        self._scale = min(self._old, self._new) * _ROLLOFF / self._old
        self._reach = math.ceil(_ZEROS / self._scale)
        self._offsets = np.arange(-self._reach, self._reach + 2, dtype=np.float64)
        self._table: FloatSamples | None = None
        if self._new <= _MOST_PHASES:
            self._table = self._weights(np.arange(self._new))
        self._held: FloatSamples | None = None
        self._first = -self._reach  # position in the signal of the first one held
        self._given = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing came in so far."""
        return self._held is None

    def output_samples(self, input_samples: int) -> int:
        """How many come out in all, unless told otherwise; rounded down as julius does."""
        return input_samples * self._new // self._old

    def push(self, samples: FloatSamples) -> FloatSamples:
        """The outputs that are known now."""
        if not len(samples):
            return samples
        if self._held is None:
            self._held = np.repeat(samples[:1], self._reach, axis=0)
        self._held = np.concatenate((self._held, samples))
        # Output m looks at inputs up to m · old // new + reach + 1.
        last = self._first + len(self._held) - 1 - self._reach - 1
        return self._until(-(-(last + 1) * self._new // self._old) if last >= 0 else 0)

    def finish(self, output_samples: int) -> FloatSamples:
        """The rest, so that `output_samples` have come out in all."""
        if self._held is None:
            raise ValueError("nothing came in")
        ahead = output_samples * self._old // self._new + self._reach + 2
        missing = max(0, ahead - (self._first + len(self._held)) + 1)
        self._held = np.concatenate((self._held, np.repeat(self._held[-1:], missing, axis=0)))
        return self._until(output_samples)

    def _until(self, stop: int) -> FloatSamples:
        assert self._held is not None
        channels = self._held.shape[1]
        if stop <= self._given:
            return np.zeros((0, channels), np.float32)
        parts: list[FloatSamples] = [np.zeros((0, channels), np.float32)]
        windows = sliding_window_view(self._held, len(self._offsets), axis=0)
        for start in range(self._given, stop, _OUTPUTS_AT_ONCE):
            places = np.arange(start, min(stop, start + _OUTPUTS_AT_ONCE)) * self._old
            bases, phases = places // self._new, places % self._new
            weights = self._weights(phases) if self._table is None else self._table[phases]
            parts.append(np.einsum("nct,nt->nc", windows[bases - self._reach - self._first], weights))
        self._given = stop
        passed = self._given * self._old // self._new - self._reach - self._first
        if passed > 0:
            self._held, self._first = self._held[passed:], self._first + passed
        return np.concatenate(parts)

    def _weights(self, phases: npt.NDArray[np.int64]) -> FloatSamples:
        """Shape (phases, taps): the sinc around places between two inputs, adding up to one."""
        time = (self._offsets - phases[:, np.newaxis] / self._new) * self._scale
        time = np.clip(time, -_ZEROS, _ZEROS)
        weights = np.sinc(time) * np.square(np.cos(time * (np.pi / 2.0 / _ZEROS)))
        weights /= weights.sum(axis=1, keepdims=True)
        return weights.astype(np.float32)
