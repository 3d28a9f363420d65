"""True peak: the highest point of the curve between the samples, by eight-fold oversampling.

What lives here: the filter and its streaming form. What does not: who uses it (`_loudness`, `_limiter`).

ITU-R BS.1770-5 Annex 2 asks for at least four-fold oversampling at 48 kHz, which under-reads by up to
0.7 dB at the top of the band; eight-fold halves the angle and reads within 0.17 dB.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from clearcast.audio.chunk import FloatSamples

REACH_SAMPLES = 10  # to either side; the length that scipy.signal.resample_poly takes
_BLOCK_SAMPLES = 1 << 13  # keeps the unfolded windows in the processor's cache


def oversampling(sample_rate_hz: int) -> int:
    """How many points are looked at for each sample: more of them the lower the rate."""
    return 8 if sample_rate_hz < 88_200 else 4 if sample_rate_hz < 176_400 else 2


class PeakFinder:
    """For each sample the largest magnitude from it up to the next one, over all channels.

    Before the first and after the last sample there is silence. Where the curve cannot rise above
    `unimportant`, which may be changed at any time, the samples themselves are taken for it.
    """

    def __init__(self, sample_rate_hz: int, channels: int, unimportant: float = 0.0) -> None:
        self.unimportant = unimportant
        self._phases = _phases(oversampling(sample_rate_hz))
        self._most_rise = float(np.abs(self._phases).sum(axis=0).max())
        self._held: FloatSamples = np.zeros((REACH_SAMPLES - 1, channels), np.float32)

    def push(self, samples: FloatSamples) -> FloatSamples:
        """Shape (n, channels) in; out (m,): the peaks that are known now, REACH_SAMPLES behind."""
        joined = np.concatenate((self._held, samples))
        ready = max(0, len(joined) - 2 * REACH_SAMPLES + 1)
        self._held = joined[ready:]
        peaks = np.zeros(ready, np.float32)
        for channel in range(samples.shape[1] if ready else 0):
            self._raise(peaks, np.ascontiguousarray(joined[:, channel]))
        return peaks

    def finish(self) -> FloatSamples:
        """The peaks of the last REACH_SAMPLES samples."""
        return self.push(np.zeros((REACH_SAMPLES, self._held.shape[1]), np.float32))

    def _raise(self, peaks: FloatSamples, samples: FloatSamples) -> None:
        """Raise `peaks` to those of one channel."""
        from scipy.ndimage import maximum_filter1d

        magnitudes = np.abs(samples)
        middle = slice(REACH_SAMPLES - 1, len(samples) - REACH_SAMPLES)
        np.maximum(peaks, magnitudes[middle], out=peaks)
        # A window of 2 · REACH is centred at its element REACH: the samples that the curve is made of here.
        around = maximum_filter1d(magnitudes, 2 * REACH_SAMPLES, mode="constant", origin=-1)[middle]
        places = np.flatnonzero(around * self._most_rise > self.unimportant)
        windows = sliding_window_view(samples, 2 * REACH_SAMPLES)
        for start in range(0, len(places), _BLOCK_SAMPLES):
            some = places[start : start + _BLOCK_SAMPLES]
            between = np.abs(windows[some] @ self._phases).max(axis=1)
            peaks[some] = np.maximum(peaks[some], between)


def _phases(factor: int) -> npt.NDArray[np.float32]:
    """Shape (2 REACH_SAMPLES, factor − 1): weights of the samples around for each point between two."""
    from scipy.signal import firwin

    taps = firwin(2 * REACH_SAMPLES * factor + 1, 1.0 / factor, window=("kaiser", 5.0)) * factor
    # Point i of sample n weighs sample k by taps[(n − k + REACH) · factor + i], n − REACH < k ≤ n + REACH.
    columns = [taps[point::factor][::-1] for point in range(1, factor)]
    return np.stack(columns, axis=1).astype(np.float32)
