from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clearcast.audio.decode import decode
from clearcast.audio.encode import FORMATS, encode_file, format_of, open_encoder
from clearcast.audio.probe import probe
from clearcast.errors import OptionInvalid
from clearcast.testing.media import click_at, speech_like

RATE_HZ = 44_100
NUM_SAMPLES = 2 * RATE_HZ + 77
CLICK = 50_000
LONGEST_FRAME = 1152  # of a codec we write, at its own rate: MP3; AAC 1024, Opus 960


def read(path: Path, rate_hz: int | None = None) -> np.ndarray:
    return np.concatenate([block.samples for block in decode(path, sample_rate_hz=rate_hz)])


def blocks_of(samples: np.ndarray, length: int = 3001) -> Iterator[np.ndarray]:
    for at in range(0, len(samples), length):
        yield samples[at : at + length]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_positions_length_and_channels_survive_every_format(
    tmp_path: Path, name: str, channels: int
) -> None:
    samples = click_at(CLICK, NUM_SAMPLES, channels)
    path = tmp_path / f"a.{name}"
    assert encode_file(blocks_of(samples), path, sample_rate_hz=RATE_HZ) == NUM_SAMPLES
    info = probe(path)
    assert info.channels == channels
    assert info.sample_rate_hz == (48_000 if name in ("ogg", "opus") else RATE_HZ)
    decoded = read(path, RATE_HZ)
    assert abs(len(decoded) - NUM_SAMPLES) < LONGEST_FRAME
    assert int(np.argmax(decoded[:, 0])) == CLICK
    assert decoded.max() == pytest.approx(0.9, abs=0.1)


@pytest.mark.parametrize(
    ("name", "bits", "subtype"),
    [
        ("a.wav", 16, "PCM_16"),
        ("a.wav", 24, "PCM_24"),
        ("a.wav", 32, "FLOAT"),
        ("a.flac", 16, "PCM_16"),
        ("a.flac", 24, "PCM_24"),
    ],
)
def test_lossless_depths_are_what_the_reference_reader_finds(
    tmp_path: Path, name: str, bits: int, subtype: str
) -> None:
    samples = speech_like(1.0, 96_000, channels=2)
    encode_file(blocks_of(samples), tmp_path / name, sample_rate_hz=96_000, bits=bits)
    info = soundfile.info(tmp_path / name)
    assert (info.subtype, info.samplerate, info.frames) == (subtype, 96_000, 96_000)
    found, _ = soundfile.read(tmp_path / name, dtype="float32")
    step = {16: 2.0**-15, 24: 2.0**-23, 32: 0.0}[bits]
    assert np.abs(found - samples).max() <= step


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_16_bit_samples_are_kept_bit_by_bit(tmp_path: Path, name: str) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, (20_000, 2)).astype(np.int16)
    encode_file(blocks_of(samples), tmp_path / name, sample_rate_hz=48_000)
    found, _ = soundfile.read(tmp_path / name, dtype="int16")
    assert np.array_equal(found, samples)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_eight_channels_keep_their_order(tmp_path: Path, name: str) -> None:
    samples = np.tile(np.arange(1, 9, dtype=np.int16) * 1000, (4000, 1))
    encode_file([samples], tmp_path / name, sample_rate_hz=16_000)
    found, _ = soundfile.read(tmp_path / name, dtype="int16")
    assert np.array_equal(found, samples)


@pytest.mark.parametrize(
    ("name", "rate_hz"), [("mp3", 48_000), ("m4a", 96_000), ("opus", 48_000), ("flac", 192_000)]
)
def test_rates_that_a_codec_lacks_become_the_nearest_it_has(
    tmp_path: Path, name: str, rate_hz: int
) -> None:
    path = tmp_path / f"a.{name}"
    samples = click_at(192_000 // 2, 192_000)
    with open_encoder(path, sample_rate_hz=192_000) as encoder:
        assert encoder.written_rate_hz == rate_hz
        encoder.write(samples)
    decoded = read(path)
    assert probe(path).sample_rate_hz == rate_hz
    assert abs(int(np.argmax(decoded[:, 0])) - rate_hz // 2) <= 1


def test_next_rate_above_is_taken_before_one_below() -> None:
    assert FORMATS["mp3"].sample_rate_for(20_000) == 22_050
    assert FORMATS["mp3"].sample_rate_for(96_000) == 48_000
    assert FORMATS["wav"].sample_rate_for(12_345) == 12_345


def test_too_loud_floats_are_clipped_and_not_wrapped(tmp_path: Path) -> None:
    samples = np.array([1.5, -1.5, 1.0, -1.0, 0.0], np.float32)
    encode_file([samples], tmp_path / "a.wav", sample_rate_hz=16_000)
    found, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert found.tolist() == [32767, -32768, 32767, -32768, 0]


def test_bit_rate_is_obeyed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * 48_000).astype(np.float32)
    sizes = []
    for bit_rate_bps in (32_000, 128_000):
        encode_file([noise], tmp_path / "a.mp3", sample_rate_hz=48_000, bit_rate_bps=bit_rate_bps)
        sizes.append((tmp_path / "a.mp3").stat().st_size)
    assert sizes[1] == pytest.approx(4 * sizes[0], rel=0.1)


def test_no_blocks_make_a_file_without_samples(tmp_path: Path) -> None:
    assert encode_file([], tmp_path / "a.wav", sample_rate_hz=16_000) == 0
    assert soundfile.info(tmp_path / "a.wav").frames == 0


def test_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a.flac"
    target.write_bytes(b"older")

    def failing() -> Iterator[np.ndarray]:
        yield speech_like(1.0)
        assert target.read_bytes() == b"older"
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        encode_file(failing(), target, sample_rate_hz=16_000)
    assert target.read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]


def test_what_cannot_be_written_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(OptionInvalid, match="Formats: wav, flac, mp3"):
        format_of(tmp_path / "a.xyz")
    with pytest.raises(OptionInvalid, match="Depths: 16, 24"):
        encode_file([], tmp_path / "a.flac", sample_rate_hz=16_000, bits=32)
    with pytest.raises(OptionInvalid, match="lossy"):
        encode_file([], tmp_path / "a.mp3", sample_rate_hz=16_000, bits=16)
    with pytest.raises(OptionInvalid, match="6 channels"):
        encode_file([np.zeros((10, 6), np.float32)], tmp_path / "a.opus", sample_rate_hz=48_000)
    with pytest.raises(OptionInvalid, match="1000000 bit/s"):
        encode_file([], tmp_path / "a.opus", sample_rate_hz=48_000, bit_rate_bps=1_000_000)
    assert list(tmp_path.iterdir()) == []


def test_name_of_the_format_overrules_the_ending(tmp_path: Path) -> None:
    encode_file([speech_like(0.5)], tmp_path / "result", sample_rate_hz=16_000, format_name="flac")
    assert probe(tmp_path / "result").codec == "flac"


def test_blocks_of_the_wrong_shape_or_type_are_refused(tmp_path: Path) -> None:
    with open_encoder(tmp_path / "a.wav", sample_rate_hz=16_000, channels=2) as encoder:
        with pytest.raises(ValueError, match="shape"):
            encoder.write(np.zeros(10, np.float32))
        with pytest.raises(ValueError, match="float64"):
            encoder.write(np.zeros((10, 2), np.float64))  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: form.name)
def test_every_format_has_a_mime_type_and_an_ending(form: object) -> None:
    assert FORMATS[form.name] is form  # type: ignore[attr-defined]
    assert form.mime_type.startswith("audio/")  # type: ignore[attr-defined]
    assert form.suffix == f".{form.name}"  # type: ignore[attr-defined]
