"""Jobs that take music apart into stems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from clearcast.engines.engine import Progress
from clearcast.engines.separate.contract import ACCOMPANIMENT, VOCALS, SeparateOptions
from clearcast.services import Services
from pipelines.recipe import Hears, KeptSound, Recipe, RecipeOptions, RecipeResult, Source
from pipelines.stages import StageHook, StageProgress

# Which there are, the engine knows; files are called so before it is asked.
StemName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,31}$")]


class SeparateJobOptions(RecipeOptions):
    stems: tuple[StemName, ...] = Field(
        default=(VOCALS, ACCOMPANIMENT),
        min_length=1,
        max_length=16,
        description="Which to make: vocals, drums, bass, other (guitar, piano), as the engine has them, and"
        " accompaniment, which is everything but the vocals.",
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        SeparateOptions(self.stems)  # raises OptionInvalid
        return self


class SeparateRecipe(Recipe):
    """A chain goes on from the first stem that was asked for."""

    name = "separate"
    summary = "Music taken apart: vocals, accompaniment, and what else the engine can tell apart."
    Options = SeparateJobOptions
    stage_types = {"separate": tuple[KeptSound, ...]}  # noqa: RUF012
    weights = {"separate": 95.0}  # noqa: RUF012
    hears = frozenset[Hears]({"sound"})

    async def run(
        self,
        services: Services,
        source: Source,
        options: SeparateJobOptions,
        progress: StageProgress,
        stage: StageHook,
    ) -> Mapping[str, RecipeResult]:
        async def separate(report: Progress) -> tuple[KeptSound, ...]:
            wanted = SeparateOptions(options.stems)
            targets = {stem: source.place(stem) for stem in wanted.stems}
            made = await services.separator.separate(source.sound, targets, wanted, report)
            score = {"residual_db": made.residual_db}
            return tuple(
                KeptSound(stem, source.duration_s, (made.provenance,), score) for stem in made.stems
            )

        stems = await stage("separate", separate, lambda fraction: progress("separate", fraction))
        return {stem.name: stem for stem in stems}

    def output(self, results: Mapping[str, RecipeResult]) -> KeptSound | None:
        return next(iter(result for result in results.values() if isinstance(result, KeptSound)), None)
