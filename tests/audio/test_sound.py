from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from clearcast.audio import rf64, sound
from clearcast.audio.decode import decode
from clearcast.audio.encode import FORMATS
from clearcast.audio.probe import probe
from clearcast.audio.rf64 import HEADER_BYTES, SoundHeader
from clearcast.audio.sound import SoundReader, SoundWriter, encode_sound, prepare_sound, prepare_sound_sync
from clearcast.audio.sound_check import warnings_on
from clearcast.errors import (
    AudioEmpty,
    AudioForbidden,
    AudioTooLong,
    AudioTruncated,
    AudioUnrecognised,
    Cancelled,
    ClearCastError,
    NotFound,
    OptionInvalid,
)
from clearcast.settings import AudioSettings
from clearcast.testing import media
from clearcast.testing.media import VIDEO_CODECS, speech_like, write_tone_wav, write_video, write_wav

LIMITS = AudioSettings()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_sound(path: Path, samples: sound.SoundArray, sample_rate_hz: int = 48_000) -> Path:
    with SoundWriter(path, sample_rate_hz, samples.shape[1]) as writer:
        writer.write(samples)
    return path


def test_what_is_written_is_read_bit_by_bit_by_us_and_by_others(tmp_path: Path) -> None:
    samples = 3 * speech_like(1.5, 44_100, channels=3)  # beyond full scale on purpose
    with SoundWriter(tmp_path / "a.wav", 44_100, 3) as writer:
        for start in range(0, len(samples), 10_007):
            writer.write(samples[start : start + 10_007])
        assert not (tmp_path / "a.wav").exists()
    with SoundReader.open(tmp_path / "a.wav") as reader:
        assert (reader.sample_rate_hz, reader.channels, reader.num_samples) == (44_100, 3, len(samples))
        assert reader.duration_s == 1.5
        assert np.array_equal(reader.read(), samples)
        assert np.array_equal(np.concatenate(list(reader.blocks(777))), samples)
        assert np.array_equal(reader.read(-5, 3), samples[:3])
        assert reader.read(len(samples), len(samples) + 9).shape == (0, 3)
    others, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate_hz == 44_100
    assert np.array_equal(others, samples)
    decoded = np.concatenate([block.samples for block in decode(tmp_path / "a.wav")])
    assert np.array_equal(decoded, samples)


def test_nothing_is_left_behind_by_a_writer_that_fails_or_is_discarded(tmp_path: Path) -> None:
    with pytest.raises(KeyError), SoundWriter(tmp_path / "a.wav", 8000, 1) as writer:
        writer.write(np.zeros((5, 1), np.float32))
        raise KeyError
    SoundWriter(tmp_path / "a.wav", 8000, 1).discard()
    assert names(tmp_path) == []
    done = SoundWriter(tmp_path / "a.wav", 8000, 1)
    done.close()
    done.close()
    with SoundReader.open(tmp_path / "a.wav") as reader:
        assert (reader.num_samples, reader.read().shape) == (0, (0, 1))
    with pytest.raises(NotFound):
        SoundWriter(tmp_path / "none" / "a.wav", 8000, 1)


def test_other_shapes_types_and_files_are_refused(tmp_path: Path) -> None:
    with SoundWriter(tmp_path / "a.wav", 8000, 2) as writer:
        with pytest.raises(ValueError, match="float32"):
            writer.write(np.zeros((4, 2)))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="float32"):
            writer.write(np.zeros((4, 3), np.float32))
    with pytest.raises(NotFound):
        SoundReader.open(tmp_path / "gone.wav")
    with pytest.raises(AudioUnrecognised):
        SoundReader.open(write_tone_wav(tmp_path / "b.wav"))
    cut = tmp_path / "c.wav"
    cut.write_bytes(write_sound(tmp_path / "d.wav", np.ones((9, 1), np.float32)).read_bytes()[:-4])
    with pytest.raises(AudioUnrecognised):
        SoundReader.open(cut)


def test_files_beyond_4_gib_are_rf64_and_read_past_that(tmp_path: Path) -> None:
    num_samples = 700_000_000  # 5.6 GB of stereo, a hole in the disk but for its last frames
    path = tmp_path / "long.wav"
    header = SoundHeader(48_000, 2, num_samples)
    marks = np.arange(20, dtype=np.float32).reshape(10, 2)
    with path.open("wb") as file:
        file.write(header.pack())
        file.seek(HEADER_BYTES + (num_samples - 10) * 8)
        file.write(marks.tobytes())
    with SoundReader.open(path) as reader:
        assert reader.num_samples == num_samples
        assert np.array_equal(reader.read(num_samples - 10), marks)
    with soundfile.SoundFile(path) as other:
        assert (other.format, other.frames, other.channels) == ("RF64", num_samples, 2)
        other.seek(num_samples - 10)
        assert np.array_equal(other.read(dtype="float32"), marks)
    assert probe(path).duration_s == pytest.approx(num_samples / 48_000)


@given(
    st.integers(1, 400_000), st.integers(1, 64), st.integers(0, 1 << 40), st.binary(max_size=HEADER_BYTES)
)
def test_headers_come_back_and_nothing_else_is_one(
    rate_hz: int, channels: int, num_samples: int, noise: bytes
) -> None:
    header = SoundHeader(rate_hz, channels, num_samples)
    if header.frame_bytes * rate_hz >= 1 << 32 or header.frame_bytes >= 1 << 16:
        return
    size_bytes = HEADER_BYTES + num_samples * header.frame_bytes
    assert SoundHeader.parse(header.pack(), size_bytes) == header
    assert SoundHeader.parse(noise.ljust(HEADER_BYTES, b"\0"), size_bytes) is None
    assert rf64.SAMPLE_BYTES == 4


@pytest.mark.parametrize("suffix", [*(f".{name}" for name in FORMATS), *VIDEO_CODECS])
def test_every_format_keeps_rate_channels_and_length(suffix: str, tmp_path: Path) -> None:
    source, rate_hz = tmp_path / f"source{suffix}", 48_000
    samples = speech_like(2.0, rate_hz, channels=2)
    if suffix in VIDEO_CODECS:
        write_video(source, samples, rate_hz)
    else:
        made = write_sound(tmp_path / "made", samples, rate_hz)
        encode_sound(made, source)
    prepared = prepare_sound_sync(source, tmp_path / "out.wav", LIMITS)
    assert (prepared.sample_rate_hz, prepared.channels) == (rate_hz, 2)
    assert prepared.duration_s == pytest.approx(2.0, abs=0.06)
    assert not prepared.silent
    assert not prepared.truncated
    assert prepared.info.has_video is (suffix in VIDEO_CODECS)
    with SoundReader.open(prepared.path) as reader:
        assert reader.num_samples == prepared.num_samples
        # Codecs may shift a little; the loudness over time must stay the same.
        whole = reader.read()[: len(samples)]
    power = [float(np.mean(np.square(part))) for part in (whole, samples[: len(whole)])]
    assert power[0] == pytest.approx(power[1], rel=0.15)


@pytest.mark.parametrize(
    ("make", "rate_hz", "channels"),
    [
        (media.write_eight_channel_wav, 48_000, 8),
        (media.write_192_khz_wav, 192_000, 2),
        (media.write_short_wav, 16_000, 1),
        (lambda path: write_tone_wav(path, 0.5, 11_025, 12), 11_025, 12),
    ],
)
def test_odd_sound_keeps_rate_and_channels(
    make: Callable[[Path], Path], rate_hz: int, channels: int, tmp_path: Path
) -> None:
    source = make(tmp_path / "source")
    prepared = prepare_sound_sync(source, tmp_path / "out.wav", LIMITS)
    assert (prepared.sample_rate_hz, prepared.channels) == (rate_hz, channels)
    original, _ = soundfile.read(source, dtype="float32", always_2d=True)
    with SoundReader.open(prepared.path) as reader:
        assert np.array_equal(reader.read(), original)


def test_float_files_keep_what_goes_beyond_full_scale_and_lose_what_is_no_number(tmp_path: Path) -> None:
    samples = np.array([[0.0], [2.5], [-3.0], [np.nan], [np.inf]], np.float32).repeat(99, axis=0)
    source = write_wav(tmp_path / "source", samples, 8000)
    prepared = prepare_sound_sync(source, tmp_path / "out.wav", LIMITS)
    with SoundReader.open(prepared.path) as reader:
        assert np.array_equal(reader.read()[::99, 0], np.array([0.0, 2.5, -3.0, 0.0, 1.0], np.float32))
    assert (prepared.peak_dbfs, prepared.clipped_samples) == (0.0, 297)


def test_silence_and_missing_ends_are_told_and_warned_of(tmp_path: Path) -> None:
    silent = prepare_sound_sync(media.write_silent_wav(tmp_path / "a"), tmp_path / "out.wav", LIMITS)
    assert (silent.silent, silent.peak_dbfs) == (True, None)
    assert warnings_on(silent) == ("The recording is silent.",)
    lying = prepare_sound_sync(media.write_lying_wav(tmp_path / "b"), tmp_path / "out.wav", LIMITS)
    assert (lying.truncated, lying.duration_s) == (True, 2.0)
    assert len(warnings_on(lying)) == 1


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (media.write_empty, AudioEmpty),
        (media.write_text, AudioUnrecognised),
        (lambda path: media.write_hls_playlist(path, ["/etc/passwd"]), AudioForbidden),
        (lambda path: media.write_tagged_hls_playlist(path, ["/etc/passwd"]), AudioForbidden),
        (lambda path: media.write_concat_script(path, [Path("/etc/passwd")]), AudioForbidden),
        (media.write_sdp, ClearCastError),
        (lambda path: write_tone_wav(path, 3.0), AudioTooLong),
        (lambda path: media.write_silence_bomb(path.with_suffix(".flac"), 30.0), AudioTooLong),
        (lambda path: media.cut_off(write_tone_wav(path, 1.0), path, 0.0013), AudioTruncated),
        (lambda path: path, NotFound),
    ],
)
def test_what_prepare_refuses_is_refused_here_too(
    make: Callable[[Path], Path], error: type[ClearCastError], tmp_path: Path
) -> None:
    source = make(tmp_path / "source")
    (tmp_path / "out").mkdir()
    with pytest.raises(error):
        prepare_sound_sync(source, tmp_path / "out" / "out.wav", AudioSettings(max_duration_s=2))
    assert names(tmp_path / "out") == []


async def test_progress_is_told_and_cancelling_ends_it(tmp_path: Path, hour_of_silence: Path) -> None:
    told: list[float] = []
    source = write_tone_wav(tmp_path / "source", 2.0)
    await prepare_sound(source, tmp_path / "a.wav", LIMITS, told.append)
    await asyncio.sleep(0)
    assert told[-1] == 1.0
    job = asyncio.create_task(prepare_sound(hour_of_silence, tmp_path / "b.wav", LIMITS))
    await asyncio.sleep(0.3)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert names(tmp_path) == ["a.wav", "source"]


@pytest.mark.parametrize(
    ("name", "bits"), [("wav", 16), ("wav", 24), ("wav", 32), ("flac", 16), ("flac", 24)]
)
def test_lossless_formats_keep_the_samples_to_their_depth(name: str, bits: int, tmp_path: Path) -> None:
    samples = speech_like(1.0, 44_100, channels=2)
    source = write_sound(tmp_path / "a", samples, 44_100)
    assert encode_sound(source, tmp_path / "b", name, bits).name == name
    decoded = np.concatenate([block.samples for block in decode(tmp_path / "b")])
    assert decoded.shape == samples.shape
    assert np.abs(decoded - samples).max() <= (0 if bits == 32 else 2.0 ** (1 - bits))


def test_encoding_tells_progress_mixes_what_does_not_fit_and_refuses_what_is_unknown(
    tmp_path: Path,
) -> None:
    source = write_sound(tmp_path / "a", speech_like(0.5, 48_000, channels=12))
    told: list[float] = []
    encode_sound(source, tmp_path / "b.mp3", progress=told.append)
    assert (probe(tmp_path / "b.mp3").channels, told[-1]) == (1, 1.0)
    with pytest.raises(OptionInvalid):
        encode_sound(source, tmp_path / "b.xyz")
    with pytest.raises(OptionInvalid):
        encode_sound(source, tmp_path / "c.wav", bits=20)

    def stop(_: float) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        encode_sound(source, tmp_path / "d.wav", progress=stop)
    assert names(tmp_path) == ["a", "b.mp3"]
