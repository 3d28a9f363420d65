"""Jobs that write down what is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.services import Services
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Span
from pipelines.recipe import Recipe, RecipeOptions, RecipeResult, Source
from pipelines.stages import StageHook, StageProgress
from pipelines.transcribe import joined_windows, run_transcription


class TranscriptionOptions(RecipeOptions):
    language: str | None = Field(
        default=None, pattern="^[a-z]{2,3}$", description="ISO 639-1 code; detected when not given."
    )
    task: Literal["transcribe", "translate"] = Field(
        default="transcribe", description='"translate" writes it in English.'
    )
    hotwords: tuple[str, ...] = Field(default=(), description="Names and words to expect.")


class TranscriptionRecipe(Recipe):
    name = "transcription"
    summary = "What is said."
    Options = TranscriptionOptions
    stage_types = {"listen": tuple[Span, ...], "transcribe": Transcript}  # noqa: RUF012
    weights = {"listen": 5.0, "transcribe": 90.0}  # noqa: RUF012

    async def run(
        self,
        services: Services,
        source: Source,
        options: TranscriptionOptions,
        progress: StageProgress,
        stage: StageHook,
    ) -> Mapping[str, RecipeResult]:
        choices = TranscribeOptions(language=options.language, task=options.task, hotwords=options.hotwords)
        transcript = await run_transcription(
            services, source.clip, source.duration_s, choices, progress, stage
        )
        return {"transcript": transcript}

    def partial(self, finished: Mapping[str, Any]) -> Mapping[str, RecipeResult]:
        windows = (name for name in finished if name.startswith("transcribe/"))
        ordered = sorted(windows, key=lambda name: int(name.partition("/")[2]))
        parts = [finished[name] for name in ordered]
        return {"transcript": joined_windows(parts, parts[-1].duration_s)} if parts else {}
