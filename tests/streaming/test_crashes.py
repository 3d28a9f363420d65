"""Real peers, and a denoising worker that is killed in the middle of the show."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from streaming.frames import Frame
from streaming.listeners import EncodedFrame
from streaming.opus import SAMPLE_RATE_HZ, Sound
from streaming.processing import ProcessingStage
from streaming.room import Room
from streaming.testing.peers import Ear, Guest, Mouth, listen, speak
from streaming.workers import DenoiseWorkers

pytestmark = pytest.mark.alone


def hum(hertz: float) -> Sound:
    """A second of a tone in noise; denoising takes most of the noise away."""
    at = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    noise = np.random.default_rng(round(hertz)).normal(0, 0.05, SAMPLE_RATE_HZ)
    return (0.3 * np.sin(2 * np.pi * hertz * at) + noise).astype(np.float32)[:, np.newaxis]


def missing_ms(frames: list[EncodedFrame]) -> int:
    """How much of the sound's own time no frame has."""
    return sum(max(0, step - 960) // 48 for step in np.diff([frame.position for frame in frames]).tolist())


def longest_gap_ms(ear: Ear, since: int) -> float:
    """Between the arrivals of packets from number `since` on."""
    return 1000 * float(np.diff([packet.arrived_s for packet in ear.packets[since:]]).max())


async def test_a_worker_killed_in_mid_show_is_not_heard() -> None:
    """Two rooms, each with its voice on a worker of its own."""
    async with DenoiseWorkers("rnnoise", {}, Path("nowhere"), workers=2) as workers:
        rooms = [Room(denoising=workers), Room(denoising=workers)]
        ears, guests, made = [Ear(), Ear()], list[Guest](), list[list[EncodedFrame]]([[], []])
        for room, ear, frames, hertz in zip(rooms, ears, made, (300, 500), strict=True):
            room.programme.add_tap(frames.append)
            guests += [await listen(room, ear), await speak(room, "anna", Mouth(hum(hertz)))]
            room.switch_denoise("anna", True)
        stages = [room.voice("anna").stage for room in rooms]
        await asyncio.sleep(1.5)
        started, pids = [len(ear.packets) for ear in ears], workers.pids
        made_before = [len(frames) for frames in made]
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
    lost_ms = [missing_ms(frames[since:]) for frames, since in zip(made, made_before, strict=True)]
    print(
        f"denoised again after {back_s:.2f} s; hit: longest gap {gaps[hit]:.0f} ms, lost {lost_ms[hit]} ms"
    )
    print(f"the other voice: {gaps[1 - hit]:.0f} ms, {lost_ms[1 - hit]} ms")
    assert back_s < 2.0
    # The other voice goes the same way at the same time: what it suffers, the machine does to both.
    assert gaps[hit] < 60 + max(0.0, gaps[1 - hit] - 20)
    assert lost_ms[hit] == 0 or lost_ms[1 - hit] > 0


async def test_no_frame_is_missing_where_a_worker_dies(rnnoise: DenoiseWorkers) -> None:
    sound = np.tile(hum(300), (2, 1))
    stage = ProcessingStage(functools.partial(rnnoise.open, 1), rnnoise.delay_samples, 960)
    stage.switch(True)
    out: list[Frame] = []
    for at in range(0, len(sound), 960):
        if at == 960 * 50:
            os.kill(rnnoise.pids[0], signal.SIGKILL)
        out += await stage.push(Frame(at, sound[at : at + 960]))
    out += await stage.flush()
    await stage.close()
    assert stage.failed
    assert [frame.position for frame in out] == list(range(0, len(sound), 960))
    same = [np.array_equal(frame.samples, sound[frame.position : frame.position + 960]) for frame in out]
    assert same.index(False) < 20  # cleaned before
    assert all(same[60:70])  # untouched after
