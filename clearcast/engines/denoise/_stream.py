"""The live form of denoising: pieces of any length in, the same sound out, late by a stated delay.

What lives here: what all engines share: hops, resampling to the engine's rate and back, alignment with the
untouched sound, mixing with it, and the ceiling. What does not: taking noise away (`DenoiseCore`, which
each engine implements).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from clearcast.engines.denoise._resampling import LOOK_AHEAD_SAMPLES, Resampler, Sound

# Cleaned sound may overshoot by a little where the recording is near full scale. What lies beyond the knee
# is bent softly below the ceiling instead of being cut off by whoever stores it in 16 bits.
_KNEE = 0.98
_CEILING = 0.9995


class DenoiseCore(ABC):
    """An engine's part of one stream, at the engine's own rate.

    Attributes:
        sample_rate_hz: the one rate it knows.
        hop_samples: it takes multiples of this many samples.
        lag_samples: its output comes so much later than its input; a multiple of the hop.
    """

    sample_rate_hz: int
    hop_samples: int
    lag_samples: int

    @abstractmethod
    def process(self, samples: Sound) -> Sound:
        """(k · hop_samples, channels) float32 in, as many out, late by `lag_samples`."""

    @abstractmethod
    def finish(self, rest: Sound) -> Sound:
        """The last samples, fewer than a hop, in; the `lag_samples` + len(rest) that are still due out."""

    def close(self) -> None:  # noqa: B027  # most have nothing to give back
        """Give back what the garbage collector does not."""


class DenoiseStream:
    """Sound in pieces: `push` any number of times, `flush` once.

    Everything that came out, joined, has exactly the length of what went in, sample k belonging to sample
    k: nothing is to be dropped. After n samples in, max(0, ⌊n / hop⌋ · hop − delay) have come out.

    Attributes:
        sample_rate_hz, channels: of what goes in and what comes out.
        hop_samples: 10 ms, or the next multiple of it that is a whole number of samples at this rate.
        delay_samples: the delay, exact when whole hops are pushed.
    """

    def __init__(self, core: DenoiseCore, sample_rate_hz: int, channels: int, dry_share: float) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self._core = core
        self._dry_share = np.float32(dry_share)
        ratio = sample_rate_hz / core.sample_rate_hz
        unit = core.sample_rate_hz // math.gcd(core.hop_samples * sample_rate_hz, core.sample_rate_hz)
        self.hop_samples = core.hop_samples * unit * sample_rate_hz // core.sample_rate_hz
        self.delay_samples = core.lag_samples
        self._up = self._down = None
        if sample_rate_hz != core.sample_rate_hz:
            self._up = Resampler(sample_rate_hz, core.sample_rate_hz, channels)
            self._down = Resampler(core.sample_rate_hz, sample_rate_hz, channels)
            # The way up comes up to its look-ahead short of a whole hop, which then waits for the next.
            held = core.lag_samples + core.hop_samples * (1 + _hops_of_look_ahead(core, ratio))
            self.delay_samples = math.ceil(held * ratio) + math.ceil(LOOK_AHEAD_SAMPLES * max(1.0, ratio))
        self._pending = _Queue(channels)  # at the core's rate, less than a hop
        self._wet = _Queue(channels)
        self._dry = _Queue(channels)
        self._lead = core.lag_samples  # of the core's output, still to be left out
        self._taken = self._given = 0
        self._peak = 1.0
        self._flushed = False

    def push(self, samples: Sound) -> Sound:
        """Shape (n, channels) float32 in, n ≥ 0; what is ready comes out, shape (m, channels).

        Raises ValueError for another shape or type, and after `flush`.
        """
        if samples.ndim != 2 or samples.shape[1] != self.channels or samples.dtype != np.float32:
            raise ValueError(f"expected float32 (n, {self.channels}), not {samples.dtype} {samples.shape}")
        if self._flushed:
            raise ValueError("the stream was flushed")
        self._taken += len(samples)
        self._dry.put(samples)
        if len(samples):
            self._peak = max(self._peak, float(samples.max()), -float(samples.min()))
        self._pending.put(samples if self._up is None else self._up.push(samples))
        self._clean(
            self._pending.take(len(self._pending) // self._core.hop_samples * self._core.hop_samples)
        )
        due = self._taken // self.hop_samples * self.hop_samples - self.delay_samples
        return self._out(min(due - self._given, len(self._wet)))

    def flush(self) -> Sound:
        """The rest; the stream takes nothing more."""
        if self._flushed:
            return np.zeros((0, self.channels), np.float32)
        self._flushed = True
        if self._taken == 0:
            return np.zeros((0, self.channels), np.float32)
        if self._up is not None:
            self._pending.put(self._up.finish())
        hop = self._core.hop_samples
        self._clean(self._pending.take(len(self._pending) // hop * hop))
        self._keep(self._core.finish(self._pending.take(len(self._pending))))
        if self._down is not None:
            self._wet.put(self._down.finish())
        due = self._taken - self._given
        missing = due - len(self._wet)
        if missing > 0:  # one or two samples of rounding where the rate is above the engine's
            self._wet.put(np.zeros((missing, self.channels), np.float32))
        self.close()
        return self._out(due)

    def close(self) -> None:
        """Drop the state; what was not flushed is lost."""
        self._flushed = True
        self._core.close()

    def _clean(self, samples: Sound) -> None:
        if len(samples):
            self._keep(self._core.process(samples))

    def _keep(self, cleaned: Sound) -> None:
        """Take the core's output, without what it gave before the first sample was through."""
        if self._lead:
            left_out = min(self._lead, len(cleaned))
            self._lead -= left_out
            cleaned = cleaned[left_out:]
        self._wet.put(cleaned if self._down is None else self._down.push(cleaned))

    def _out(self, count: int) -> Sound:
        if count <= 0:
            return np.zeros((0, self.channels), np.float32)
        self._given += count
        wet, dry = self._wet.take(count), self._dry.take(count)
        if self._dry_share == 1:
            return dry
        if self._dry_share:
            wet = wet * (1 - self._dry_share) + dry * self._dry_share
        return _bent(wet, self._peak)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hops_of_look_ahead(core: DenoiseCore, ratio: float) -> int:
    """Whole hops of the core that the way up holds back beyond the one begun; 0 at all usual rates."""
    return math.floor(LOOK_AHEAD_SAMPLES / min(1.0, ratio) / core.hop_samples)


def _bent(samples: Sound, peak: float) -> Sound:
    """Samples beyond the loudest of the recording (or full scale, if that is more), bent below it."""
    knee = np.float32(_KNEE * peak)
    if samples.max() <= knee and samples.min() >= -knee:
        return samples
    beyond = np.abs(samples) > knee
    room = np.float32((_CEILING - _KNEE) * peak)
    bent = samples.copy()
    high = np.abs(samples[beyond])
    bent[beyond] = np.sign(samples[beyond]) * (knee + room * np.tanh((high - knee) / room))
    return bent


class _Queue:
    """Samples that wait, first in, first out."""

    def __init__(self, channels: int) -> None:
        self._parts: list[Sound] = []
        self._nothing: Sound = np.zeros((0, channels), np.float32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, samples: Sound) -> None:
        if len(samples):
            self._parts.append(samples)
            self._count += len(samples)

    def take(self, count: int) -> Sound:
        """The first `count` samples, which must be there."""
        if count <= 0:
            return self._nothing
        joined = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._count -= count
        self._parts = [joined[count:].copy()] if self._count else []
        return joined[:count]
