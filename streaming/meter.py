"""How loud a live source is just now.

What lives here: a level that follows speech as a needle would. What does not: levels of whole recordings
(`clearcast.audio.level`) and loudness (ITU-R BS.1770).
"""

from __future__ import annotations

import math

import numpy as np

from streaming.opus import SAMPLE_RATE_HZ, Sound

SILENCE_DBFS = -100.0
_FALL_DB_PER_S = 20.0  # the return time of a peak programme meter, 1.7 s for 20 dB and more: IEC 60268-10


class LiveMeter:
    """Rises at once, falls by 20 dB a second.

    Attributes:
        level_dbfs: of the loudest channel, power of the last frames; `SILENCE_DBFS` at the least.
        peak_dbfs: the same for the highest sample.
    """

    def __init__(self) -> None:
        self.level_dbfs = SILENCE_DBFS
        self.peak_dbfs = SILENCE_DBFS

    def add(self, samples: Sound) -> None:
        """float32 (n, channels), n > 0."""
        fallen_db = _FALL_DB_PER_S * len(samples) / SAMPLE_RATE_HZ
        power = float(np.einsum("nc,nc->c", samples, samples).max()) / len(samples)
        peak = max(float(samples.max()), -float(samples.min()))
        self.level_dbfs = max(_dbfs(math.sqrt(power)), self.level_dbfs - fallen_db)
        self.peak_dbfs = max(_dbfs(peak), self.peak_dbfs - fallen_db)


def _dbfs(amplitude: float) -> float:
    return max(SILENCE_DBFS, 20 * math.log10(amplitude)) if amplitude > 0 else SILENCE_DBFS
