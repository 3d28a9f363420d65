"""Jobs that take the noise out of a recording and, if asked, make it louder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from clearcast.engines.denoise.contract import DenoiseOptions
from clearcast.engines.engine import Progress
from clearcast.services import Services
from pipelines.recipe import Hears, KeptSound, Recipe, RecipeResult, Source
from pipelines.recipes.boost import BoostJobOptions, boosted
from pipelines.stages import StageHook, StageProgress


class EnhanceJobOptions(BoostJobOptions):
    """Denoising, and the options of a boost; without any of those the loudness stays as it is."""

    attenuation_limit_db: float | None = Field(
        default=None,
        ge=0,
        le=200,
        description="At most so many dB of noise are taken away: 12 cleans lightly, 30 thoroughly.",
    )
    mix: float | None = Field(
        default=None, ge=0, le=1, description="Share of the cleaned sound; the rest stays as it was."
    )
    post_filter: bool = Field(
        default=False, description="Take a little more away in noisy places, where the engine can."
    )

    @model_validator(mode="after")
    def _denoising_is_possible(self) -> Self:
        self.denoise_options().check()  # raises OptionInvalid
        return self

    def denoise_options(self) -> DenoiseOptions:
        return DenoiseOptions(self.attenuation_limit_db, self.mix, self.post_filter)


class EnhanceRecipe(Recipe):
    name = "enhance"
    summary = "A recording without its noise and, if asked, louder."
    Options = EnhanceJobOptions
    stage_types = {"denoise": KeptSound, "boost": KeptSound}  # noqa: RUF012
    weights = {"denoise": 80.0, "boost": 15.0}  # noqa: RUF012
    hears = frozenset[Hears]({"sound"})

    async def run(
        self,
        services: Services,
        source: Source,
        options: EnhanceJobOptions,
        progress: StageProgress,
        stage: StageHook,
    ) -> Mapping[str, RecipeResult]:
        async def denoise(report: Progress) -> KeptSound:
            target = source.place("denoised")
            made = await services.denoiser.denoise(source.sound, target, options.denoise_options(), report)
            return KeptSound("denoised", source.duration_s, (made.provenance,), {})

        clean = await stage("denoise", denoise, lambda fraction: progress("denoise", fraction))
        results: dict[str, RecipeResult] = {"denoised": clean}
        boost = options.boost_if_asked()
        if boost is not None:
            sound = source.place("denoised")
            results["boosted"] = await boosted(services, source, sound, boost, progress, stage)
        return results
