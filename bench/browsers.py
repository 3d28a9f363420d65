"""Live rooms from Chromium to Chromium: how soon a voice is heard, beside aiortc's MediaRelay in one run.

A page speaks and hears, with its own encoder and jitter buffer, over a room of this process; one clock of
the page times both ends (`streaming/testing/browser_lines.py`). Only what a sound card adds is missing.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.rooms import Hall, OurRoom, Relay, denoise_workers
from bench.row import Row
from clearcast.testing.checkpoints.deepfilternet import write_deepfilternet2
from streaming.opus import EncoderOptions
from streaming.peers import new_peer
from streaming.sdp import OpusWishes
from streaming.testing.browser import chromium
from streaming.testing.browser_lines import BrowserLines, mouth_to_ear_ms, said

_SETTLING_S = 4.0  # the browser's jitter buffer shrinks from what the beginning made it
_HEARD_S = 12.0


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        relay_ms = asyncio.run(_p95_ms(Relay(), folder))
        yield _row("one voice", asyncio.run(_p95_ms(OurRoom(), folder)), relay_ms)
        short = OurRoom(
            encoding=EncoderOptions(frame_ms=10, application="low_delay", expected_loss_percent=0)
        )
        delay_ms = asyncio.run(_p95_ms(short, folder, OpusWishes(frame_ms=10)))
        yield _row("one voice, low delay", delay_ms, relay_ms)
        # Random weights: they cost what trained ones do.
        model = str(write_deepfilternet2(folder))
        for case, engine, options in (
            ("one voice, RNNoise", "rnnoise", {}),
            ("one voice, DeepFilterNet2", "deepfilternet2", {"model": model}),
        ):
            yield _row(case, asyncio.run(_denoised_p95_ms(engine, options, folder)), relay_ms)


def _row(case: str, delay_ms: float, relay_ms: float) -> Row:
    case = f"{case}, Chromium to Chromium"
    return Row("rooms", case, "mouth_to_ear_p95_ms", delay_ms, "ms", relay_ms, delay_ms / relay_ms)


async def _denoised_p95_ms(engine: str, options: dict[str, str], folder: Path) -> float:
    async with denoise_workers(engine, options) as workers:
        return await _p95_ms(OurRoom(workers), folder)


async def _p95_ms(hall: Hall, folder: Path, wishes: OpusWishes = OpusWishes()) -> float:
    mouth, ear = new_peer(), new_peer()
    async with chromium(said(), folder) as browser:
        lines = await BrowserLines.open(browser)
        hall.speak_over(mouth)
        await lines.speak(mouth, wishes)
        hall.listen_over(ear)
        await lines.listen(ear, wishes)
        await asyncio.sleep(_SETTLING_S)
        delays_ms = mouth_to_ear_ms(await lines.record(_HEARD_S))
    for peer in (mouth, ear):
        await peer.close()
    await hall.close()
    return float(np.percentile(delays_ms, 95))
