"""Score cards: every sound that a job makes is measured, and so is the recording it was made of.

What lives here: the stage that measures the original, and a stage hook that adds a score card to each
sound. What does not: measuring (`engines/measure`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from clearcast.audio.recording import path_of
from clearcast.engines.engine import Progress, share
from clearcast.engines.measure.contract import SoundScore
from clearcast.services import Services
from pipelines.recipe import KeptSound, Recipe, RecipeOptions, RecipeResult, Source
from pipelines.stages import Piece, StageHook, StageProgress, Work, run_pieces

T = TypeVar("T")

SCORE = "score"
_MADE = 0.95  # of a stage's progress, before its sounds are measured


async def run_scored(
    recipe: Recipe,
    services: Services,
    source: Source,
    options: RecipeOptions,
    progress: StageProgress,
    stage: StageHook,
) -> Mapping[str, RecipeResult]:
    """Run `recipe`; its sounds' score cards have the original as "before" and themselves as "after"."""
    before = await stage(
        SCORE,
        lambda report: services.meter.measure(original_of(recipe, source), report),
        lambda fraction: progress(SCORE, fraction),
    )
    hook = _ScoredStages(services, source, before, stage)
    return await recipe.run(services, source, options, progress, hook)


def original_of(recipe: Recipe, source: Source) -> Path:
    """The form of the recording that is measured: as it was, where the recipe hears it so."""
    return source.sound if "sound" in recipe.hears else path_of(source.clip.uri)


class _ScoredStages:
    def __init__(self, services: Services, source: Source, before: SoundScore, stage: StageHook) -> None:
        self._services, self._source, self._stage = services, source, stage
        self._before = {f"before_{name}": value for name, value in before.card().items()}

    async def __call__(self, name: str, work: Work[T], progress: Progress) -> T:
        async def scored(report: Progress) -> T:
            made = await work(share(report, 0.0, _MADE))
            made = cast(T, await self._scored(made))
            report(1.0)
            return made

        return await self._stage(name, scored, progress)

    async def pieces(self, pieces: Sequence[Piece[T]]) -> list[T]:
        """Pieces are of documents; none of them makes a sound that would be measured."""
        return await run_pieces(self._stage, pieces)

    async def _scored(self, made: Any) -> Any:
        if isinstance(made, KeptSound):
            after = await self._services.meter.measure(self._source.place(made.name))
            card = {f"after_{name}": value for name, value in after.card().items()}
            makers = (*made.provenance, after.provenance)
            return replace(made, score={**self._before, **card, **made.score}, provenance=makers)
        if isinstance(made, tuple):
            return tuple([await self._scored(one) for one in made])
        return made
