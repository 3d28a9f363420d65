"""A bad network in both directions, with real peers: what is lost is asked for again or made up."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from streaming.frames import ReceiverCounts
from streaming.room import Room
from streaming.testing.chirps import chirps, delays_ms
from streaming.testing.loss import BadNetwork
from streaming.testing.peers import Ear, Mouth, listen, speak

pytestmark = pytest.mark.alone

SECONDS = 6.0


def delivered(counts: ReceiverCounts) -> float:
    return (counts.received + counts.concealed) / (counts.received + counts.lost)


@pytest.mark.parametrize("percent", [1, 5, 10])
async def test_loss_in_both_directions_is_not_heard_and_delays_nothing(room: Room, percent: int) -> None:
    mouth, ear = Mouth(chirps(1.0)), Ear()
    listener = await listen(room, ear)
    speaker = await speak(room, "anna", mouth)
    network = BadNetwork(percent / 100, seed=percent)
    for guest in (speaker, listener):
        network.stands_behind(guest.outside)
        network.stands_behind(guest.inside)
    await asyncio.sleep(SECONDS)
    voice = room.voice("anna")
    asked, again, heard = voice.retransmission, listener.retransmissions[0], ear.receiver.counts
    delays = delays_ms(mouth.chirp_times_s(), ear.chirp_times_s())
    await speaker.close()
    await listener.close()
    # The least of each third: a delay that grows takes it along, other work on the machine does not.
    early, late = min(delays[: len(delays) // 3]), min(delays[-len(delays) // 3 :])
    print(
        f"{percent} %: {network.lost} of {network.sent} lost; "
        f"came of those asked for again: {asked.came}/{asked.asked} and {again.came}/{again.asked}; "
        f"room: {voice.counts}, {delivered(voice.counts):.2%}; ear: {heard}, {delivered(heard):.2%}; "
        f"p95 {np.percentile(delays, 95):.0f} ms; least {early:.0f} → {late:.0f} ms"
    )
    assert network.lost > 0
    if percent >= 5:  # both ends ask, and both are answered: ours by the mouth's aiortc, the ear's by ours
        assert asked.came > 0
        assert again.came > 0
    assert delivered(voice.counts) >= 0.99
    assert delivered(heard) >= 0.99
    assert late < early + 20


async def test_a_sender_that_is_asked_sends_the_same_packet_again(room: Room) -> None:
    """Everything the room sends to one listener is lost once in ten; what comes again is no concealment."""
    ear = Ear()
    listener = await listen(room, ear)
    speaker = await speak(room, "anna", Mouth(chirps(1.0)))
    network = BadNetwork(0.1, seed=3, delay_s=0.0)
    network.stands_behind(listener.inside)
    async with asyncio.timeout(60):
        while network.lost < 20:
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.3)
    counts, asked = ear.receiver.counts, listener.retransmissions[0]
    await speaker.close()
    await listener.close()
    print(f"{network.lost} of {network.sent} lost; {asked.asked} asked for, {asked.came} came; {counts}")
    assert asked.came >= 0.7 * asked.asked
    assert counts.lost < 0.5 * network.lost  # the others were there in time
