"""Denoising by RNNoise, whose trained network lies inside the package pyrnnoise; nothing is downloaded.

Only the shared library of that package is used: its Python side rounds to 16 bits, ours does not.

Alone, RNNoise makes nearly clean recordings worse (by up to 0.9 dB SI-SDR on our set), because what it
takes away there is speech. So some of what it took is handed back, the more the higher the ratio of what it
keeps to what it takes, as it was over the last seconds. The figures below were found on noisy speech
between −5 and 15 dB; they also raise PESQ, because the little noise left covers the network's gating.

Reference: Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech Enhancement", 2018.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clearcast.engines.denoise._resampling import Sound
from clearcast.engines.denoise._stream import DenoiseCore
from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions
from clearcast.engines.engine import EngineOptions
from clearcast.errors import ModelMissing

_SAMPLE_RATE_HZ = 48_000
_HOP_SAMPLES = 480
_LAG_SAMPLES = 960  # measured: the library's output is late by exactly two hops
_FULL_SCALE = np.float32(32768.0)
_RAMP = np.arange(1, _HOP_SAMPLES + 1, dtype=np.float32) / np.float32(_HOP_SAMPLES)

_LIBRARIES = ("librnnoise.so", "librnnoise.dylib", "rnnoise.dll")

# Kept-to-taken ratio in dB → share of the untouched sound in the result.
_RATIO_DB = (4.0, 14.0, 22.0)
_DRY_SHARE = (0.06, 0.30, 0.85)
_MEMORY_S = 3.0  # a sentence: shorter would follow words and pump


@dataclass(frozen=True)
class RnnoiseOptions(EngineOptions):
    """RNNoise has no options of its own."""


class RnnoiseEngine(DenoiseEngine):
    """RNNoise by its own library: 10 ms hops at 48 kHz, 20 ms late, one small state for each channel."""

    Options = RnnoiseOptions

    _library: Any

    @property
    def model_name(self) -> str:
        return "rnnoise"

    def _load(self) -> None:
        # Found without importing the package, which would pull in tools for files and figures.
        package = importlib.util.find_spec("pyrnnoise")
        folders = [] if package is None else list(package.submodule_search_locations or ())
        found = [
            path for folder in folders for name in _LIBRARIES if (path := Path(folder) / name).is_file()
        ]
        if not found:
            raise ModelMissing(
                "The package pyrnnoise with the RNNoise library is not installed.",
                hint="Run `make clean` and then `make` again; `clearcast doctor` tells what is missing.",
            )
        library = ctypes.CDLL(str(found[0]))
        library.rnnoise_create.argtypes = [ctypes.c_void_p]
        library.rnnoise_create.restype = ctypes.c_void_p
        library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
        library.rnnoise_destroy.restype = None
        library.rnnoise_process_frame.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        library.rnnoise_process_frame.restype = ctypes.c_float
        self._library = library

    def _open(self, channels: int, options: DenoiseOptions) -> DenoiseCore:
        return _RnnoiseCore(self._library, channels, hand_back=options.mix is None)


class _RnnoiseCore(DenoiseCore):
    sample_rate_hz = _SAMPLE_RATE_HZ
    hop_samples = _HOP_SAMPLES
    lag_samples = _LAG_SAMPLES

    def __init__(self, library: Any, channels: int, hand_back: bool) -> None:
        self._library = library
        self._states = [library.rnnoise_create(None) for _ in range(channels)]
        self._balance = _Balance() if hand_back else None
        self._late: Sound = np.zeros((_LAG_SAMPLES, channels), np.float32)

    def process(self, samples: Sound) -> Sound:
        cleaned = self._run(samples)
        joined = np.concatenate([self._late, samples])
        untouched, self._late = joined[: len(samples)], joined[len(samples) :]
        return cleaned if self._balance is None else self._balance.mix(untouched, cleaned)

    def finish(self, rest: Sound) -> Sound:
        due = _LAG_SAMPLES + len(rest)
        silence = np.zeros((-(-due // _HOP_SAMPLES) * _HOP_SAMPLES - len(rest), rest.shape[1]), np.float32)
        return self.process(np.concatenate([rest, silence]))[:due]

    def close(self) -> None:
        for state in self._states:
            self._library.rnnoise_destroy(state)
        self._states = []

    def __del__(self) -> None:
        self.close()

    def _run(self, samples: Sound) -> Sound:
        """The library's own output, late by `lag_samples`."""
        scaled: Sound = np.ascontiguousarray(samples.T) * _FULL_SCALE
        step_bytes = _HOP_SAMPLES * scaled.itemsize
        process_frame = self._library.rnnoise_process_frame
        for state, row in zip(self._states, scaled, strict=True):
            at = row.ctypes.data
            for _ in range(len(row) // _HOP_SAMPLES):
                process_frame(state, at, at)
                at += step_bytes
        scaled /= _FULL_SCALE
        return np.ascontiguousarray(scaled.T)


class _Balance:
    """How much of what was taken away is handed back, hop by hop, alike for all channels."""

    def __init__(self) -> None:
        self._keep = math.exp(-_HOP_SAMPLES / _SAMPLE_RATE_HZ / _MEMORY_S)
        self._kept_power = self._taken_power = 0.0
        self._share = _DRY_SHARE[0]

    def mix(self, untouched: Sound, cleaned: Sound) -> Sound:
        taken = untouched - cleaned
        return cleaned + taken * self._shares(_hop_powers(cleaned), _hop_powers(taken))

    def _shares(self, kept: list[float], taken: list[float]) -> Sound:
        """Shape (n, 1): the share at every sample, in straight lines from hop to hop."""
        ends = [self._share]
        for kept_power, taken_power in zip(kept, taken, strict=True):
            self._kept_power = self._keep * self._kept_power + (1 - self._keep) * kept_power
            self._taken_power = self._keep * self._taken_power + (1 - self._keep) * taken_power
            ratio_db = 10 * math.log10((self._kept_power + 1e-12) / (self._taken_power + 1e-12))
            ends.append(float(np.interp(ratio_db, _RATIO_DB, _DRY_SHARE)))
        self._share = ends[-1]
        starts = np.array(ends[:-1], np.float32)[:, np.newaxis]
        steps = np.diff(np.array(ends, np.float32))[:, np.newaxis]
        lines: Sound = starts + steps * _RAMP
        return lines.reshape(-1, 1)


def _hop_powers(samples: Sound) -> list[float]:
    hops = samples.reshape(-1, _HOP_SAMPLES * samples.shape[1])
    return [float(np.dot(hop, hop)) for hop in hops]
