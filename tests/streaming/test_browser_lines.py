"""A real Chromium behind a bad network: what is lost is asked for again and comes in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from streaming.peers import new_peer
from streaming.room import Room
from streaming.testing.browser import chromium, statistics
from streaming.testing.browser_lines import BrowserLines, mouth_to_ear_ms, said
from streaming.testing.loss import BadNetwork

WINDOW_S = 5.0


@dataclass(frozen=True)
class Heard:
    """What a page heard for a while: the share of samples made up, the median delay, and counts."""

    concealed: float
    delay_ms: float
    asked: int
    never_came: int


async def heard(lines: BrowserLines) -> Heard:
    before = await statistics(lines.page, "inbound-rtp")
    delays_ms = mouth_to_ear_ms(await lines.record(WINDOW_S))
    after = await statistics(lines.page, "inbound-rtp")
    names = ("concealedSamples", "totalSamplesReceived", "nackCount", "packetsLost")
    made, played, asked, lost = (after[name] - before[name] for name in names)
    return Heard(made / played, float(np.median(delays_ms)), asked, lost)


@pytest.mark.timeout(180)
async def test_chromium_asks_for_lost_packets_and_hears_them_without_growing_delay(
    room: Room, tmp_path: Path
) -> None:
    """A busy machine makes packets late by itself, so that a good stretch is waited for, loss going on."""
    mouth, ear = new_peer(), new_peer()
    room.add_broadcaster("anna", mouth)
    room.add_listener(ear)
    async with chromium(said(), tmp_path) as browser:
        lines = await BrowserLines.open(browser)
        await lines.speak(mouth)
        await lines.listen(ear)
        usual = await heard(lines)
        network = BadNetwork(0.05, seed=5)
        network.stands_behind(ear)
        async with asyncio.timeout(120):
            while True:
                now = await heard(lines)
                print(f"{network.lost} of {network.sent} lost; {usual} → {now}")
                if now.asked and now.concealed < 0.05 and now.delay_ms < usual.delay_ms + 150:
                    break
    await mouth.close()
    await ear.close()
    assert network.lost > 5
    assert now.never_came < 0.5 * now.asked
