"""Resemblyzer's network and the mel frames it hears, from the weights in its package.

What lives here: the same arithmetic without the package's own imports. It takes librosa, and with it numba,
for one spectrogram, which costs every process that tells voices apart more than a second of its start. What
does not: voiceprints of utterances (`resemblyzer.py`).

Source: resemblyzer 0.1.4 (`voice_encoder.py`, `hparams.py`); the mel filters are librosa's and Slaney's
("Auditory Toolbox", 1998). A test compares both with the package.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio

MelFrames = npt.NDArray[np.float32]

FRAME_SAMPLES = 160  # 10 ms
WINDOW_FRAMES = 160  # what the network hears at once: 1.6 s
_FFT_SAMPLES = 400  # 25 ms
_BANDS = 40
_HIDDEN, _LAYERS = 256, 3
_BLOCK_FRAMES = 6000  # a minute at a time, so that the spectrum needs 10 MB and not the recording's length

# Slaney's mel scale: linear to 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0


def mel_frames(sound: FloatAudio) -> MelFrames:
    """Mel power spectrum, shape (1 + samples // 160, 40), of mono sound at 16 kHz."""
    padded = np.pad(np.asarray(sound, np.float32), _FFT_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::FRAME_SAMPLES]
    window, filters = _window(), _filters()
    blocks = []
    for start in range(0, len(frames), _BLOCK_FRAMES):
        spectrum = np.fft.rfft(frames[start : start + _BLOCK_FRAMES] * window).astype(np.complex64)
        blocks.append(np.abs(spectrum) ** 2 @ filters.T)
    return np.concatenate(blocks)


def partial_frames(samples: int, partials_per_s: float, least_covered: float) -> list[slice]:
    """The windows of an utterance, in mel frames, as the package's `compute_partial_slices` puts them; the
    last may reach beyond the end."""
    step = round(SAMPLE_RATE_HZ / partials_per_s / FRAME_SAMPLES)
    frames = -(-(samples + 1) // FRAME_SAMPLES)
    starts = range(0, max(1, frames - WINDOW_FRAMES + step + 1), step)
    slices = [slice(start, start + WINDOW_FRAMES) for start in starts]
    covered = (samples - slices[-1].start * FRAME_SAMPLES) / (WINDOW_FRAMES * FRAME_SAMPLES)
    return slices[:-1] if covered < least_covered and len(slices) > 1 else slices


def load_encoder(device: str) -> Any:
    """The trained network on that device, a `torch.nn.Module`: mel frames of shape (windows, frames, 40) to
    unit vectors of shape (windows, 256)."""
    import torch

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(_BANDS, _HIDDEN, _LAYERS, batch_first=True)
            self.linear = torch.nn.Linear(_HIDDEN, _HIDDEN)

        def forward(self, mels: torch.Tensor) -> torch.Tensor:
            _, (hidden, _) = self.lstm(mels)
            raw = torch.relu(self.linear(hidden[-1]))
            unit: torch.Tensor = raw / torch.norm(raw, dim=1, keepdim=True)
            return unit

    encoder = Encoder()
    weights = torch.load(_weights_path(), map_location="cpu", weights_only=True)["model_state"]
    encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
    return encoder.to(device).eval()


def _weights_path() -> Path:
    found = importlib.util.find_spec("resemblyzer")  # without importing it
    assert found is not None and found.origin is not None
    return Path(found.origin).with_name("pretrained.pt")


@functools.cache
def _window() -> npt.NDArray[np.float64]:
    """Hann, periodic."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT_SAMPLES) / _FFT_SAMPLES)


@functools.cache
def _filters() -> npt.NDArray[np.float32]:
    """Shape (40, 201): triangles of equal area between neighbours on the mel scale."""
    bins_hz = np.linspace(0.0, SAMPLE_RATE_HZ / 2, 1 + _FFT_SAMPLES // 2)
    edges_hz = _hz(np.linspace(0.0, _top_mel(), _BANDS + 2))
    widths_hz = np.diff(edges_hz)
    away_hz = edges_hz[:, np.newaxis] - bins_hz
    rising = -away_hz[:-2] / widths_hz[:-1, np.newaxis]
    falling = away_hz[2:] / widths_hz[1:, np.newaxis]
    areas = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * areas[:, np.newaxis]
    return triangles.astype(np.float32)


def _top_mel() -> float:
    return float(_BREAK_HZ / _HZ_PER_MEL + np.log(SAMPLE_RATE_HZ / 2 / _BREAK_HZ) / _LOG_STEP)


def _hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    break_mel = _BREAK_HZ / _HZ_PER_MEL
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mels - break_mel))
    return np.where(mels < break_mel, _HZ_PER_MEL * mels, above)
