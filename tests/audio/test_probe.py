from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.audio.encode import encode_file
from clearcast.audio.probe import probe
from clearcast.errors import AudioEmpty, AudioForbidden, AudioTruncated, AudioUnrecognised
from clearcast.testing.media import (
    Codecs,
    cut_off,
    speech_like,
    write_empty,
    write_hls_playlist,
    write_lying_flac,
    write_lying_wav,
    write_media,
    write_text,
    write_tone_wav,
    write_video,
)


def test_wav_tells_everything(tmp_path: Path) -> None:
    path = write_tone_wav(tmp_path / "a.wav", 1.5, sample_rate_hz=44_100, channels=2)
    info = probe(path)
    assert info.duration_s == 1.5
    assert (info.sample_rate_hz, info.channels, info.codec, info.container) == (
        44_100,
        2,
        "pcm_s16le",
        "wav",
    )
    assert (info.bit_rate_bps, info.has_video) == (44_100 * 32, False)
    assert info.size_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("name", "codec", "container", "rate_hz"),
    [
        ("a.flac", "flac", "flac", 44_100),
        ("a.mp3", "mp3", "mp3", 44_100),
        ("a.opus", "opus", "ogg", 48_000),
        ("a.m4a", "aac", "mov", 44_100),
    ],
)
def test_codec_container_and_length_of_coded_files(
    tmp_path: Path, name: str, codec: str, container: str, rate_hz: int
) -> None:
    encode_file([speech_like(2.0, 44_100)], tmp_path / name, sample_rate_hz=44_100)
    info = probe(tmp_path / name)
    assert (info.codec, info.container, info.sample_rate_hz) == (codec, container, rate_hz)
    assert info.duration_s == pytest.approx(2.0, abs=0.03)


def test_video_is_told_from_sound(tmp_path: Path) -> None:
    info = probe(write_video(tmp_path / "a.mkv", speech_like(1.0, 48_000)))
    assert info.has_video
    assert info.codec == "flac"
    assert info.duration_s == pytest.approx(1.0, abs=0.01)


def test_stream_without_a_header_claims_no_length(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.aac", Codecs("adts", "aac"), [(0.0, speech_like(2.0, 44_100))], 44_100)
    assert probe(path).duration_s is None


def test_mp3_without_a_frame_count_claims_no_length(tmp_path: Path) -> None:
    encode_file([speech_like(2.0, 44_100)], tmp_path / "a.mp3", sample_rate_hz=44_100)
    content = (tmp_path / "a.mp3").read_bytes()
    assert b"Info" in content or b"Xing" in content
    (tmp_path / "b.mp3").write_bytes(content.replace(b"Info", b"\0\0\0\0").replace(b"Xing", b"\0\0\0\0"))
    assert probe(tmp_path / "b.mp3").duration_s is None


def test_claims_are_repeated_even_when_they_are_wrong(tmp_path: Path) -> None:
    assert probe(write_lying_flac(tmp_path / "a.flac")).duration_s == 36_000
    assert probe(write_lying_wav(tmp_path / "a.wav")).duration_s == 36_000


def test_wav_of_unknown_length_is_measured_by_its_size(tmp_path: Path) -> None:
    path = write_tone_wav(tmp_path / "a.wav", 1.0)
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    assert probe(path).duration_s == pytest.approx(1.0)


def test_unusable_files_are_refused_for_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(AudioEmpty, match="0 bytes"):
        probe(write_empty(tmp_path / "a.wav"))
    with pytest.raises(AudioUnrecognised, match="text"):
        probe(write_text(tmp_path / "b.wav"))
    with pytest.raises(AudioForbidden):
        probe(write_hls_playlist(tmp_path / "c.wav", ["d.wav"]))
    with pytest.raises(AudioUnrecognised, match="no sound track"):
        probe(write_video(tmp_path / "e.mp4", None))
    with pytest.raises(AudioTruncated, match="WAV"):
        probe(cut_off(write_tone_wav(tmp_path / "f.wav"), tmp_path / "g.wav", 0.0004))


def test_picture_is_refused_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    with pytest.raises(AudioUnrecognised, match="PNG"):
        probe(tmp_path / "a.wav")


def test_playlist_that_slips_past_the_first_look_is_still_not_on_the_list_of_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tone_wav(tmp_path / "secret.wav")
    monkeypatch.setattr("clearcast.audio.source.is_playlist", lambda _head: False)
    path = tmp_path / "list.wav"
    path.write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'secret.wav'}'\n", encoding="utf-8")
    with pytest.raises(AudioUnrecognised):
        probe(path)
