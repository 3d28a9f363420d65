"""What the keyword network sees of sound: mel-frequency cepstral coefficients of one word.

What lives here: frames of mel levels, and the fixed-size input made of a word's frames. What does not:
where words are (`_splitting`) and the network (`training/network`).

Source: Davis and Mermelstein, 1980; mel scale after O'Shaughnessy, 1987. The frames are those of a stream,
computed once and used for splitting and for classifying, in files, live and in training alike.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from scipy import fft

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio

HOP_SAMPLES = 160  # 10 ms
FRAME_SAMPLES = 400  # 25 ms
MEL_BANDS = 64
COEFFICIENTS = 40
_FFT_SAMPLES = 512
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 7600.0
_LEAST_POWER = 1e-10  # of a band; 16-bit silence with one flickering bit is louder
_RANGE_DB = 60.0  # quieter than this below a word's loudest band says nothing about the word

Frames = npt.NDArray[np.float32]
"""Shape (frames, MEL_BANDS): level of each band in dB, full scale of a sine about +30."""


def num_frames(num_samples: int) -> int:
    """How many whole frames so many samples hold."""
    return max(0, (num_samples - FRAME_SAMPLES) // HOP_SAMPLES + 1)


def mel_frames(samples: FloatAudio) -> Frames:
    """The whole frames of float32 mono at 16 kHz, shape (n,); frame i begins at sample i · HOP_SAMPLES."""
    count = num_frames(len(samples))
    if count == 0:
        return np.zeros((0, MEL_BANDS), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, FRAME_SAMPLES)[::HOP_SAMPLES][:count]
    spectra = fft.rfft(windows * _window(), n=_FFT_SAMPLES, axis=1)
    power = spectra.real**2 + spectra.imag**2
    levels: Frames = 10.0 * np.log10(power @ _filters() + np.float32(_LEAST_POWER))
    return levels


def network_input(frames: Frames, input_frames: int) -> npt.NDArray[np.float32]:
    """A word's frames as the network takes them: shape (COEFFICIENTS, input_frames).

    Each coefficient has mean 0 and spread 1 over the word, so neither loudness nor the colour of the
    channel is seen. The word stands in the middle of zeros; of one that is too long the middle is taken.
    """
    excess = len(frames) - input_frames
    if excess > 0:
        frames = frames[excess // 2 : excess // 2 + input_frames]
    placed = np.zeros((COEFFICIENTS, input_frames), np.float32)
    if len(frames) == 0:
        return placed
    heard = np.maximum(frames, frames.max() - _RANGE_DB)
    cepstra = heard @ _cosines()
    spread = cepstra.std(axis=0) + np.float32(1e-2)
    first = (input_frames - len(frames)) // 2
    placed[:, first : first + len(frames)] = ((cepstra - cepstra.mean(axis=0)) / spread).T
    return placed


@functools.cache
def _window() -> npt.NDArray[np.float32]:
    return np.hanning(FRAME_SAMPLES + 1)[:-1].astype(np.float32)


@functools.cache
def _filters() -> npt.NDArray[np.float32]:
    """Triangles that are even on the mel scale, shape (bins, MEL_BANDS)."""
    mels = np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), MEL_BANDS + 2)
    edges_hz = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins_hz = np.arange(_FFT_SAMPLES // 2 + 1)[:, np.newaxis] * SAMPLE_RATE_HZ / _FFT_SAMPLES
    rising = (bins_hz - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[2:] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    # The lowest triangles are narrower than a bin: they take their nearest one.
    for band in np.flatnonzero(triangles.sum(axis=0) == 0.0):
        triangles[np.argmin(np.abs(bins_hz[:, 0] - edges_hz[band + 1])), band] = 1.0
    return triangles.astype(np.float32)


def _mel(frequency_hz: float) -> float:
    return float(2595.0 * np.log10(1.0 + frequency_hz / 700.0))


@functools.cache
def _cosines() -> npt.NDArray[np.float32]:
    """The orthonormal discrete cosine transform, shape (MEL_BANDS, COEFFICIENTS)."""
    identity = np.eye(MEL_BANDS)
    return np.asarray(fft.dct(identity, type=2, norm="ortho", axis=1)[:, :COEFFICIENTS], np.float32)
