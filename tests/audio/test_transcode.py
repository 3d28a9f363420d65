"""Stored sound in another format, made in the limited process."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.audio.encode import FORMATS
from clearcast.audio.probe import probe
from clearcast.audio.sandbox import Written, transcode
from clearcast.errors import AudioForbidden, AudioTooLong, AudioUnrecognised, OptionInvalid
from clearcast.settings import AudioSettings
from clearcast.testing.media import (
    write_eight_channel_wav,
    write_hls_playlist,
    write_text,
    write_tone_wav,
)

LIMITS = AudioSettings()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", FORMATS)
async def test_every_format_keeps_rate_and_channels_as_far_as_it_can(name: str, tmp_path: Path) -> None:
    source = write_tone_wav(tmp_path / "source", 2.0, 44_100, channels=2)
    target = tmp_path / f"target.{name}"
    rate_hz = FORMATS[name].sample_rate_for(44_100)
    assert await transcode(source, target, name, LIMITS) == Written(2.0, rate_hz, 2)
    info = probe(target)
    assert (info.sample_rate_hz, info.channels) == (rate_hz, 2)
    assert info.duration_s == pytest.approx(2.0, abs=0.06)
    assert names(tmp_path) == ["source", f"target.{name}"]


async def test_an_m4a_has_its_index_in_front(tmp_path: Path) -> None:
    target = tmp_path / "target.m4a"
    await transcode(write_tone_wav(tmp_path / "source"), target, "m4a", LIMITS)
    content = target.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


async def test_too_many_channels_are_mixed_into_one(tmp_path: Path) -> None:
    source = write_eight_channel_wav(tmp_path / "source")
    assert (await transcode(source, tmp_path / "a.mp3", "mp3", LIMITS)).channels == 1
    assert (await transcode(source, tmp_path / "a.flac", "flac", LIMITS)).channels == 8


async def test_limits_and_hostile_files_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    for source, error in (
        (write_text(tmp_path / "source"), AudioUnrecognised),
        (write_hls_playlist(tmp_path / "source2", ["/etc/passwd"]), AudioForbidden),
        (write_tone_wav(tmp_path / "source3", 3.0), AudioTooLong),
    ):
        with pytest.raises(error):
            await transcode(source, tmp_path / "a.mp3", "mp3", AudioSettings(max_duration_s=2))
    with pytest.raises(OptionInvalid):
        await transcode(tmp_path / "source3", tmp_path / "a", "xyz", LIMITS)
    assert len(names(tmp_path)) == 3
