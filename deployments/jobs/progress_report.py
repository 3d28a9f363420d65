"""How far a task has come: heard often, written down a few times a second at most."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from clearcast.storage.job_progress import JobProgress, TaskKey
from pipelines.scored import SCORE

DECODE_WEIGHT = 5.0
SCORE_WEIGHT = 2.0
LEAST_STEP = 0.005  # less than this is not worth a line in the database


class ProgressReport:
    """The progress of one task through stages of these `weights`, in their order."""

    def __init__(self, progress: JobProgress, key: TaskKey, weights: Mapping[str, float]) -> None:
        self._progress = progress
        self._key = key
        self._weights = {"decode": DECODE_WEIGHT, SCORE: SCORE_WEIGHT, **weights}
        self._stage, self._stage_fraction = "decode", 0.0
        self._written: tuple[str, float] | None = None

    def listen(self, stage: str, fraction: float) -> None:
        """`fraction` of `stage` is done."""
        if stage in self._weights:
            self._stage, self._stage_fraction = stage, min(max(fraction, 0.0), 1.0)

    @property
    def fraction(self) -> float:
        """The part of the whole that is done, in [0, 1]."""
        names = list(self._weights)
        before = sum(self._weights[name] for name in names[: names.index(self._stage)])
        done = before + self._weights[self._stage] * self._stage_fraction
        return done / sum(self._weights.values())

    async def write(self) -> None:
        """Write it down if there is news."""
        stage, stage_fraction = self._stage, self._stage_fraction
        if self._written is not None:
            written_stage, written_fraction = self._written
            if stage == written_stage and abs(self.fraction - written_fraction) < LEAST_STEP:
                return
        self._written = stage, self.fraction
        await asyncio.to_thread(self._progress.report, self._key, stage, stage_fraction, self.fraction)
