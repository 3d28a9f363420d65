"""Jobs that spot keywords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from clearcast.engines.classify.contract import (
    LONGEST_SILENCE_S,
    LONGEST_WINDOW_S,
    LOUDEST_DB,
    QUIETEST_DB,
    SHORTEST_SILENCE_S,
    SHORTEST_WINDOW_S,
    ClassifyOptions,
)
from clearcast.engines.engine import Progress
from clearcast.services import Services
from clearcast.speech.keywords import Keywords
from pipelines.recipe import Recipe, RecipeOptions, RecipeResult, Source
from pipelines.stages import StageHook, StageProgress


class ClassifyJobOptions(RecipeOptions):
    min_silence_s: float = Field(
        default=0.2,
        ge=SHORTEST_SILENCE_S,
        le=LONGEST_SILENCE_S,
        description="A pause of so many seconds ends a word; usually 0.2 to 0.5.",
    )
    silence_db: float | None = Field(
        default=None,
        ge=QUIETEST_DB,
        le=LOUDEST_DB,
        description="What is quieter, in dBFS, is silence; usually -50 to -30. Measured when not given.",
    )
    window_s: float = Field(
        default=1.0,
        ge=SHORTEST_WINDOW_S,
        le=LONGEST_WINDOW_S,
        description="Stretches of more seconds than this are cut.",
    )
    min_probability: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Less likely words are unknown; as the model has it."
    )
    keep_unknown: bool = Field(
        default=False, description='Whether other words are told too, labelled "unknown".'
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.classify_options()  # raises OptionInvalid
        return self

    def classify_options(self) -> ClassifyOptions:
        return ClassifyOptions(**self.model_dump())


class ClassifyRecipe(Recipe):
    name = "classify"
    summary = "Which keywords are said, and when."
    Options = ClassifyJobOptions
    stage_types = {"classify": Keywords}  # noqa: RUF012
    weights = {"classify": 95.0}  # noqa: RUF012

    async def run(
        self,
        services: Services,
        source: Source,
        options: ClassifyJobOptions,
        progress: StageProgress,
        stage: StageHook,
    ) -> Mapping[str, RecipeResult]:
        async def classify(report: Progress) -> Keywords:
            return await services.classifier.classify(source.clip, options.classify_options(), report)

        return {"keywords": await stage("classify", classify, lambda part: progress("classify", part))}
