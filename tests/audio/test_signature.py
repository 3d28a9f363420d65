from __future__ import annotations

import io

import pytest

from clearcast.audio.signature import (
    container_name,
    is_playlist,
    is_text,
    picture_name,
    read_head,
)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:1,\na.wav\n",
        b"\xef\xbb\xbf\r\n#extm3u\n",
        b"ffconcat version 1.0\nfile 'a.wav'\n",
        b"# a list\nfile a.wav\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
        b"[playlist]\nFile1=a.wav\n",
        b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">',
        b"<ASX version='3.0'>",
        b"# comment\nhttp://127.0.0.1/a.mp3\n",
        b"rtsp://127.0.0.1/live",
    ],
)
def test_lists_of_other_files_are_playlists(content: bytes) -> None:
    assert is_playlist(content)


@pytest.mark.parametrize(
    "content", [b"RIFF\x00\x00\x00\x00WAVE", b"fLaC", b"Dear listener,\n", b"", b"<html>"]
)
def test_sound_and_letters_are_no_playlists(content: bytes) -> None:
    assert not is_playlist(content)


def test_head_is_read_behind_id3_tags_and_the_file_is_put_back() -> None:
    tag = b"ID3\x04\x00\x00\x00\x00\x01\x00" + b"\0" * 128
    file = io.BytesIO(tag + tag + b"#EXTM3U\n")
    assert read_head(file) == (b"#EXTM3U\n", 2 * len(tag))
    assert file.tell() == 0


def test_endless_id3_tags_are_given_up_on() -> None:
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x00"
    _, skipped = read_head(io.BytesIO(tag * 100))
    assert skipped == 8 * len(tag)


def test_text_may_be_cut_inside_a_letter_but_holds_no_control_characters() -> None:
    assert is_text("سلام\n".encode()[:3])
    assert not is_text(b"RIFF\x01\x02")
    assert not is_text(b"\xff\xfe\xfd")


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff\xe0", "JPEG"), (b"RIFF\0\0\0\0WEBP", "WebP")],
)
def test_pictures_are_named(content: bytes, name: str) -> None:
    assert picture_name(content) == name
    assert picture_name(b"RIFF\0\0\0\0WAVE") is None


def test_containers_are_known_by_their_first_bytes_alone() -> None:
    assert container_name(b"RIFF\0\0") == "WAV or AVI"
    assert container_name(b"\0\0\0\x20ftypM4A ") == "MP4, M4A or MOV"
    assert container_name(b"\xff\xfb\x90\x00") == "MP3 or AAC"
    assert container_name(b"", id3_bytes=100) == "MP3 or AAC"
    assert container_name(b"hello") is None
