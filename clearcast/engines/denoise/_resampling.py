"""Resampling of sound that arrives in pieces, for engines that know one rate only.

What lives here: `Resampler`, on the converter that decoding uses too. What does not: engines.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame

from clearcast.audio.resample import Converter, FrameKind, SoundShape

Sound = npt.NDArray[np.float32]

# libswresample's filter spans 32 samples of the lower rate (`filter_size`, a little more by its cutoff of
# 0.97) and looks half of that ahead.
LOOK_AHEAD_SAMPLES = 20


class Resampler:
    """float32 of shape (n, channels) at one rate to another, piece by piece.

    n samples in give round(n · rate out / rate in) out, once `finish` was called; the first one stands
    where the first input sample stood.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        self._from_hz = from_hz
        self._layout = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
        self._converter = Converter(
            FrameKind("flt", from_hz, self._layout, channels),
            SoundShape(to_hz, channels, self._layout, "f32"),
        )
        self._nothing: Sound = np.zeros((0, channels), np.float32)

    def push(self, samples: Sound) -> Sound:
        if len(samples) == 0:
            return self._nothing
        interleaved = np.ascontiguousarray(samples).reshape(1, -1)
        frame = AudioFrame.from_ndarray(interleaved, format="flt", layout=self._layout)
        frame.sample_rate = self._from_hz
        frame.time_base = Fraction(1, self._from_hz)
        return self._joined(list(self._converter.convert(frame)))

    def finish(self) -> Sound:
        """What the filter still holds; the resampler is spent then."""
        return self._joined(list(self._converter.finish()))

    def _joined(self, parts: list[npt.NDArray[np.int16 | np.float32]]) -> Sound:
        return np.concatenate([self._nothing, *parts], dtype=np.float32)
