"""A hundred listeners of one room, in a process of their own."""

from __future__ import annotations

import asyncio
import time

from streaming.peers import answer, new_peer
from streaming.room import Room
from streaming.testing.chirps import chirps
from streaming.testing.crowd import crowd
from streaming.testing.peers import Mouth, speak

LISTENERS = 100
SECONDS = 4.0


async def test_a_hundred_listeners_get_every_packet(room: Room) -> None:
    mouth = Mouth(chirps(1.0))
    async with crowd(LISTENERS) as listeners:
        peers, answers = [], []
        for offer in listeners.offers:
            peer = new_peer()
            room.add_listener(peer)
            answers.append(await answer(peer, offer))
            peers.append(peer)
        await listeners.take(answers)
        speaker = await speak(room, "anna", mouth)
        await asyncio.sleep(1.0)
        before, used_s, started_s = await listeners.counts(), time.process_time(), time.monotonic()
        await asyncio.sleep(SECONDS)
        used_s, wall_s = time.process_time() - used_s, time.monotonic() - started_s
        after = await listeners.counts()
    got = [late - soon for soon, late in zip(before, after, strict=True)]
    share = 100 * used_s / wall_s / LISTENERS
    print(f"{LISTENERS} listeners: {share:.3f} % of a core each, {min(got)}–{max(got)} packets each")
    assert room.programme.listeners == LISTENERS
    assert min(got) >= 0.9 * SECONDS * 50
    assert share < 1.0  # aiortc's own relay needs 5
    await speaker.close()
    await asyncio.gather(*[peer.close() for peer in peers])
