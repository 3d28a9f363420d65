"""Boost for live sound: a leveller that looks at the past only, then the look-ahead limiter.

What lives here: `LiveBoost`. What does not: files (`dsp`).

The loudness of the talk so far (blocks of 400 ms, gated as BS.1770 does, the last seconds counting most)
decides the gain, ten times a second. In pauses the gain stands still; it rises slowly and falls fast.
"""

from __future__ import annotations

import math

import numpy as np

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.loudness import HOPS_PER_S, MOMENTARY_HOPS, HopPower, lufs
from clearcast.engines.boost._limiter import Dynamics
from clearcast.engines.boost.contract import CEILING_DBTP, FACTORS, BoostOptions, BoostStream

_QUIETEST_LUFS = -60.0  # below it nobody talks
_RELATIVE_GATE_LU = -10.0
_MEMORY_S = 8.0
_HIGHEST_GAIN_DB = 30.0
_LOWEST_GAIN_DB = -30.0
_RISE_DB_PER_S, _FALL_DB_PER_S = 3.0, 9.0
_START_S = 2.0  # of talk, in which the gain finds its place faster
_START_RISE_DB_PER_S = 20.0
_GATE_BELOW_DB = 25.0  # peaks so far below the wanted loudness are pauses, for the limiter


class Leveller:
    """The gain in dB for each tenth of a second, decided from what was heard before it."""

    def __init__(self, target_lufs: float) -> None:
        self._target_lufs = target_lufs
        self._powers = [0.0] * MOMENTARY_HOPS
        self._programme = 0.0  # mean power of the talk so far, recent talk first
        self._heard_s = 0.0
        self._blocks = 0
        self.gain_db = 0.0

    def hear(self, power: float) -> None:
        """Take in the K-weighted power of one more tenth of a second and move the gain."""
        self._powers = [*self._powers[1:], power]
        self._blocks += 1
        if self._blocks < MOMENTARY_HOPS:
            return
        momentary = sum(self._powers) / MOMENTARY_HOPS
        level = _lufs(momentary)
        gate = _QUIETEST_LUFS
        if self._programme > 0.0:
            gate = max(gate, _lufs(self._programme) + _RELATIVE_GATE_LU)
        # Of a pause the block still holds what was said before it: its newest tenth must be talk too.
        if level <= gate or _lufs(power) <= gate:
            return
        self._heard_s += 1.0 / HOPS_PER_S
        weight = 1.0 - math.exp(-1.0 / (HOPS_PER_S * min(_MEMORY_S, self._heard_s)))
        self._programme += (momentary - self._programme) * (1.0 if self._programme == 0.0 else weight)
        wanted = self._target_lufs - _lufs(self._programme)
        wanted = min(_HIGHEST_GAIN_DB, max(_LOWEST_GAIN_DB, wanted))
        rise = _START_RISE_DB_PER_S if self._heard_s < _START_S else _RISE_DB_PER_S
        change = min(rise / HOPS_PER_S, max(-_FALL_DB_PER_S / HOPS_PER_S, wanted - self.gain_db))
        self.gain_db += change


class LiveBoost(BoostStream):
    """Same length out as in, exactly `delay_samples` later, whatever the sizes of the blocks."""

    def __init__(self, sample_rate_hz: int, channels: int, options: BoostOptions) -> None:
        target = options.wanted_lufs
        self._rate_hz = sample_rate_hz
        self._channels = channels
        self._leveller = None if target is None else Leveller(target)
        self._power = HopPower(sample_rate_hz, channels)
        start_db = 20.0 * math.log10(FACTORS[options.mode]) if options.mode else 0.0
        self._from_db = self._to_db = start_db
        self._position = self._hop = 0
        gate_db = (-20.0 if target is None else target) - _GATE_BELOW_DB
        self._dynamics = Dynamics(sample_rate_hz, channels, CEILING_DBTP, gate_db)
        self.delay_samples = self._dynamics.delay_samples
        self._waiting: FloatSamples = np.zeros((self.delay_samples, channels), np.float32)

    def push(self, samples: FloatSamples) -> FloatSamples:
        parts = [self._waiting]
        taken = 0
        while taken < len(samples):
            block = samples[taken : taken + self._border(self._hop + 1) - self._position]
            parts.append(self._dynamics.push(self._louder(block)))
            taken += len(block)
        joined = np.concatenate(parts)
        self._waiting = joined[len(samples) :]
        return joined[: len(samples)]

    def flush(self) -> FloatSamples:
        return np.concatenate((self._waiting, self._dynamics.finish()))[: self.delay_samples]

    def _border(self, hop: int) -> int:
        return hop * self._rate_hz // HOPS_PER_S

    def _louder(self, block: FloatSamples) -> FloatSamples:
        """A block that does not reach beyond this tenth of a second; the gain runs in a straight line from
        that at its start to that at its end, both decided before it."""
        start, stop = self._border(self._hop), self._border(self._hop + 1)
        powers = self._power.push(block)
        at = np.arange(self._position - start, self._position - start + len(block)) / (stop - start)
        gain_db = self._from_db + (self._to_db - self._from_db) * at
        self._position += len(block)
        if self._position == stop:
            self._hop += 1
            self._from_db = self._to_db
            if self._leveller is not None:
                self._leveller.hear(float(powers[0]))
                self._to_db = self._leveller.gain_db
        louder: FloatSamples = block * (10.0 ** (gain_db / 20.0)).astype(np.float32)[:, np.newaxis]
        return louder


def _lufs(power: float) -> float:
    return float(lufs(np.array([power]))[0])
