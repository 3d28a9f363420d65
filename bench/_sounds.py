"""Fifty assorted sounds for measuring boost: real ones, and made ones that are hard."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench._shared import shared_audio
from clearcast.audio.sound import SoundWriter, prepare_sound_sync
from clearcast.sample import sample_conversation
from clearcast.settings import load_settings

Array = npt.NDArray[np.float64]

_REAL_TASKS = ("denoise", "separation", "diarization", "diarization_real", "music")


def assorted(folder: Path) -> Iterator[Path]:
    """Sound files in `folder`, one after the other."""
    yield from real_sounds(folder)
    yield from made_sounds(folder)


def real_sounds(folder: Path) -> Iterator[Path]:
    limits = load_settings("local").audio
    sources = [sample_conversation().audio]
    shared = shared_audio()
    if shared is not None:
        items = json.loads((shared / "manifest.json").read_text(encoding="utf-8"))["items"]
        sources += [shared / item["file"] for item in items if item["task"] in _REAL_TASKS]
    for source in sources:
        target = folder / f"{source.stem}.wav"
        prepare_sound_sync(source, target, limits)
        yield target


def made_sounds(folder: Path) -> Iterator[Path]:
    for name, (rate_hz, make) in MADE.items():
        samples = np.atleast_2d(make(rate_hz, np.random.default_rng(len(name))).T).T
        target = folder / f"{name}.wav"
        with SoundWriter(target, rate_hz, samples.shape[1]) as writer:
            writer.write(samples.astype(np.float32))
        yield target


def _time(rate_hz: int, duration_s: float = 12.0) -> Array:
    return np.arange(round(rate_hz * duration_s)) / rate_hz


def _sine(rate_hz: int, _rng: np.random.Generator) -> Array:
    return 0.05 * np.sin(2 * np.pi * 997.0 * _time(rate_hz))


def _quarter_rate(rate_hz: int, _rng: np.random.Generator) -> Array:
    """Samples 3 dB below the curve between them."""
    time = _time(rate_hz)
    return 0.7 * np.sin(2 * np.pi * rate_hz / 4 * time + np.pi / 4) * (0.1 + 0.9 * (time % 2 < 1))


def _noise(rate_hz: int, rng: np.random.Generator) -> Array:
    return 0.2 * rng.standard_normal((len(_time(rate_hz)), 2))


def _quiet_noise(rate_hz: int, rng: np.random.Generator) -> Array:
    return 0.001 * rng.standard_normal((len(_time(rate_hz)), 2))


def _square(rate_hz: int, _rng: np.random.Generator) -> Array:
    return 0.9 * np.sign(np.sin(2 * np.pi * 331.7 * _time(rate_hz)))


def _sweep(rate_hz: int, _rng: np.random.Generator) -> Array:
    time = _time(rate_hz)
    return 0.5 * np.sin(2 * np.pi * (20.0 * time + 0.5 * (rate_hz * 0.47 - 20.0) / 12.0 * time**2))


def _two_levels(rate_hz: int, rng: np.random.Generator) -> Array:
    time = _time(rate_hz, 30.0)
    return rng.standard_normal(len(time)) * np.where(time % 10 < 5, 0.15, 0.02)


def _bursts(rate_hz: int, rng: np.random.Generator) -> Array:
    """Half a second of sound, a second and a half of near silence."""
    time = _time(rate_hz, 20.0)
    return rng.standard_normal(len(time)) * np.where(time % 2 < 0.5, 0.1, 0.0003)


def _drums(rate_hz: int, rng: np.random.Generator) -> Array:
    time = _time(rate_hz)
    return np.sin(2 * np.pi * 60 * time) * np.exp(-12 * (time % 0.4)) + 0.02 * rng.standard_normal(
        len(time)
    )


def _clicks(rate_hz: int, rng: np.random.Generator) -> Array:
    """Soft noise with a full-scale click each second."""
    noise = 0.02 * rng.standard_normal(len(_time(rate_hz)))
    noise[:: rate_hz + 7] = 1.0
    return noise


def _too_loud(rate_hz: int, rng: np.random.Generator) -> Array:
    return 3.0 * np.tanh(rng.standard_normal((len(_time(rate_hz)), 2)))


def _one_sided(rate_hz: int, rng: np.random.Generator) -> Array:
    samples = 0.1 * rng.standard_normal((len(_time(rate_hz)), 2))
    samples[:, 1] *= 0.01
    return samples


def _six_channels(rate_hz: int, rng: np.random.Generator) -> Array:
    return 0.05 * rng.standard_normal((len(_time(rate_hz)), 6))


def _hum(rate_hz: int, _rng: np.random.Generator) -> Array:
    return 0.5 * np.sin(2 * np.pi * 50 * _time(rate_hz)) + 0.5 * np.sin(2 * np.pi * 440 * _time(rate_hz))


def _alternating(rate_hz: int, rng: np.random.Generator) -> Array:
    """Runs of signs that make the curve between the samples overshoot."""
    return 0.9 * np.sign(rng.standard_normal((len(_time(rate_hz)), 2)))


def _short(rate_hz: int, rng: np.random.Generator) -> Array:
    return 0.05 * rng.standard_normal(rate_hz // 5)


MADE: dict[str, tuple[int, Callable[[int, np.random.Generator], Array]]] = {
    "sine at 48 kHz": (48_000, _sine),
    "sine at 8 kHz": (8_000, _sine),
    "quarter of the rate": (44_100, _quarter_rate),
    "white noise": (48_000, _noise),
    "white noise at 96 kHz": (96_000, _noise),
    "white noise at 192 kHz": (192_000, _noise),
    "white noise at 11025 Hz": (11_025, _noise),
    "quiet noise": (44_100, _quiet_noise),
    "square wave": (44_100, _square),
    "sweep": (48_000, _sweep),
    "two levels": (48_000, _two_levels),
    "bursts": (22_050, _bursts),
    "drums": (44_100, _drums),
    "clicks": (48_000, _clicks),
    "beyond full scale": (48_000, _too_loud),
    "one side": (44_100, _one_sided),
    "six channels": (48_000, _six_channels),
    "hum": (32_000, _hum),
    "random signs": (48_000, _alternating),
    "a fifth of a second": (48_000, _short),
}
