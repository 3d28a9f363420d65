"""Jobs that tell who said what, or only who spoke when, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.services import Services
from clearcast.speech.meeting import SpeakerIdentity
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization, Span
from pipelines.meeting import MeetingOptions, run_meeting, unfinished_meeting
from pipelines.recipe import Recipe, RecipeOptions, RecipeResult, Source
from pipelines.stages import StageHook, StageProgress

Names = tuple[str, ...]


class SpeakerCounts(RecipeOptions):
    """What is known of how many people speak."""

    num_speakers: int | None = Field(default=None, ge=1, description="How many people speak, if known.")
    min_speakers: int | None = Field(default=None, ge=1, description="At least so many.")
    max_speakers: int | None = Field(default=None, ge=1, description="At most so many.")

    @model_validator(mode="after")
    def _speakers_agree(self) -> Self:
        self.diarize_options()  # raises OptionInvalid, which says what does not fit
        return self

    def diarize_options(self) -> DiarizeOptions:
        return DiarizeOptions(self.num_speakers, self.min_speakers, self.max_speakers)


class DiarizationOptions(SpeakerCounts):
    voices: Names = Field(
        default=(), description="Enrolled voices to look for; all of yours when none is named."
    )

    def transcribe_options(self) -> TranscribeOptions | None:
        return None


class MeetingJobOptions(DiarizationOptions):
    language: str | None = Field(
        default=None, pattern="^[a-z]{2,3}$", description="ISO 639-1 code; detected when not given."
    )
    hotwords: Names = Field(default=(), description="Names and words to expect.")

    def transcribe_options(self) -> TranscribeOptions | None:
        return TranscribeOptions(language=self.language, hotwords=self.hotwords)


class DiarizationRecipe(Recipe):
    name = "diarization"
    summary = "Who spoke when, by name."
    Options = DiarizationOptions
    stage_types = {"diarize": Diarization, "identify": tuple[SpeakerIdentity, ...]}  # noqa: RUF012
    weights = {"diarize": 90.0, "identify": 5.0}  # noqa: RUF012

    async def run(
        self,
        services: Services,
        source: Source,
        options: DiarizationOptions,
        progress: StageProgress,
        stage: StageHook,
    ) -> Mapping[str, RecipeResult]:
        voices = await source.choose_voices(options.voices)
        choices = MeetingOptions(options.diarize_options(), options.transcribe_options())
        meeting = await run_meeting(
            services, source.clip, source.duration_s, voices, choices, progress, stage
        )
        return {"meeting": meeting}

    def partial(self, finished: Mapping[str, Any]) -> Mapping[str, RecipeResult]:
        if "diarize" not in finished:
            return {}
        windows = (name for name in finished if name.startswith("transcribe/"))
        ordered = sorted(windows, key=lambda name: int(name.partition("/")[2]))
        parts = [finished[name] for name in ordered]
        return {"meeting": unfinished_meeting(finished["diarize"], finished.get("identify", ()), parts)}


class MeetingRecipe(DiarizationRecipe):
    name = "meeting"
    summary = "Who said what, by name."
    Options = MeetingJobOptions
    stage_types = {**DiarizationRecipe.stage_types, "transcribe": Transcript, "listen": tuple[Span, ...]}  # noqa: RUF012
    weights = {"diarize": 25.0, "identify": 5.0, "transcribe": 65.0}  # noqa: RUF012
