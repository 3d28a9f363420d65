"""Recipes: flows in the form in which the job queue runs them, unattended and more than once if need be.

What lives here: the contract. What does not: the recipes (`pipelines/recipes/`), and how stages are made
durable (`deployments/jobs`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from clearcast.audio.recording import Clip
from clearcast.services import Services
from clearcast.speech.extraction import Extracted
from clearcast.speech.keywords import Keywords
from clearcast.speech.meeting import Meeting
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization
from clearcast.storage.voices import Voice
from pipelines.stages import StageHook, StageProgress

SpeechResult = Transcript | Diarization | Meeting


@dataclass(frozen=True, slots=True)
class KeptSound:
    """A sound that a stage made: the file `source.place(name)`, in the form of `clearcast.audio.sound`.

    Attributes:
        name: what it is, for example "denoised"; the result it becomes is called so.
        duration_s: its length.
        provenance: what made it.
        score: its score card: loudness, peaks, what was removed; names carry their units.
    """

    name: str
    duration_s: float
    provenance: tuple[Provenance, ...]
    score: Mapping[str, float | int | str | None]


Document = SpeechResult | Extracted | Keywords
RecipeResult = Document | KeptSound

ChooseVoices = Callable[[Sequence[str]], Awaitable[Sequence[Voice]]]
"""The owner's enrolled voices of these names, or all when none is named. Raises OptionInvalid."""


class RecipeOptions(BaseModel):
    """Base of every recipe's options: they come from outside, so unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def file_ids(self) -> tuple[str, ...]:
        """The owner's files that the options name, beside those the job is about."""
        return ()


Hears = Literal["speech", "sound"]
"""The forms in which a recipe gets a recording: mono 16 kHz, as speech engines want it, or as it was."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a recipe works on: a recording, `duration_s` long.

    Attributes:
        clip: its working copy for speech, where the recipe hears "speech".
        sound: the recording at its own rate and channels, where the recipe hears "sound".
        reference: the working copy for speech of a file that the options name. Raises NotFound, and the
            audio errors.
        listen: the working copy for speech of a sound that the job made, a file at such a place.
        place: where a sound of a given name is to be made.
    """

    clip: Clip
    sound: Path
    duration_s: float
    choose_voices: ChooseVoices
    reference: Callable[[str], Awaitable[Clip]]
    listen: Callable[[Path], Awaitable[Clip]]
    place: Callable[[str], Path]


class Recipe(ABC):
    """One kind of job.

    Attributes:
        name: as in `POST /v1/jobs`.
        summary: one line for people.
        Options: what may be asked for.
        stage_types: the type of what each stage gives, by the part of its name before "/". It has a
            form in JSON.
        hears: the forms in which it wants the recording.
        weights: the share of the work each stage is, for progress; "decode" is 5 beside them, "score" 2.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Options: ClassVar[type[RecipeOptions]]
    stage_types: ClassVar[Mapping[str, Any]]
    weights: ClassVar[Mapping[str, float]]
    hears: ClassVar[frozenset[Hears]] = frozenset({"speech"})

    @abstractmethod
    async def run(
        self,
        services: Services,
        source: Source,
        options: Any,
        progress: StageProgress,
        stage: StageHook,
    ) -> Mapping[str, RecipeResult]:
        """The results by name. Run again after a crash, it must call the same stages in the same order as
        long as the stages give the same. Raises what the flow raises.
        """

    def weights_for(self, options: Mapping[str, Any]) -> Mapping[str, float]:
        """The weights of a job with these options, which have been checked."""
        return self.weights

    def output(self, results: Mapping[str, RecipeResult]) -> KeptSound | None:
        """The sound from which the next step of a chain goes on."""
        sounds = [result for result in results.values() if isinstance(result, KeptSound)]
        return sounds[-1] if sounds else None

    def partial(self, finished: Mapping[str, Any]) -> Mapping[str, RecipeResult]:
        """What can be shown when only the stages in `finished` (name → what it gave) are done."""
        return {}
