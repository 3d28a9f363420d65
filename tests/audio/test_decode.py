from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from clearcast.audio.decode import decode
from clearcast.audio.encode import encode_file
from clearcast.testing.media import (
    VIDEO_CODECS,
    Codecs,
    click_at,
    speech_like,
    write_media,
    write_tone_wav,
    write_video,
    write_wav,
)

RATE_HZ = 48_000
NUM_SAMPLES = 2 * RATE_HZ + 123
CLICK = 60_000

# Every container and codec that the bundled FFmpeg writes and people send, with the samples of delay that
# its container does not state, so that no decoder can take them off.
LOSSLESS = {
    "aiff": Codecs("aiff", "pcm_s16be"),
    "aiff-24": Codecs("aiff", "pcm_s24be"),
    "au": Codecs("au", "pcm_s16be"),
    "caf-alac": Codecs("caf", "alac"),
    "flac": Codecs("flac", "flac"),
    "ogg-flac": Codecs("ogg", "flac"),
    "m4a-alac": Codecs("ipod", "alac"),
    "mka-flac": Codecs("matroska", "flac"),
    "mka-float": Codecs("matroska", "pcm_f32le"),
    "wv": Codecs("wv", "wavpack"),
    "tta": Codecs("tta", "tta"),
    "wav-double": Codecs("wav", "pcm_f64le"),
    "avi-pcm": Codecs("avi", "pcm_s16le"),
}
LOSSY = {
    "mp3": (Codecs("mp3", "libmp3lame"), 0),
    "ogg-opus": (Codecs("ogg", "libopus"), 0),
    "webm-opus": (Codecs("webm", "libopus"), 0),
    "ogg-vorbis": (Codecs("ogg", "vorbis", None, 128_000), 0),
    "webm-vorbis": (Codecs("webm", "vorbis", None, 128_000), 0),
    "m4a": (Codecs("ipod", "aac"), 0),
    "adts": (Codecs("adts", "aac"), 1024),
    "flv": (Codecs("flv", "aac"), 1024),
    "ac3": (Codecs("ac3", "ac3"), 256),
    "eac3": (Codecs("eac3", "eac3"), 256),
    "mpegts-mp2": (Codecs("mpegts", "mp2"), 481),
    "wav-adpcm": (Codecs("wav", "adpcm_ms"), 0),
}


def read(path: Path, **options: Any) -> np.ndarray:
    return np.concatenate([block.samples for block in decode(path, **options)])


def count_plainly(path: Path) -> int:
    """Samples that FFmpeg decodes, added up without any care."""
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(container.streams.audio[0]))


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_come_back_to_the_sample(tmp_path: Path, name: str) -> None:
    samples = click_at(CLICK, NUM_SAMPLES, channels=2)
    path = write_media(tmp_path / "file", LOSSLESS[name], [(0.0, samples)], RATE_HZ)
    decoded = read(path)
    assert decoded.shape == samples.shape
    eight_bits = name in ("tta", "wv")  # what FFmpeg's encoders choose by themselves
    assert np.abs(decoded - samples).max() < (0.005 if eight_bits else 1e-4)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_keep_positions_and_length(tmp_path: Path, name: str) -> None:
    codecs, delay = LOSSY[name]
    samples = click_at(CLICK, NUM_SAMPLES, channels=2)
    path = write_media(tmp_path / "file", codecs, [(0.0, samples)], RATE_HZ)
    decoded = read(path)
    assert int(np.argmax(decoded[:, 0])) == CLICK + delay
    assert len(decoded) == count_plainly(path)
    assert NUM_SAMPLES <= len(decoded) < NUM_SAMPLES + delay + 1024


@pytest.mark.parametrize("ending", VIDEO_CODECS)
def test_sound_of_videos_keeps_its_positions(tmp_path: Path, ending: str) -> None:
    samples = click_at(CLICK, NUM_SAMPLES, channels=2)
    path = write_video(tmp_path / f"video{ending}", samples, RATE_HZ)
    decoded = read(path)
    delay = int(np.argmax(decoded[:, 0])) - CLICK
    # MPEG-TS and AVI state no encoder delay: AAC has 1024 samples of it, MP3 1105.
    assert delay == {".ts": 1024, ".avi": 1105}.get(ending, 0)
    assert len(decoded) == count_plainly(path)


@pytest.mark.parametrize("rate_in", [8000, 22_050, 44_100, 48_000, 192_000])
def test_resampling_keeps_length_and_positions_to_the_sample(tmp_path: Path, rate_in: int) -> None:
    click, num_samples = rate_in + rate_in // 4, 2 * rate_in + 77
    path = write_wav(tmp_path / "a.wav", click_at(click, num_samples), rate_in)
    decoded = read(path, sample_rate_hz=16_000)
    assert len(decoded) == round(num_samples * 16_000 / rate_in)
    assert int(np.argmax(decoded[:, 0])) == 20_000


def test_wav_and_flac_are_bit_equal_to_the_reference_decoder(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, (50_000, 2)).astype(np.int16)
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, samples, 44_100, subtype="PCM_16")
        for dtype, sample_format in (("int16", "s16"), ("float32", "f32")):
            expected, _ = soundfile.read(tmp_path / name, dtype=dtype)
            assert np.array_equal(read(tmp_path / name, sample_format=sample_format), expected)


def test_24_bit_flac_is_bit_equal_to_the_reference_decoder(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (50_000, 2))
    soundfile.write(tmp_path / "a.flac", samples, 96_000, subtype="PCM_24")
    expected, _ = soundfile.read(tmp_path / "a.flac", dtype="float32")
    assert np.array_equal(read(tmp_path / "a.flac"), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_every_sample_type_is_scaled_alike(tmp_path: Path, dtype: type) -> None:
    wave = np.sin(np.arange(16_000) / 10) * 0.5
    whole = {np.uint8: 128, np.int16: 2**15, np.int32: 2**31}.get(dtype)
    stored = (
        wave.astype(dtype)
        if whole is None
        else np.round(wave * whole + (128 if whole == 128 else 0)).astype(dtype)
    )
    decoded = read(write_wav(tmp_path / "a.wav", stored, 16_000))
    assert np.abs(decoded[:, 0] - wave).max() < (0.005 if dtype is np.uint8 else 2e-5)


def test_eight_channels_at_192_khz_are_kept_or_mixed(tmp_path: Path) -> None:
    path = write_tone_wav(tmp_path / "a.wav", 0.5, sample_rate_hz=192_000, channels=8)
    kept = read(path)
    assert kept.shape == (96_000, 8)
    mixed = read(path, channels=1)
    assert np.abs(mixed[:, 0] - kept.mean(axis=1)).max() < 1e-6


def test_blocks_follow_each_other_without_gap_and_have_the_length_asked_for(tmp_path: Path) -> None:
    path = write_tone_wav(tmp_path / "a.wav", 1.0)
    blocks = list(decode(path, block_samples=700))
    assert [block.start for block in blocks] == list(range(0, 16_000, 700))
    assert {len(block.samples) for block in blocks[:-1]} == {700}
    assert sum(len(block.samples) for block in blocks) == 16_000


def test_only_one_or_all_channels_can_be_asked_for(tmp_path: Path) -> None:
    path = write_tone_wav(tmp_path / "a.wav", channels=3)
    with pytest.raises(ValueError, match="channels"):
        read(path, channels=2)


def test_sound_that_starts_after_the_pictures_keeps_its_place(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", click_at(1000, RATE_HZ), RATE_HZ, sound_starts_s=1.5)
    decoded = read(path)
    assert int(np.argmax(decoded[:, 0])) == round(1.5 * RATE_HZ) + 1000
    assert len(decoded) == round(2.5 * RATE_HZ)


def test_time_that_a_file_leaves_out_becomes_silence(tmp_path: Path) -> None:
    pieces = [(0.0, speech_like(1.0, RATE_HZ)), (4.0, click_at(1000, RATE_HZ))]
    path = write_media(tmp_path / "a.mka", Codecs("matroska", "pcm_s16le"), pieces, RATE_HZ)
    decoded = read(path)
    assert len(decoded) == 5 * RATE_HZ
    assert int(np.argmax(decoded[:, 0])) == 4 * RATE_HZ + 1000
    assert not decoded[RATE_HZ + 2000 : 4 * RATE_HZ - 2000].any()
    resampled = read(path, sample_rate_hz=16_000)
    assert abs(int(np.argmax(resampled[:, 0])) - (4 * 16_000 + 333)) <= 1


def test_silence_left_out_is_not_held_in_memory(tmp_path: Path) -> None:
    pieces = [(0.0, speech_like(0.2, RATE_HZ)), (3600.0, speech_like(0.2, RATE_HZ))]
    path = write_media(tmp_path / "a.mka", Codecs("matroska", "pcm_s16le"), pieces, RATE_HZ)
    lengths = [len(block.samples) for block in decode(path)]
    assert sum(lengths) == 3600 * RATE_HZ + round(0.2 * RATE_HZ)
    assert max(lengths) == 1 << 16


def test_broken_timestamps_do_not_stretch_the_sound(tmp_path: Path) -> None:
    """A jump of hours, where nothing but the timestamps themselves tells how long the file is."""
    pieces = [(0.0, speech_like(1.0, RATE_HZ)), (30_000.0, speech_like(1.0, RATE_HZ))]
    path = write_media(tmp_path / "a.ts", Codecs("mpegts", "mp2"), pieces, RATE_HZ)
    assert len(read(path)) == count_plainly(path) < 3 * RATE_HZ


def test_files_that_begin_anew_in_the_middle_are_read_on(tmp_path: Path) -> None:
    """Ogg files one after the other are one file (RFC 3533 §4), whose timestamps start again at zero."""
    encode_file([click_at(10_000, RATE_HZ)], tmp_path / "a.opus", sample_rate_hz=RATE_HZ)
    content = (tmp_path / "a.opus").read_bytes()
    (tmp_path / "b.opus").write_bytes(content + content)
    decoded = read(tmp_path / "b.opus")[:, 0]
    assert abs(len(decoded) - 2 * RATE_HZ) < 1000
    assert [int(np.argmax(half)) for half in np.split(decoded[: 2 * RATE_HZ], 2)] == pytest.approx(
        [10_000] * 2, abs=700
    )


def test_rate_and_channels_may_change_half_way(tmp_path: Path) -> None:
    first = write_media(tmp_path / "a", Codecs("adts", "aac"), [(0.0, speech_like(1.0, 44_100, 2))], 44_100)
    second = write_media(
        tmp_path / "b", Codecs("adts", "aac"), [(0.0, speech_like(1.0, 22_050, 1))], 22_050
    )
    both = tmp_path / "both.aac"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    expected = len(read(first, sample_rate_hz=16_000)) + len(read(second, sample_rate_hz=16_000))
    assert abs(len(read(both, sample_rate_hz=16_000, channels=1)) - expected) <= 2048 * 2
    kept = read(both)
    assert kept.shape[1] == 2
    assert np.abs(kept[len(kept) // 2 + 20_000 :]).max() > 0.1


def test_damage_in_the_middle_costs_only_the_damaged_part(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    encode_file([speech_like(10.0, RATE_HZ)], path, sample_rate_hz=RATE_HZ)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = np.random.default_rng(0).bytes(4000)
    path.write_bytes(content)
    assert 9 * RATE_HZ < len(read(path)) <= 10.5 * RATE_HZ
