"""Other people's readers say whether the files are right."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from streaming.ogg_writer import PAGE_SAMPLES, OggOpusWriter, PartLimits, WriterOptions, silence_packets
from streaming.opus import Encoder, EncoderOptions, Sound, packet_samples
from streaming.testing.chirps import CHIRP_PERIOD_S, chirps, onsets


def encoded(sound: Sound, options: EncoderOptions = EncoderOptions()) -> list[tuple[bytes, int]]:
    """Packets with their positions."""
    size = options.frame_samples
    with Encoder(options) as encoder:
        return [(encoder.encode(sound[at : at + size]), at) for at in range(0, len(sound) - size + 1, size)]


def decoded_by_pyav(path: Path) -> Sound:
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    joined: Sound = np.concatenate(parts, axis=1).T.astype(np.float32)
    return joined


def pages_of(path: Path) -> list[tuple[int, int, bytes]]:
    """(flags, granule position, body) of every page that is there whole."""
    data, at, pages = path.read_bytes(), 0, []
    while at < len(data):
        magic, _version, flags, granule, _serial, number, _crc, segments = struct.unpack_from(
            "<4sBBqIIIB", data, at
        )
        assert (magic, number) == (b"OggS", len(pages))
        lacing = data[at + 27 : at + 27 + segments]
        body = data[at + 27 + segments : at + 27 + segments + sum(lacing)]
        pages.append((flags, granule, body))
        at += 27 + segments + sum(lacing)
    assert at == len(data)
    return pages


@pytest.mark.parametrize(
    "options", [EncoderOptions(), EncoderOptions(frame_ms=10), EncoderOptions(channels=2)]
)
def test_readers_of_others_find_the_sound_at_its_time(tmp_path: Path, options: EncoderOptions) -> None:
    sound = np.repeat(chirps(3.0), options.channels, axis=1)
    writer = OggOpusWriter(
        tmp_path / "a.opus", WriterOptions(channels=options.channels, tags={"TITLE": "Probe ä"})
    )
    for packet, position in encoded(sound, options):
        writer.write(packet, position)
    writer.close()
    heard, rate = soundfile.read(tmp_path / "a-001.opus", always_2d=True, dtype="float32")
    assert (rate, heard.shape[1]) == (48_000, options.channels)
    assert len(heard) == len(sound) - 312
    truth = onsets(sound[:, 0])
    for reader in (heard, decoded_by_pyav(tmp_path / "a-001.opus")):
        found = onsets(reader[:, 0])
        assert len(found) == len(truth)
        assert np.abs(np.subtract(found, truth)).max() <= 48  # 1 ms
    with av.open(str(tmp_path / "a-001.opus")) as container:
        assert container.streams.audio[0].metadata["TITLE"] == "Probe ä"


def test_pages_are_short_and_on_the_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    writer = OggOpusWriter(tmp_path / "a.opus")
    for packet, position in encoded(chirps(3.0)):
        writer.write(packet, position)
        granules = [granule for _, granule, _ in pages_of(tmp_path / "a-001.opus")]
        assert position + 960 - granules[-1] < PAGE_SAMPLES
        assert all(late - soon <= PAGE_SAMPLES for soon, late in itertools.pairwise(granules))
    assert len(soundfile.read(tmp_path / "a-001.opus")[0]) > 2.4 * 48_000
    writer.close()
    assert pages_of(tmp_path / "a-001.opus")[0][0] == 2
    assert pages_of(tmp_path / "a-001.opus")[-1][0] == 4


@pytest.mark.parametrize("gap_frames", [1, 5, 6, 7, 100, 3000])
def test_gaps_keep_their_time(tmp_path: Path, gap_frames: int) -> None:
    packets = encoded(chirps(1.0))
    writer = OggOpusWriter(tmp_path / "a.opus")
    for packet, position in packets:
        writer.write(packet, position + 123_456)
    later = 48_000 + gap_frames * 960
    for packet, position in packets:
        writer.write(packet, position + 123_456 + later)
    writer.close()
    heard, _ = soundfile.read(tmp_path / "a-001.opus", dtype="float32")
    assert len(heard) == later + 48_000 - 312
    found = onsets(heard)
    assert min(abs(onset - later) for onset in found) <= 48
    granules = [granule for _, granule, _ in pages_of(tmp_path / "a-001.opus")]
    assert all(late - soon <= PAGE_SAMPLES for soon, late in itertools.pairwise(granules))


def test_many_gaps_shorter_than_a_frame_add_up_to_their_time(tmp_path: Path) -> None:
    writer = OggOpusWriter(tmp_path / "a.opus")
    for number, (packet, position) in enumerate(encoded(chirps(2.0))):
        writer.write(packet, position + 480 * number)
    writer.close()
    assert abs(len(soundfile.read(tmp_path / "a-001.opus")[0]) - 3 * 48_000) <= 1920


def test_filling_a_gap_has_the_length_asked_for() -> None:
    for options in (EncoderOptions(), EncoderOptions(frame_ms=10), EncoderOptions(channels=2)):
        (packet, _), *_ = encoded(np.repeat(chirps(0.1), options.channels, axis=1), options)
        for samples in (960, 4800, 5760, 6720, 48_000):
            filling = list(silence_packets(packet, samples))
            assert sum(length for _, length in filling) == samples
            assert all(packet_samples(one) == length for one, length in filling)
            assert all(len(one) <= 2 for one, _ in filling)


def test_what_lies_before_the_end_already_follows_it(tmp_path: Path) -> None:
    writer = OggOpusWriter(tmp_path / "a.opus")
    for packet, position in encoded(chirps(1.0)):
        writer.write(packet, min(position, 24_000))
    writer.close()
    assert len(soundfile.read(tmp_path / "a-001.opus")[0]) == 48_000 - 312


@pytest.mark.parametrize("limits", [PartLimits(max_bytes=14_000), PartLimits(max_duration_s=1.5)])
def test_files_rotate_by_size_and_length_and_play_on_without_a_seam(
    tmp_path: Path, limits: PartLimits
) -> None:
    sound = chirps(6.0)
    whole = OggOpusWriter(tmp_path / "whole.opus")
    parts = OggOpusWriter(tmp_path / "part.opus", WriterOptions(limits=limits))
    for packet, position in encoded(sound):
        whole.write(packet, position)
        parts.write(packet, position)
    whole.close()
    parts.close()
    assert [path.name for path in parts.paths[:2]] == ["part-001.opus", "part-002.opus"]
    assert len(parts.paths) >= 3
    assert all(path.stat().st_size < limits.max_bytes + 8_000 for path in parts.paths)
    expected, _ = soundfile.read(whole.paths[0], dtype="float32")
    pieces = [soundfile.read(path, dtype="float32")[0] for path in parts.paths]
    assert all(len(piece) <= (limits.max_duration_s + 0.5) * 48_000 for piece in pieces)
    joined = np.concatenate(pieces)
    assert len(joined) == len(expected) == whole.written_samples == parts.written_samples
    assert np.abs(joined - expected).max() < 0.05


def test_what_lies_before_the_first_packet_is_silence(tmp_path: Path) -> None:
    writer = OggOpusWriter(tmp_path / "a.opus", WriterOptions(first_part=7))
    writer.begin(1000)
    for packet, position in encoded(chirps(1.0)):
        writer.write(packet, 1000 + 96_000 + position)
    writer.close()
    heard, _ = soundfile.read(tmp_path / "a-007.opus", dtype="float32")
    assert len(heard) == 3 * 48_000 - 312
    assert abs(onsets(heard)[0] - 96_000) <= 48
    assert np.abs(heard[:90_000]).max() < 1e-3


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a-001.opus").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        OggOpusWriter(tmp_path / "a.opus")
    writer = OggOpusWriter(tmp_path / "b.opus")
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(encoded(chirps(0.1))[0][0], 0)


_CHILD = """
import sys, time
from pathlib import Path
from streaming.listeners import EncodedFrame
from streaming.ogg_writer import OggOpusWriter
from streaming.opus import Encoder
from streaming.recorder import Recorder
from streaming.testing.chirps import chirps

recorder = Recorder(OggOpusWriter(Path(sys.argv[1])))
encoder, sound = Encoder(), chirps(1.0)
started_s = time.monotonic()
for number in range(10_000):
    at = number % 50 * 960
    recorder.put_encoded(EncodedFrame(number * 960, 960, encoder.encode(sound[at : at + 960])))
    print((number + 1) * 960, flush=True)
    time.sleep(max(0.0, started_s + number * 0.02 - time.monotonic()))
"""


def test_killed_without_warning_at_most_a_second_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a-001.opus"
    command = [sys.executable, "-c", _CHILD, str(tmp_path / "a.opus")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(111):  # 2.2 s, with a page begun
            spoken = int(child.stdout.readline())
        child.kill()
    heard, _ = soundfile.read(path, dtype="float32")
    lost_s = (spoken - len(heard)) / 48_000
    print(f"killed after {spoken / 48_000:.1f} s: {lost_s:.2f} s lost")
    assert spoken > 48_000
    assert lost_s <= 1.0
    assert abs(len(decoded_by_pyav(path)) - len(heard)) <= 960
    assert len(onsets(heard)) >= len(heard) / 48_000 / CHIRP_PERIOD_S - 1
