"""Jobs of several steps, each a job of its own kind: clean, make louder, then write down who said what.

A step that makes sound goes on from the sound before it. A step for speech hears the original, since taking
noise away often hurts recognition (not that of the rough engine: `bench/denoised_words.py`); after one
person was extracted, or music taken apart, it hears that. `hears` in a step says otherwise, and must where
everybody was extracted: none of those sounds is the one to go on from. Results are called after their step:
"1-denoised", "2-boosted", "3-meeting".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, Self, TypeVar, cast

from pydantic import Field, ValidationError, model_validator

from clearcast.engines.engine import Progress
from clearcast.errors import OptionInvalid
from clearcast.services import Services
from clearcast.speech.extraction import Timeline
from pipelines.recipe import Hears, KeptSound, Recipe, RecipeOptions, RecipeResult, Source
from pipelines.recipes.boost import BoostRecipe
from pipelines.recipes.enhance import EnhanceRecipe
from pipelines.recipes.extract import ExtractJobOptions, ExtractRecipe
from pipelines.recipes.meeting import DiarizationRecipe, MeetingRecipe
from pipelines.recipes.separate import SeparateRecipe
from pipelines.recipes.transcription import TranscriptionRecipe
from pipelines.stages import StageHook, StageProgress, Work

T = TypeVar("T")

MOST_STEPS = 6

_RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *(EnhanceRecipe(), BoostRecipe(), SeparateRecipe(), ExtractRecipe()),
        *(MeetingRecipe(), DiarizationRecipe(), TranscriptionRecipe()),
    )
}
# After these, who is heard is another: speech is looked for in what they made.
_SELECTING = {ExtractRecipe.name, SeparateRecipe.name}


class Step(RecipeOptions):
    pipeline: Literal[
        "enhance", "boost", "separate", "extract", "meeting", "diarization", "transcription"
    ] = Field(description="What is done.")
    options: dict[str, Any] = Field(default={}, description="Its own options.")
    hears: Literal["original", "previous"] | None = Field(
        default=None,
        description="The recording as it came, or what the step before made of it. When not given, steps"
        " that make sound hear the previous, and steps for speech the original, unless somebody was"
        " extracted.",
    )

    @property
    def recipe(self) -> Recipe:
        return _RECIPES[self.pipeline]

    @property
    def makes_sound(self) -> bool:
        return "sound" in self.recipe.hears

    def parsed(self) -> RecipeOptions:
        """Raises OptionInvalid, naming the step."""
        try:
            return self.recipe.Options.model_validate(self.options)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise OptionInvalid(f"Step {self.pipeline}: {where or 'options'}: {first['msg']}.") from error


class ChainOptions(RecipeOptions):
    steps: tuple[Step, ...] = Field(
        min_length=1, max_length=MOST_STEPS, description="One after the other; each result is kept."
    )

    @model_validator(mode="after")
    def _steps_are_right(self) -> Self:
        is_several = False
        for number, step in enumerate(self.steps, 1):
            options = step.parsed()
            if is_several and step.hears != "original":
                raise OptionInvalid(
                    f"Step {number} ({step.pipeline}) cannot go on from everybody apart.",
                    hint='Give it hears "original", or extract one person.',
                )
            if step.makes_sound:
                is_several = isinstance(options, ExtractJobOptions) and options.everyone
        return self

    def file_ids(self) -> tuple[str, ...]:
        return tuple(file_id for step in self.steps for file_id in step.parsed().file_ids())


class ChainRecipe(Recipe):
    name = "chain"
    summary = "Several steps, each from what the one before made: clean, louder, extract, transcribe."
    Options = ChainOptions
    stage_types = {  # noqa: RUF012
        f"{number}-{recipe.name}-{stage}": kind
        for number in range(1, MOST_STEPS + 1)
        for recipe in _RECIPES.values()
        for stage, kind in recipe.stage_types.items()
    }
    weights = {}  # noqa: RUF012
    hears = frozenset[Hears]({"speech", "sound"})

    @staticmethod
    def groups_of(pipeline: str) -> tuple[str, ...]:
        """The groups of stages of a step of that pipeline."""
        return tuple(_RECIPES[pipeline].weights)

    def weights_for(self, options: Mapping[str, Any]) -> Mapping[str, float]:
        return {
            f"{number}-{step.pipeline}-{stage}": weight
            for number, step in enumerate(ChainOptions.model_validate(options).steps, 1)
            for stage, weight in step.recipe.weights.items()
        }

    async def run(
        self,
        services: Services,
        source: Source,
        options: ChainOptions,
        progress: StageProgress,
        stage: StageHook,
    ) -> Mapping[str, RecipeResult]:
        results: dict[str, RecipeResult] = {}
        made: KeptSound | None = None
        is_selected = False
        for number, step in enumerate(options.steps, 1):
            link = _Link(number, step, progress, stage)
            heard = await link.source(source, made, is_selected=is_selected)
            found = await step.recipe.run(services, heard, step.parsed(), link.progress, link.stage)
            for name, result in found.items():
                results[link.name_of(name, result)] = result
            made = step.recipe.output(found) or made
            if step.makes_sound:
                was_selected = is_selected and step.hears != "original"
                is_selected = was_selected or step.pipeline in _SELECTING
        return results

    def partial(self, finished: Mapping[str, Any]) -> Mapping[str, RecipeResult]:
        results: dict[str, RecipeResult] = {}
        for number in range(1, MOST_STEPS + 1):
            for recipe in _RECIPES.values():
                prefix = f"{number}-{recipe.name}-"
                own = {
                    name.removeprefix(prefix): value
                    for name, value in finished.items()
                    if name.startswith(prefix)
                }
                for name, result in (recipe.partial(own) if own else {}).items():
                    results[f"{number}-{name}"] = result
        return results


class _Link:
    """What a step is run with, so that its stages, sounds and results bear its number."""

    def __init__(self, number: int, step: Step, progress: StageProgress, stage: StageHook) -> None:
        self._number, self._step = number, step
        self._progress, self._stage = progress, stage

    async def source(self, original: Source, made: KeptSound | None, *, is_selected: bool) -> Source:
        """`made` is the sound before it, `is_selected` says that it holds some of the voices only."""
        place: Callable[[str], Any] = original.place
        numbered = replace(original, place=lambda name: place(f"{self._number}-{name}"))
        if made is None or self._step.hears == "original":
            return numbered
        sound = original.place(made.name)
        if self._step.makes_sound:
            numbered = replace(numbered, sound=sound)
        if "speech" in self._step.recipe.hears and (is_selected or self._step.hears == "previous"):
            numbered = replace(numbered, clip=await original.listen(sound))
        return numbered

    def name_of(self, name: str, result: RecipeResult) -> str:
        return result.name if isinstance(result, KeptSound) else f"{self._number}-{name}"

    def progress(self, stage: str, fraction: float) -> None:
        self._progress(f"{self._number}-{self._step.pipeline}-{stage}", fraction)

    async def stage(self, name: str, work: Work[T], progress: Progress) -> T:
        async def numbered(report: Progress) -> T:
            return cast(T, self._numbered(await work(report)))

        return await self._stage(f"{self._number}-{self._step.pipeline}-{name}", numbered, progress)

    def _numbered(self, made: Any) -> Any:
        if isinstance(made, KeptSound):
            return replace(made, name=f"{self._number}-{made.name}")
        if isinstance(made, Timeline):
            return replace(made, result=f"{self._number}-{made.result}")
        return tuple(self._numbered(one) for one in made) if type(made) is tuple else made
