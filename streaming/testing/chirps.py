"""Sounds by which a delay can be told, and the measuring of it.

What lives here: a short chirp, finding it again, pairing what was said with what was heard. What does not:
peer connections.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streaming.opus import SAMPLE_RATE_HZ, Sound

_CHIRP_S, _LOW_HZ, _HIGH_HZ = 0.008, 1500.0, 6000.0
CHIRP_PERIOD_S = 0.25
_FOUND = 0.3  # share of a perfect match; concealed and coded chirps lie above, speech and noise below


def _chirp() -> Sound:
    count = round(SAMPLE_RATE_HZ * _CHIRP_S)
    at_s = np.arange(count) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * (_LOW_HZ * at_s + (_HIGH_HZ - _LOW_HZ) * at_s**2 / (2 * _CHIRP_S))
    return np.asarray(0.7 * np.sin(phase) * np.hanning(count), dtype=np.float32)


CHIRP = _chirp()


def chirps(
    duration_s: float, noise: float = 0.003, seed: int = 0, period_s: float = CHIRP_PERIOD_S
) -> Sound:
    """Shape (n, 1): faint noise with a chirp at the start of every period."""
    count = round(duration_s * SAMPLE_RATE_HZ)
    sound = np.random.default_rng(seed).normal(0, noise, count).astype(np.float32)
    for start in range(0, count - len(CHIRP), round(period_s * SAMPLE_RATE_HZ)):
        sound[start : start + len(CHIRP)] += CHIRP
    return sound[:, np.newaxis]


def onsets(sound: npt.NDArray[np.float32]) -> list[int]:
    """Where chirps begin in a mono sound, in samples."""
    if len(sound) < len(CHIRP):
        return []
    match = np.abs(np.correlate(sound, CHIRP, "valid"))
    threshold = _FOUND * float(CHIRP @ CHIRP)
    apart = round(CHIRP_PERIOD_S * SAMPLE_RATE_HZ / 2)
    found, at = [], 0
    while at < len(match):
        if match[at] > threshold:
            best = at + int(np.argmax(match[at : at + len(CHIRP)]))
            found.append(best)
            at = best + apart
        else:
            at += 1
    return found


def delays_ms(
    said_s: Sequence[float], heard_s: Sequence[float], period_s: float = CHIRP_PERIOD_S
) -> list[float]:
    """For every chirp heard, how long after the last one said before it, below the period."""
    said = np.asarray(said_s)
    found = []
    for heard in heard_s:
        index = int(np.searchsorted(said, heard)) - 1
        if index >= 0 and heard - said[index] < period_s:
            found.append(1000 * (heard - float(said[index])))
    return found
