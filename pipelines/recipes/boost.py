"""Jobs that make a recording louder, or as loud as is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from clearcast.engines.boost.contract import (
    HIGHEST_TARGET_LUFS,
    LOWEST_TARGET_LUFS,
    BoostOptions,
    BoostReport,
)
from clearcast.engines.engine import Progress
from clearcast.services import Services
from pipelines.recipe import Hears, KeptSound, Recipe, RecipeOptions, RecipeResult, Source
from pipelines.stages import StageHook, StageProgress


class BoostJobOptions(RecipeOptions):
    mode: Literal["2x", "3x", "4x", "5x"] | None = Field(
        default=None, description="So many times the amplitude, limited where it would clip."
    )
    target_lufs: float | None = Field(
        default=None,
        ge=LOWEST_TARGET_LUFS,
        le=HIGHEST_TARGET_LUFS,
        description="The loudness wanted (EBU R 128): -14 for music players, -16 for podcasts, -23 for"
        " broadcast. -16 when neither is given.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        self.boost_options()  # raises OptionInvalid, which says what does not fit
        return self

    def boost_options(self) -> BoostOptions:
        return BoostOptions(self.mode, self.target_lufs)

    def boost_if_asked(self) -> BoostOptions | None:
        """For jobs that boost only when one of the options is given."""
        return None if self.mode is None and self.target_lufs is None else self.boost_options()


class BoostRecipe(Recipe):
    name = "boost"
    summary = "Louder, or as loud as asked for, without clipping."
    Options = BoostJobOptions
    stage_types = {"boost": KeptSound}  # noqa: RUF012
    weights = {"boost": 95.0}  # noqa: RUF012
    hears = frozenset[Hears]({"sound"})

    async def run(
        self,
        services: Services,
        source: Source,
        options: BoostJobOptions,
        progress: StageProgress,
        stage: StageHook,
    ) -> Mapping[str, RecipeResult]:
        choices = options.boost_options()
        return {"boosted": await boosted(services, source, source.sound, choices, progress, stage)}


async def boosted(
    services: Services,
    source: Source,
    sound: Path,
    options: BoostOptions,
    progress: StageProgress,
    stage: StageHook,
    name: str = "boosted",
) -> KeptSound:
    """The stage that makes `sound`, the source or what was made of it, louder; `name` is the result's."""

    async def boost(report: Progress) -> KeptSound:
        made = await services.booster.boost(sound, source.place(name), options, report)
        return KeptSound(name, source.duration_s, (made.provenance,), score_of(made))

    return await stage(f"boost/{name}", boost, lambda fraction: progress("boost", fraction))


def score_of(report: BoostReport) -> Mapping[str, float | int | str | None]:
    """What a boost adds to the score card: what was done."""
    return {
        "gain_db": report.gain_db,
        "compression_ratio": report.compression_ratio,
        "deepest_reduction_db": report.deepest_reduction_db,
        "warnings": ", ".join(report.warnings) or None,
    }
