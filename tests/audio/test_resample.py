from __future__ import annotations

import itertools

import numpy as np
import pytest
from av.audio.frame import AudioFrame

from clearcast.audio.resample import Converter, FrameKind, SampleFormat, Samples, SoundShape

# FFmpeg's layouts; "N channels" is what it calls channels whose places are not stated.
CHANNELS = {"stereo": 2, "2 channels": 2, "quad": 4, "5.1": 6, "6 channels": 6, "7.1": 8, "8 channels": 8}


def convert(
    samples: np.ndarray,
    kind: FrameKind,
    rate_hz: int,
    layout: str,
    sample_format: SampleFormat = "f32",
    step: int = 1000,
) -> Samples:
    channels = 1 if layout == "mono" else kind.channels
    converter = Converter(kind, SoundShape(rate_hz, channels, layout, sample_format))
    out = [np.zeros((0, channels), np.float32 if sample_format == "f32" else np.int16)]
    for at in range(0, len(samples), step):
        part = np.ascontiguousarray(samples[at : at + step]).reshape(1, -1)
        frame = AudioFrame.from_ndarray(part, format=kind.sample_format, layout=kind.layout)
        frame.sample_rate = kind.sample_rate_hz
        out.extend(converter.convert(frame))
    out.extend(converter.finish())
    return np.concatenate(out)


@pytest.mark.parametrize(
    ("rate_in", "rate_out"),
    list(itertools.product((8000, 11_025, 16_000, 44_100, 48_000, 192_000), (16_000, 44_100, 48_000))),
)
def test_length_is_exact_at_every_rate(rate_in: int, rate_out: int) -> None:
    kind = FrameKind("s16", rate_in, "mono", 1)
    for num_samples in (1, 7, 160, 12_345):
        out = convert(np.zeros((num_samples, 1), np.int16), kind, rate_out, "mono")
        assert len(out) == round(num_samples * rate_out / rate_in)


def test_same_rate_and_channels_pass_bit_by_bit() -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, (5000, 2)).astype(np.int16)
    kind = FrameKind("s16", 44_100, "stereo", 2)
    assert np.array_equal(convert(samples, kind, 44_100, "stereo", "s16"), samples)
    assert np.array_equal(convert(samples, kind, 44_100, "stereo", "f32"), samples / np.float32(32768))


@pytest.mark.parametrize(
    "layout", ["stereo", "2 channels", "quad", "5.1", "7.1", "6 channels", "8 channels"]
)
def test_channels_that_agree_at_full_scale_do_not_clip_when_mixed(layout: str) -> None:
    samples = np.ones((2000, CHANNELS[layout]), np.float32)
    mixed = convert(samples, FrameKind("flt", 16_000, layout, CHANNELS[layout]), 16_000, "mono")
    assert 0.98 < mixed.max() <= 1.0


@pytest.mark.parametrize("layout", CHANNELS)
def test_every_channel_is_heard_in_the_mix(layout: str) -> None:
    for channel in range(CHANNELS[layout]):
        samples = np.zeros((2000, CHANNELS[layout]), np.float32)
        samples[:, channel] = 1.0
        mixed = convert(samples, FrameKind("flt", 16_000, layout, CHANNELS[layout]), 16_000, "mono")
        assert mixed[1000, 0] > 0.05


def test_microphones_without_places_weigh_the_same() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (4000, 5)).astype(np.float32)
    mixed = convert(samples, FrameKind("flt", 16_000, "5 channels", 5), 16_000, "mono")
    assert np.allclose(mixed[:, 0], samples.mean(axis=1), atol=1e-6)
