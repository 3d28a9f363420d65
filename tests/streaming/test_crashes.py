"""Real peers, and a denoising worker that is killed in the middle of the show."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import numpy as np

from streaming.opus import SAMPLE_RATE_HZ, Sound
from streaming.room import Room
from streaming.testing.peers import Ear, Guest, Mouth, listen, speak
from streaming.workers import DenoiseWorkers


def hum(hertz: float) -> Sound:
    """A second of a tone in noise; denoising takes most of the noise away."""
    at = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    noise = np.random.default_rng(round(hertz)).normal(0, 0.05, SAMPLE_RATE_HZ)
    return (0.3 * np.sin(2 * np.pi * hertz * at) + noise).astype(np.float32)[:, np.newaxis]


def longest_gap_ms(ear: Ear, since: int) -> tuple[float, float]:
    """Between packets from number `since` on: in arrival, and in the sound's own time."""
    packets = ear.packets[since:]
    arrived = np.diff([packet.arrived_s for packet in packets]).max()
    missing = np.diff([packet.timestamp for packet in packets]).max() / SAMPLE_RATE_HZ - 0.02
    return 1000 * float(arrived), 1000 * float(missing)


async def test_a_worker_killed_in_mid_show_is_not_heard() -> None:
    """Two rooms, each with its voice on a worker of its own."""
    async with DenoiseWorkers("rnnoise", {}, Path("nowhere"), workers=2) as workers:
        rooms = [Room(denoising=workers), Room(denoising=workers)]
        ears, guests = [Ear(), Ear()], list[Guest]()
        for room, ear, hertz in zip(rooms, ears, (300, 500), strict=True):
            guests += [await listen(room, ear), await speak(room, "anna", Mouth(hum(hertz)))]
            room.switch_denoise("anna", True)
        stages = [room.voice("anna").stage for room in rooms]
        await asyncio.sleep(1.5)
        started, pids = [len(ear.packets) for ear in ears], workers.pids
        killed_s = time.monotonic()
        os.kill(pids[0], signal.SIGKILL)
        while not any(stage is not None and stage.failed for stage in stages):
            await asyncio.sleep(0.005)
            assert time.monotonic() < killed_s + 5.0
        hit = next(at for at, stage in enumerate(stages) if stage is not None and stage.failed)
        while (stage := stages[hit]) is not None and (stage.failed or not stage.heard):
            await asyncio.sleep(0.005)
            assert time.monotonic() < killed_s + 30.0
        back_s = time.monotonic() - killed_s
        await asyncio.sleep(0.5)
        gaps = [longest_gap_ms(ear, since) for ear, since in zip(ears, started, strict=True)]
        other = stages[1 - hit]
        assert other is not None
        assert not other.failed
        for guest in guests:
            await guest.close()
        for room in rooms:
            await room.close()
    print(f"denoised again after {back_s:.2f} s; gaps hit {gaps[hit]}, other {gaps[1 - hit]} ms")
    assert back_s < 2.0
    assert gaps[hit][0] < 60
    assert [gap[1] for gap in gaps] == [0, 0]  # no frame is missing anywhere
