"""A gate that opens for stretches of time, with raised-cosine fades of 20 ms centred on its edges.

Gates whose stretches touch add up to one there: what a recording was cut into by several gates can be
added up again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clearcast.audio.chunk import FloatSamples
from clearcast.speech.turns import Span

FADE_S = 0.02

Edges = npt.NDArray[np.int64]


class Gate:
    """`spans` are sorted and do not overlap; those that touch are one."""

    def __init__(self, spans: Sequence[Span], sample_rate_hz: int) -> None:
        self._half = round(FADE_S * sample_rate_hz / 2)
        edges: list[int] = []
        for span in spans:
            start, stop = round(span.start_s * sample_rate_hz), round(span.end_s * sample_rate_hz)
            if edges and start <= edges[-1]:
                edges[-1] = max(stop, edges[-1])
            elif stop > start:
                edges += [start, stop]
        self._edges: Edges = np.array(edges, np.int64)

    def gains(self, start: int, stop: int) -> FloatSamples:
        """What to multiply samples `start` up to `stop` with, shape (stop − start,)."""
        places = np.arange(start, stop)
        # Inside a stretch when an odd number of edges lie before; what the fades change is added to that.
        gains = (np.searchsorted(self._edges, places, side="right") % 2).astype(np.float32)
        first = np.searchsorted(self._edges, start - self._half)
        last = np.searchsorted(self._edges, stop + self._half)
        for index in range(int(first), int(last)):
            self._fade(gains, start, int(self._edges[index]), opens=index % 2 == 0)
        return gains

    def _fade(self, gains: FloatSamples, start: int, edge: int, *, opens: bool) -> None:
        low, high = max(edge - self._half, start), min(edge + self._half, start + len(gains))
        if low >= high:
            return
        places = np.arange(low, high)
        smooth = 0.5 + 0.5 * np.sin(np.pi * (places - edge + 0.5) / (2 * self._half))
        correction = smooth - (places >= edge)
        gains[low - start : high - start] += correction if opens else -correction
