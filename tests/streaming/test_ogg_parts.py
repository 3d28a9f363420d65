"""Parts that a writer left, torn at any byte; other people's readers say what is in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clearcast.errors import AudioUnrecognised
from streaming.ogg_pages import LAST_PAGE, Page, read_pages
from streaming.ogg_parts import join, seal
from streaming.ogg_writer import OggOpusWriter, PartLimits, WriterOptions
from streaming.opus import Sound
from streaming.testing.chirps import chirps, onsets
from tests.streaming.test_ogg_writer import decoded_by_pyav, encoded, pages_of


def written(path: Path, sound: Sound, options: WriterOptions = WriterOptions()) -> list[Path]:
    writer = OggOpusWriter(path, options)
    for packet, position in encoded(sound):
        writer.write(packet, position)
    writer.close()
    return writer.paths


@pytest.mark.parametrize("lost_bytes", [0, 1, 26, 27, 30, 500, 5000])
def test_a_torn_page_is_cut_off_and_the_end_is_marked(tmp_path: Path, lost_bytes: int) -> None:
    (path,) = written(tmp_path / "a.opus", chirps(3.0))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - lost_bytes])
    part = seal(path)
    assert part is not None
    pages = pages_of(path)  # nothing but whole ones
    assert pages[-1][0] == LAST_PAGE
    heard, _ = soundfile.read(path, dtype="float32")
    assert len(heard) == part.samples
    assert part.size_bytes == path.stat().st_size
    assert part.samples > (3.0 - 1.1) * 48_000
    assert seal(path) == part
    assert path.stat().st_size == part.size_bytes


def test_a_damaged_page_ends_what_is_believed(tmp_path: Path) -> None:
    (path,) = written(tmp_path / "a.opus", chirps(3.0))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    part = seal(path)
    assert part is not None
    assert 0.5 < part.duration_s < 2.0
    assert len(soundfile.read(path)[0]) == part.samples


@pytest.mark.parametrize("size", [0, 10, 47, 100])
def test_a_file_without_sound_is_none(tmp_path: Path, size: int) -> None:
    (path,) = written(tmp_path / "a.opus", chirps(1.0))
    path.write_bytes(path.read_bytes()[:size])
    assert seal(path) is None


def test_rotated_parts_are_one_file_again_to_the_sample(tmp_path: Path) -> None:
    sound = chirps(6.0)
    (whole,) = written(tmp_path / "whole.opus", sound)
    parts = written(tmp_path / "part.opus", sound, WriterOptions(limits=PartLimits(max_bytes=14_000)))
    assert len(parts) >= 3
    join(parts, tmp_path / "joined.opus")
    expected, _ = soundfile.read(whole, dtype="float32")
    heard, _ = soundfile.read(tmp_path / "joined.opus", dtype="float32")
    np.testing.assert_array_equal(heard, expected)
    np.testing.assert_array_equal(decoded_by_pyav(tmp_path / "joined.opus"), decoded_by_pyav(whole))
    pages = pages_of(tmp_path / "joined.opus")  # numbered without a hole
    assert [flags for flags, _, _ in pages] == [2, *[0] * (len(pages) - 2), LAST_PAGE]
    join(parts, tmp_path / "again.opus")
    assert (tmp_path / "again.opus").read_bytes() == (tmp_path / "joined.opus").read_bytes()


def test_what_was_written_after_a_kill_follows_what_was_before(tmp_path: Path) -> None:
    sound = chirps(2.0)
    (first,) = written(tmp_path / "a.opus", sound)
    first.write_bytes(first.read_bytes()[:-700])
    (second,) = written(tmp_path / "a.opus", sound, WriterOptions(first_part=2))
    sealed = [seal(first), seal(second)]
    join([first, second], tmp_path / "joined.opus")
    heard, _ = soundfile.read(tmp_path / "joined.opus", dtype="float32")
    before, after = (part.samples for part in sealed if part is not None)
    assert len(heard) == before + after + 312  # the second encoder's look-ahead is heard
    expected = [*onsets(sound[:before, 0]), *(before + 312 + onset for onset in onsets(sound[:, 0]))]
    assert np.abs(np.subtract(onsets(heard), expected)).max() <= 312 + 48


def test_what_is_no_part_is_not_joined(tmp_path: Path) -> None:
    (tmp_path / "a.opus").write_bytes(b"RIFF")
    with pytest.raises(AudioUnrecognised):
        join([tmp_path / "a.opus"], tmp_path / "joined.opus")
    (tmp_path / "b.opus").write_bytes(Page((b"x" * 30,), 0, 2, 1, 0).pack() * 2)
    with pytest.raises(AudioUnrecognised):
        join([tmp_path / "b.opus"], tmp_path / "joined.opus")


_BIG = """
import resource, sys
from pathlib import Path
from streaming.ogg_parts import join, seal

paths = [Path(name) for name in sys.argv[1:3]]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in paths:
    seal(path)
join(paths, Path(sys.argv[3]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_joining_long_recordings_takes_no_memory(tmp_path: Path) -> None:
    packets = encoded(chirps(10.0))
    for name in ("a", "b"):
        writer = OggOpusWriter(tmp_path / f"{name}.opus")
        for number in range(360):  # an hour each
            for packet, position in packets:
                writer.write(packet, number * 480_000 + position)
        writer.close()
    names = [str(tmp_path / name) for name in ("a-001.opus", "b-001.opus", "joined.opus")]
    grown_kib = int(subprocess.check_output([sys.executable, "-c", _BIG, *names]))
    size = (tmp_path / "joined.opus").stat().st_size
    print(f"two hours, {size / 1e6:.0f} MB: {grown_kib / 1024:.1f} MiB more")
    assert size > 30e6
    assert grown_kib < 8 * 1024
    with (tmp_path / "joined.opus").open("rb") as file:
        *_, last = read_pages(file)
    assert last.granule == 2 * 3600 * 48_000
