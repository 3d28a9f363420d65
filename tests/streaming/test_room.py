"""Real peers on this machine: what is said is heard, soon, and by all."""

from __future__ import annotations

import asyncio

import numpy as np

from streaming.room import Denoising, Room
from streaming.testing.chirps import chirps, delays_ms
from streaming.testing.peers import Ear, Mouth, listen, speak


async def _delays_ms(room: Room, seconds: float) -> list[float]:
    mouth, ear = Mouth(chirps(1.0)), Ear()
    listener = await listen(room, ear)
    speaker = await speak(room, "anna", mouth)
    await asyncio.sleep(seconds)
    await speaker.close()
    await listener.close()
    return delays_ms(mouth.chirp_times_s(), ear.chirp_times_s())


async def test_what_is_said_is_heard_within_a_blink(room: Room) -> None:
    delays = await _delays_ms(room, 3.0)
    print(f"mouth to ear: p50 {np.median(delays):.1f} ms, p95 {np.percentile(delays, 95):.1f} ms")
    assert len(delays) >= 8
    assert np.percentile(delays, 95) < 80


async def test_denoising_costs_one_frame(denoising: Denoising) -> None:
    room = Room(denoising=denoising)
    delays = await _delays_ms(room, 3.0)
    await room.close()
    print(f"mouth to ear with RNNoise's delay: p95 {np.percentile(delays, 95):.1f} ms")
    assert len(delays) >= 8
    assert np.percentile(delays, 95) < 110
