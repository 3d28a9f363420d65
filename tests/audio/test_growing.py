"""Files that are decoded while they come: the same sound as of the whole file, before its last byte."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.growing import GrowingSound, can_be_decoded_early
from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.audio.sandbox import prepare, transcode
from clearcast.errors import AudioUnrecognised, UploadTooLarge
from clearcast.sample import sample_conversation
from clearcast.settings import AudioSettings

PACKET_BYTES = 1000


async def file_in(format_name: str, folder: Path) -> Path:
    """The sample conversation in that format."""
    target = folder / f"sample.{format_name}"
    await transcode(sample_conversation().audio, target, format_name, AudioSettings())
    return target


@pytest.mark.parametrize("format_name", ["wav", "flac", "mp3", "opus", "m4a"])
async def test_the_sound_is_that_of_the_whole_file(format_name: str, tmp_path: Path) -> None:
    source = await file_in(format_name, tmp_path)
    whole = await prepare(source, tmp_path / "whole.wav", AudioSettings())
    folder = tmp_path / "grows"
    folder.mkdir()
    growing = GrowingSound(folder, AudioSettings())

    async def send() -> None:
        content = source.read_bytes()
        for at in range(0, len(content), PACKET_BYTES):
            growing.push(content[at : at + PACKET_BYTES])
            if at % (100 * PACKET_BYTES) == 0:
                await asyncio.sleep(0.01)
        growing.end()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        heard = np.concatenate([piece async for piece in growing.sound()])
    growing.close()
    with Recording.open(whole.path) as recording:
        known = recording.read()
    assert np.array_equal(heard[: len(known)], known)
    # An MP3's last frame is filled up, and FFmpeg takes that away only where it knows the file's size.
    assert 0 <= len(heard) - len(known) <= (576 if format_name == "mp3" else 0)
    assert growing.prepared is not None
    assert growing.prepared.duration_s == len(heard) / SAMPLE_RATE_HZ


@pytest.mark.parametrize("format_name", ["wav", "flac", "mp3", "opus"])
async def test_sound_comes_before_the_last_byte(format_name: str, tmp_path: Path) -> None:
    content = (await file_in(format_name, tmp_path)).read_bytes()
    folder = tmp_path / "grows"
    folder.mkdir()
    growing = GrowingSound(folder, AudioSettings())
    growing.push(content[: len(content) // 2])
    pieces = growing.sound()
    heard = 0
    async with asyncio.timeout(60):
        while heard < 10 * SAMPLE_RATE_HZ:
            heard += len(await anext(pieces))
    await pieces.aclose()  # ends the process, which waits for more
    growing.close()


async def test_what_has_its_index_at_the_end_waits_for_it(tmp_path: Path) -> None:
    assert not can_be_decoded_early(b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42" + b"\0\0\1\0mdat")
    assert can_be_decoded_early(b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42" + b"\0\0\1\0moov")


async def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    growing = GrowingSound(tmp_path, AudioSettings())
    growing.push(b"dear diary, " * 1000)
    growing.end()
    with pytest.raises(AudioUnrecognised):
        [piece async for piece in growing.sound()]
    growing.close()


def test_more_bytes_than_a_file_may_have_are_refused(tmp_path: Path) -> None:
    growing = GrowingSound(tmp_path, AudioSettings(max_upload_bytes=1000))
    growing.push(bytes(1000))
    with pytest.raises(UploadTooLarge):
        growing.push(b"!")
    growing.close()
