"""A show that lasts: does anything grow?

    python -m streaming.testing.soak 600          seconds; prints a line every minute, and a verdict

What lives here: a room with two denoised voices, listeners and a recording, over real peer connections, and
what is looked at every second. What does not: how much may grow (`tests/streaming/test_soak.py`).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from streaming.opus import SAMPLE_RATE_HZ, Sound
from streaming.packet_tap import AudioPacket
from streaming.recording_folder import RecordingFacts, RecordingFolder
from streaming.room import Room
from streaming.testing.peers import Guest, Mouth, speak
from streaming.workers import DenoiseWorkers

_LISTENERS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a room. Attributes:
    at_s: since the show began.
    memory_mb: resident, of this process and of its workers together.
    tasks: of the event loop.
    queued: frames and packets that wait before denoising and at the listeners', the fullest queue.
    heard: packets of the listener that has the fewest.
    lost: frames that denoising dropped, packets that listeners or recorders did, so far.
    is_denoised: whether every voice is, at this moment.
    """

    at_s: float
    memory_mb: float
    tasks: int
    queued: int
    heard: int
    lost: int
    is_denoised: bool


class _Counter:
    def __init__(self) -> None:
        self.packets = 0

    def push(self, _packet: AudioPacket) -> None:
        self.packets += 1


def hum(hertz: float) -> Sound:
    """A second of a tone in noise."""
    at_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    noise = np.random.default_rng(round(hertz)).normal(0, 0.03, SAMPLE_RATE_HZ)
    return (0.3 * np.sin(2 * np.pi * hertz * at_s) + noise).astype(np.float32)[:, np.newaxis]


async def show(workers: DenoiseWorkers, folder: Path, seconds: float) -> AsyncIterator[Look]:
    """A look at the room every second, for so long; `folder` gets the recording."""
    facts = RecordingFacts("rec_soak", "room_soak", "user_soak", "Soak", False, datetime.now(UTC))
    async with AsyncExitStack() as ending:
        room = Room(denoising=workers)
        ending.push_async_callback(room.close)
        recording = RecordingFolder.create(folder / "recording", facts)
        await room.start_recording(recording)
        counters, tracks = [_Counter() for _ in range(_LISTENERS)], []
        for counter in counters:
            guest = Guest()
            ending.push_async_callback(guest.close)
            guest.outside.addTransceiver("audio", direction="recvonly")
            guest.listen(counter.push)
            tracks.append(room.add_listener(guest.inside))
            await guest.negotiate()
        for name, hertz in (("anna", 300), ("ben", 500)):
            ending.push_async_callback((await speak(room, name, Mouth(hum(hertz)))).close)
            room.switch_denoise(name, True)
        voices, process, started_s = list(room.voices.values()), psutil.Process(), time.monotonic()
        while (at_s := time.monotonic() - started_s) < seconds:
            await asyncio.sleep(1.0)
            processes = [process, *map(psutil.Process, workers.pids)]
            queues = [voice._queue for voice in voices] + [track._queue for track in tracks]
            yield Look(
                at_s,
                sum(one.memory_info().rss for one in processes) / 1e6,
                len(asyncio.all_tasks()),
                max(map(len, queues)),
                min(counter.packets for counter in counters),
                sum(voice.overrun_frames for voice in voices)
                + sum(track.dropped for track in tracks)
                + recording.lost_packets,
                all(voice.stage is not None and voice.stage.heard for voice in voices),
            )


async def main(seconds: float, tell: Callable[[str], None] = print) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with DenoiseWorkers("rnnoise", {}, Path(folder)) as workers:
            looks: list[Look] = []
            async for look in show(workers, Path(folder), seconds):
                if int(look.at_s) // 60 != (int(looks[-1].at_s) // 60 if looks else -1):
                    tell(str(look))
                looks.append(look)
    tell(str(looks[-1]))
    settled = [look.memory_mb for look in looks[len(looks) // 4 :]]
    slope = np.polyfit([look.at_s / 3600 for look in looks[len(looks) // 4 :]], settled, 1)[0]
    packets = looks[-1].heard / (50 * looks[-1].at_s)
    tell(f"memory grows by {slope:.1f} MB an hour; {packets:.1%} of packets heard; {looks[-1].lost} lost")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
