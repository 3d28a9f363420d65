"""A real Chromium behind a bad network: what is lost is asked for again and comes in time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from streaming.peers import new_peer
from streaming.room import Room
from streaming.testing.browser import chromium, statistics
from streaming.testing.browser_lines import BrowserLines, mouth_to_ear_ms
from streaming.testing.chirps import chirps
from streaming.testing.loss import BadNetwork

SECONDS = 8.0


@pytest.mark.timeout(180)
async def test_chromium_asks_for_lost_packets_and_hears_them_without_growing_delay(
    room: Room, tmp_path: Path
) -> None:
    mouth, ear = new_peer(), new_peer()
    room.add_broadcaster("anna", mouth)
    room.add_listener(ear)
    async with chromium(chirps(1.0), tmp_path) as browser:
        lines = await BrowserLines.open(browser)
        await lines.speak(mouth)
        await lines.listen(ear)
        await asyncio.sleep(1.0)
        network, before = BadNetwork(0.05, seed=5), await statistics(lines.page, "inbound-rtp")
        network.stands_behind(ear)
        delays = mouth_to_ear_ms(await lines.record(SECONDS))
        after = await statistics(lines.page, "inbound-rtp")
    await mouth.close()
    await ear.close()
    total = after["totalSamplesReceived"] - before["totalSamplesReceived"]
    concealed = (after["concealedSamples"] - before["concealedSamples"]) / total
    early, late = np.median(delays[: len(delays) // 3]), np.median(delays[-len(delays) // 3 :])
    print(
        f"{network.lost} of {network.sent} lost, {after['nackCount']} times asked, "
        f"{after['packetsLost'] - before['packetsLost']} never came, {concealed:.2%} concealed; "
        f"median {early:.0f} → {late:.0f} ms"
    )
    assert network.lost > 5
    assert after["nackCount"] > before["nackCount"]
    assert after["packetsLost"] - before["packetsLost"] < 0.5 * network.lost
    assert concealed < 0.05
    assert late < early + 40
