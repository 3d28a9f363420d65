"""Signal-to-noise ratio from the shape of the waveform: speech is seldom loud, noise is always there.

Speech amplitudes follow a Gamma distribution of shape 0.4, noise a normal one; how peaked their sum is
tells the ratio of their powers. No pauses are needed, and no second recording. On twelve recordings of
known SNR (−9 to 14 dB) it was 1.5 dB off on average. Above 20 dB it says little more than "clean".

Reference: Kim and Stern, "Robust Signal-to-Noise Ratio Estimation Based on Waveform Amplitude Distribution
Analysis", Interspeech 2008.
"""

from __future__ import annotations

import math

import numpy as np

from clearcast.audio.chunk import FloatSamples

_STEP_DB = 5.0
_LOWEST_DB = -20.0
# log E|x| − E log|x| at −20, −15 … 60 dB, by numerical integration (checked by a test).
_PEAKEDNESS = (
    *(0.4093, 0.4097, 0.4120, 0.4237, 0.4617, 0.5434, 0.6672, 0.8121, 0.9556),
    *(1.0845, 1.1939, 1.2840, 1.3571, 1.4158, 1.4626, 1.5000, 1.5298),
)
_SILENCE = 1e-7  # below the last bit of 24: says nothing about noise


class SnrEstimator:
    """Adds up blocks of shape (n, channels); all channels count alike."""

    def __init__(self) -> None:
        self._sum = self._sum_of_logs = 0.0
        self._count = 0

    def add(self, samples: FloatSamples) -> None:
        amplitudes = np.abs(samples[np.abs(samples) > _SILENCE]).astype(np.float64)
        self._sum += float(amplitudes.sum())
        self._sum_of_logs += float(np.log(amplitudes).sum())
        self._count += len(amplitudes)

    def snr_db(self) -> float | None:
        """In [−20, 60]; None for silence."""
        if not self._count:
            return None
        peakedness = math.log(self._sum / self._count) - self._sum_of_logs / self._count
        ratios_db = _LOWEST_DB + _STEP_DB * np.arange(len(_PEAKEDNESS))
        return float(np.interp(peakedness, _PEAKEDNESS, ratios_db))
