from __future__ import annotations

from pathlib import Path

import soundfile

from streaming.listeners import EncodedFrame
from streaming.ogg_writer import OggOpusWriter
from streaming.packet_tap import AudioPacket
from streaming.recorder import QUEUE_PACKETS, Recorder
from streaming.testing.chirps import chirps, onsets
from tests.streaming.test_ogg_writer import encoded


async def test_packets_as_received_are_in_the_file(tmp_path: Path) -> None:
    recorder = Recorder(OggOpusWriter(tmp_path / "a.opus"))
    for number, (packet, position) in enumerate(encoded(chirps(2.0))):
        recorder.put_packet(AudioPacket(number, position, packet, 0, number == 0, 0.0), position)
    assert await recorder.close() == [tmp_path / "a-001.opus"]
    assert (recorder.lost, recorder.failure) == (0, None)
    assert len(soundfile.read(tmp_path / "a-001.opus")[0]) == 96_000 - 312


async def test_silence_goes_before_the_first_packet(tmp_path: Path) -> None:
    recorder = Recorder(OggOpusWriter(tmp_path / "a.opus"), lambda: 48_000)
    for packet, position in encoded(chirps(1.0)):
        recorder.put_encoded(EncodedFrame(777 + position, 960, packet))
    await recorder.close()
    assert recorder.written_samples == 96_000 - 312
    assert abs(onsets(soundfile.read(tmp_path / "a-001.opus", dtype="float32")[0])[0] - 48_000) <= 48


class _FullDisk(OggOpusWriter):
    def write(self, packet: bytes, position: int, samples: int | None = None) -> None:
        raise OSError(28, "No space left on device")


async def test_a_full_disk_is_told_and_holds_nobody_up(tmp_path: Path) -> None:
    recorder = Recorder(_FullDisk(tmp_path / "a.opus"))
    (packet, _), *_ = encoded(chirps(0.1))
    for number in range(3 * QUEUE_PACKETS):
        recorder.put_packet(AudioPacket(number, 0, packet, 0, False, 0.0), 960 * number)
    assert await recorder.close() == [tmp_path / "a-001.opus"]
    assert isinstance(recorder.failure, OSError)
    assert recorder.lost > 0
