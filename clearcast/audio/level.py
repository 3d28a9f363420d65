"""How loud a recording is: peak, mean power and clipping, gathered block by block.

What lives here: plain sample statistics. What does not: loudness as people hear it (ITU-R BS.1770).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Three steps of 16 bits: dither and the last flicker of a codec stay below, any speech is far above.
SILENCE_PEAK_DBFS = -80.0

_FULL_SCALE = 32768.0
_CLIPPED = 32767  # on both sides: many programs never write −32768


@dataclass(frozen=True, slots=True)
class Level:
    """Levels relative to full scale; None where every sample is zero.

    Attributes:
        clipped_samples: samples at the ends of the 16-bit range.
    """

    peak_dbfs: float | None
    rms_dbfs: float | None
    clipped_samples: int

    @property
    def silent(self) -> bool:
        """True when nothing rises above SILENCE_PEAK_DBFS."""
        return self.peak_dbfs is None or self.peak_dbfs < SILENCE_PEAK_DBFS


class LevelMeter:
    """Adds up blocks of int16 samples of any shape."""

    def __init__(self) -> None:
        self._peak = 0
        self._power = 0.0
        self._clipped = 0
        self._count = 0

    def add(self, samples: npt.NDArray[np.int16]) -> None:
        if samples.size == 0:
            return
        high, low = int(samples.max()), int(samples.min())
        self._peak = max(self._peak, high, -low)
        if high >= _CLIPPED or low <= -_CLIPPED:
            self._clipped += int(np.count_nonzero((samples >= _CLIPPED) | (samples <= -_CLIPPED)))
        self._power += float(np.sum(np.square(samples, dtype=np.float64)))
        self._count += samples.size

    def level(self) -> Level:
        """The level of all blocks so far."""
        if self._peak == 0:
            return Level(None, None, 0)
        rms = math.sqrt(self._power / self._count)
        return Level(_dbfs(self._peak), _dbfs(rms), self._clipped)


def _dbfs(value: float) -> float:
    return round(20 * math.log10(value / _FULL_SCALE), 2) + 0.0  # no −0.0
