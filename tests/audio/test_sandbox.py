from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.encode import encode_file
from clearcast.audio.recording import Recording
from clearcast.audio.sandbox import (
    Prepared,
    prepare,
    prepare_sync,
    probe_safely,
    probe_safely_sync,
)
from clearcast.errors import (
    AudioEmpty,
    AudioForbidden,
    AudioTruncated,
    AudioUnrecognised,
    ClearCastError,
    InputError,
    NotFound,
)
from clearcast.settings import AudioSettings
from clearcast.testing.media import (
    cut_off,
    speech_like,
    write_192_khz_wav,
    write_concat_script,
    write_eight_channel_wav,
    write_empty,
    write_hls_playlist,
    write_lying_flac,
    write_lying_wav,
    write_sdp,
    write_short_wav,
    write_silent_wav,
    write_tagged_hls_playlist,
    write_text,
    write_tone_wav,
    write_video,
    write_wav,
)


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_working_copy_holds_the_sound_mono_at_16_khz(tmp_path: Path, limits: AudioSettings) -> None:
    source = write_tone_wav(tmp_path / "a.wav", 2.5, sample_rate_hz=44_100, channels=2)
    told: list[float] = []
    made = prepare_sync(source, tmp_path / "copy.wav", limits, told.append)
    assert made.path == tmp_path / "copy.wav"
    assert (made.duration_s, made.truncated, made.silent, made.clipped_samples) == (2.5, False, False, 0)
    assert (made.info.codec, made.info.channels, made.info.duration_s) == ("pcm_s16le", 2, 2.5)
    assert told[-1] == 1.0
    with Recording.open(made.path) as recording:
        sound = recording.read()
        assert recording.num_samples == 40_000
    peak_dbfs = 20 * np.log10(np.abs(sound).max())
    rms_dbfs = 10 * np.log10(np.mean(np.square(sound, dtype=np.float64)))
    assert made.peak_dbfs == pytest.approx(peak_dbfs, abs=0.01)
    assert made.rms_dbfs == pytest.approx(rms_dbfs, abs=0.01)
    assert files_in(tmp_path) == {"a.wav", "copy.wav"}


async def test_awaited_and_blocking_calls_give_the_same(tmp_path: Path, limits: AudioSettings) -> None:
    source = write_video(tmp_path / "a.mp4", speech_like(1.0, 48_000))
    target = tmp_path / "copy.wav"
    awaited = await prepare(source, target, limits)
    content = target.read_bytes()
    assert awaited == await asyncio.to_thread(prepare_sync, source, target, limits)
    assert target.read_bytes() == content
    assert await probe_safely(source, limits) == awaited.info
    assert awaited.info.has_video


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.opus", "a.m4a"])
def test_every_format_we_write_can_be_prepared(tmp_path: Path, limits: AudioSettings, name: str) -> None:
    encode_file([speech_like(1.0, 44_100, 2)], tmp_path / name, sample_rate_hz=44_100)
    made = prepare_sync(tmp_path / name, tmp_path / "copy.wav", limits)
    assert made.duration_s == pytest.approx(1.0, abs=0.03)
    assert not made.truncated


@pytest.mark.parametrize(
    ("write", "error", "says"),
    [
        (write_empty, AudioEmpty, "0 bytes"),
        (write_text, AudioUnrecognised, "text"),
        (lambda path: write_hls_playlist(path, ["http://127.0.0.1:9/a.ts"]), AudioForbidden, "playlist"),
        (lambda path: write_tagged_hls_playlist(path, ["/etc/hostname"]), AudioForbidden, "playlist"),
        (lambda path: write_concat_script(path, [Path("/etc/hostname")]), AudioForbidden, "playlist"),
        (write_sdp, AudioForbidden, "playlist"),
    ],
)
@pytest.mark.parametrize("name", ["file.wav", "file.m3u8"])
def test_what_is_no_recording_is_refused_under_any_name(
    tmp_path: Path,
    limits: AudioSettings,
    name: str,
    write: Callable[[Path], Path],
    error: type[ClearCastError],
    says: str,
) -> None:
    with pytest.raises(error, match=says) as refused:
        prepare_sync(write(tmp_path / name), tmp_path / "copy.wav", limits)
    assert refused.value.hint
    assert files_in(tmp_path) == {name}


def test_video_without_sound_says_so(tmp_path: Path, limits: AudioSettings) -> None:
    with pytest.raises(AudioUnrecognised, match="no sound track"):
        prepare_sync(write_video(tmp_path / "a.mp4", None), tmp_path / "copy.wav", limits)


def test_files_cut_before_any_sound_are_truncated(tmp_path: Path, limits: AudioSettings) -> None:
    wav = write_tone_wav(tmp_path / "a.wav")
    encode_file([speech_like(2.0)], tmp_path / "a.m4a", sample_rate_hz=16_000)
    header_only = cut_off(wav, tmp_path / "b.wav", 44 / wav.stat().st_size)
    half_a_header = cut_off(wav, tmp_path / "c.wav", 20 / wav.stat().st_size)
    without_sound = cut_off(tmp_path / "a.m4a", tmp_path / "b.m4a", 0.01)
    for path in (header_only, half_a_header, without_sound):
        with pytest.raises(AudioTruncated):
            prepare_sync(path, tmp_path / "copy.wav", limits)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.m4a", "a.mkv"])
def test_files_cut_half_way_give_what_is_there(tmp_path: Path, limits: AudioSettings, name: str) -> None:
    whole = tmp_path / name
    if name == "a.mkv":
        write_video(whole, speech_like(6.0, 48_000))
    else:
        encode_file([speech_like(6.0, 48_000)], whole, sample_rate_hz=48_000)
    made = prepare_sync(cut_off(whole, tmp_path / f"half-{name}", 0.6), tmp_path / "copy.wav", limits)
    assert made.truncated
    assert 1.0 < made.duration_s < 5.0


@pytest.mark.parametrize(("write", "name"), [(write_lying_flac, "a.flac"), (write_lying_wav, "a.wav")])
def test_claim_of_ten_hours_gives_the_seconds_that_are_there(
    tmp_path: Path, limits: AudioSettings, write: Callable[[Path], Path], name: str
) -> None:
    made = prepare_sync(write(tmp_path / name), tmp_path / "copy.wav", limits)
    assert (made.duration_s, made.info.duration_s, made.truncated) == (2.0, 36_000, True)


def test_header_without_samples_is_empty(tmp_path: Path, limits: AudioSettings) -> None:
    source = write_wav(tmp_path / "a.wav", np.zeros(0, np.int16), 16_000)
    with pytest.raises(AudioEmpty, match="no sound"):
        prepare_sync(source, tmp_path / "copy.wav", limits)


def test_silence_is_a_normal_recording(tmp_path: Path, limits: AudioSettings) -> None:
    made = prepare_sync(write_silent_wav(tmp_path / "a.wav"), tmp_path / "copy.wav", limits)
    assert (made.silent, made.duration_s, made.peak_dbfs, made.rms_dbfs) == (True, 2.0, None, None)


def test_a_twentieth_of_a_second_is_enough(tmp_path: Path, limits: AudioSettings) -> None:
    made = prepare_sync(write_short_wav(tmp_path / "a.wav"), tmp_path / "copy.wav", limits)
    assert (made.duration_s, made.silent, made.truncated) == (0.05, False, False)


@pytest.mark.parametrize("write", [write_eight_channel_wav, write_192_khz_wav])
def test_many_channels_and_high_rates_are_fine(
    tmp_path: Path, limits: AudioSettings, write: Callable[[Path], Path]
) -> None:
    made = prepare_sync(write(tmp_path / "a.wav"), tmp_path / "copy.wav", limits)
    assert (made.duration_s, made.silent) == (2.0, False)


def test_clipping_is_counted(tmp_path: Path, limits: AudioSettings) -> None:
    wave = np.clip(np.sin(np.arange(16_000) / 20) * 2, -1, 1)
    source = write_wav(tmp_path / "a.wav", (wave * 32767).astype(np.int16), 16_000)
    made = prepare_sync(source, tmp_path / "copy.wav", limits)
    assert made.clipped_samples == np.count_nonzero(np.abs(wave) == 1)
    assert made.peak_dbfs == pytest.approx(0.0, abs=0.01)


def test_playlist_cannot_reach_a_secret_file(tmp_path: Path, limits: AudioSettings) -> None:
    secret = write_tone_wav(tmp_path / "secret.wav")
    addresses = [str(secret), secret.name, secret.as_uri(), f"concat:{secret}"]
    for write in (write_hls_playlist, write_tagged_hls_playlist):
        with pytest.raises(AudioForbidden):
            prepare_sync(write(tmp_path / "list.wav", addresses), tmp_path / "copy.wav", limits)
    assert files_in(tmp_path) == {"secret.wav", "list.wav"}


def test_damaged_files_of_every_kind_end_in_a_result_or_an_input_error(
    tmp_path: Path, limits: AudioSettings
) -> None:
    samples = speech_like(1.0, 48_000, 2)
    for name in ("a.wav", "a.flac", "a.mp3", "a.opus", "a.m4a"):
        encode_file([samples], tmp_path / name, sample_rate_hz=48_000)
    for ending in (".mp4", ".mkv", ".avi", ".ts"):
        write_video(tmp_path / f"a{ending}", samples, 48_000)
    rng = np.random.default_rng(0)
    outcomes: set[str] = set()
    for path in sorted(tmp_path.glob("a.*")):
        for reach in (600, path.stat().st_size):  # the header alone, and anywhere
            content = np.frombuffer(path.read_bytes(), np.uint8).copy()
            places = rng.integers(0, min(reach, len(content)), 12)
            content[places] = rng.integers(0, 256, len(places))
            (tmp_path / "damaged").write_bytes(content.tobytes())
            try:
                made = prepare_sync(tmp_path / "damaged", tmp_path / "copy.wav", limits)
                outcomes.add("truncated" if made.truncated else "whole")
            except InputError as error:
                outcomes.add(error.code)
    assert len(outcomes) > 1
    assert not {name for name in files_in(tmp_path) if name.endswith(".part")}


def test_more_channels_than_ffmpeg_can_mix_are_refused(tmp_path: Path, limits: AudioSettings) -> None:
    source = write_wav(tmp_path / "a.wav", np.ones((1000, 200), np.int16), 16_000)
    with pytest.raises(AudioUnrecognised, match="FFmpeg"):
        prepare_sync(source, tmp_path / "copy.wav", limits)


def test_many_recordings_at_a_time_do_not_disturb_each_other(tmp_path: Path, limits: AudioSettings) -> None:
    lengths_s = (0.5, 1.0, 1.5, 2.0)
    sources = [write_tone_wav(tmp_path / f"{length_s}.wav", length_s) for length_s in lengths_s]

    async def all_of_them() -> list[Prepared]:
        jobs = (prepare(source, source.with_suffix(".copy"), limits) for source in sources)
        return await asyncio.gather(*jobs)

    assert [made.duration_s for made in asyncio.run(all_of_them())] == list(lengths_s)


def test_failure_keeps_an_older_working_copy(tmp_path: Path, limits: AudioSettings) -> None:
    target = tmp_path / "copy.wav"
    prepare_sync(write_tone_wav(tmp_path / "a.wav"), target, limits)
    before = target.read_bytes()
    with pytest.raises(AudioEmpty):
        prepare_sync(write_empty(tmp_path / "b.wav"), target, limits)
    assert target.read_bytes() == before


def test_only_regular_files_are_opened(tmp_path: Path, limits: AudioSettings) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AudioUnrecognised, match="not a file"):
        probe_safely_sync(tmp_path / "pipe", limits)
    with pytest.raises(AudioUnrecognised, match="not a file"):
        probe_safely_sync(tmp_path, limits)
    with pytest.raises(NotFound, match=r"gone\.wav"):
        probe_safely_sync(tmp_path / "gone.wav", limits)
    with pytest.raises(NotFound, match="folder"):
        prepare_sync(write_tone_wav(tmp_path / "a.wav"), tmp_path / "none" / "copy.wav", limits)
