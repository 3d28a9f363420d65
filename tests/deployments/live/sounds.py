"""Tones to say, and whether they are heard."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from streaming.opus import SAMPLE_RATE_HZ, Sound
from streaming.testing.peers import Ear


def tone(hertz: float) -> Sound:
    at = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * hertz * at)).astype(np.float32)[:, np.newaxis]


def strength(sound: np.ndarray[Any, Any], hertz: float) -> float:
    """Of a tone in the last quarter of a second."""
    last = sound[-SAMPLE_RATE_HZ // 4 :]
    at = np.arange(len(last)) / SAMPLE_RATE_HZ
    return float(2 * abs(np.mean(last * np.exp(-2j * np.pi * hertz * at)))) if len(last) else 0.0


async def until_heard(ear: Ear, hertz: float, *, is_heard: bool = True, within_s: float = 15.0) -> None:
    """Wait until this tone is clearly there, or clearly gone, in what still comes."""
    async with asyncio.timeout(within_s):
        while True:
            count = len(ear.packets)
            await asyncio.sleep(0.3)
            level = strength(ear.heard(), hertz) if len(ear.packets) > count else 0.0
            if (level > 0.1) if is_heard else (level < 0.01):
                return
