"""Gentle compression: how far loud moments are turned down before the limiter has to.

What lives here: the static curve, and when it is needed at all. What does not: its course over time, which
is the limiter's (`_limiter.GainCurve`).

Curve: Giannoulis, Massberg, Reiss, "Digital Dynamic Range Compressor Design", JAES 60(6), 2012, §2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_KNEE_DB = 6.0
_RANGE_DB = 8.0  # it works on the upper 8 dB below the ceiling
_LIMITER_ALONE_DB = (
    8.0  # short peaks of speech; measured: more compression costs more loudness than it gives
)
_STEEPEST_RATIO = 4.0


@dataclass(frozen=True, slots=True)
class Compression:
    """Levels above `threshold_db` grow by 1 dB for every `ratio` dB; a soft knee of 6 dB around it."""

    threshold_db: float
    ratio: float

    @property
    def lowest_db(self) -> float:
        """Nothing happens to levels below this."""
        return self.threshold_db - _KNEE_DB / 2

    def gain_db(self, level_db: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What to add to a sound of these peak levels, ≤ 0."""
        over = level_db - self.threshold_db
        slope = 1.0 / self.ratio - 1.0
        knee = slope * np.square(np.clip(over + _KNEE_DB / 2, 0.0, _KNEE_DB)) / (2 * _KNEE_DB)
        gain: npt.NDArray[np.float64] = knee + slope * np.maximum(over - _KNEE_DB / 2, 0.0)
        return gain


def compression_for(peak_db: float, ceiling_db: float) -> Compression | None:
    """The compression after which a limiter has no more than 8 dB to do for peaks of `peak_db`.

    None where the limiter can do it alone. Beyond a ratio of 4 the limiter does the rest.
    """
    over = peak_db - ceiling_db
    if over <= _LIMITER_ALONE_DB:
        return None
    # At the peak the curve takes away (over + range) · (1 − 1/ratio).
    share = (over - _LIMITER_ALONE_DB) / (over + _RANGE_DB)
    ratio = min(_STEEPEST_RATIO, 1.0 / (1.0 - share))
    return Compression(ceiling_db - _RANGE_DB, ratio)
