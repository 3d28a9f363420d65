"""A real Chromium behind a bad network: what is lost is asked for again and comes in time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streaming.peers import new_peer
from streaming.room import Room
from streaming.testing.browser import chromium, statistics
from streaming.testing.browser_lines import BrowserLines, mouth_to_ear_ms, said
from streaming.testing.loss import BadNetwork

SECONDS = 8.0


def concealed_share(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Of the samples played between two looks, how many were made up."""
    made, played = (after[name] - before[name] for name in ("concealedSamples", "totalSamplesReceived"))
    return float(made / played)


@pytest.mark.timeout(180)
async def test_chromium_asks_for_lost_packets_and_hears_them_without_growing_delay(
    room: Room, tmp_path: Path
) -> None:
    mouth, ear = new_peer(), new_peer()
    room.add_broadcaster("anna", mouth)
    room.add_listener(ear)
    async with chromium(said(), tmp_path) as browser:
        lines = await BrowserLines.open(browser)
        await lines.speak(mouth)
        await lines.listen(ear)
        began = await statistics(lines.page, "inbound-rtp")
        await asyncio.sleep(3.0)
        network, before = BadNetwork(0.05, seed=5), await statistics(lines.page, "inbound-rtp")
        network.stands_behind(ear)
        delays = mouth_to_ear_ms(await lines.record(SECONDS))
        after = await statistics(lines.page, "inbound-rtp")
    await mouth.close()
    await ear.close()
    usual, concealed = concealed_share(began, before), concealed_share(before, after)
    early, late = np.median(delays[: len(delays) // 3]), np.median(delays[-len(delays) // 3 :])
    print(
        f"{network.lost} of {network.sent} lost, {after['nackCount']} times asked, "
        f"{after['packetsLost'] - before['packetsLost']} never came, "
        f"{usual:.2%} → {concealed:.2%} concealed; "
        f"median {early:.0f} → {late:.0f} ms"
    )
    assert network.lost > 5
    assert after["nackCount"] > before["nackCount"]
    assert after["packetsLost"] - before["packetsLost"] < 0.5 * network.lost
    # A busy machine makes packets late by itself; loss adds a few hundredths and milliseconds.
    assert concealed < 0.2 + usual
    assert late < early + 100
