"""Jobs that keep one person's voice of a recording, or give every speaker a file of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from clearcast.engines.embed.contract import Embedding
from clearcast.engines.engine import Progress, share
from clearcast.engines.extract.contract import ExtractOrder
from clearcast.errors import OptionInvalid, SpeakerAbsent
from clearcast.services import Services
from clearcast.speech.extraction import Extracted, Passage, Timeline
from clearcast.speech.provenance import Provenance
from clearcast.speech.turns import Diarization, Span
from pipelines import extract as flow
from pipelines.recipe import Hears, KeptSound, Recipe, RecipeResult, Source
from pipelines.recipes.boost import BoostJobOptions, boosted
from pipelines.recipes.meeting import SpeakerCounts
from pipelines.stages import StageHook, StageProgress

EXTRACTED, TIMELINE = "extracted", "timeline"
_NOBODY: Embedding = np.zeros(0, np.float32)  # the voiceprint of who speaks too little; only alone then


class ExtractJobOptions(SpeakerCounts, BoostJobOptions):
    """Whose voice, and the options of a boost; without any of those the loudness stays as it is."""

    voice: str | None = Field(default=None, description="An enrolled voice, by name.")
    reference_file_id: str | None = Field(
        default=None,
        max_length=1000,
        description="A file of yours in which the wanted person speaks alone, for three seconds or more.",
    )
    everyone: bool = Field(default=False, description="Everybody apart: a file for each speaker.")
    mute_crowded: bool = Field(
        default=False,
        description="Silence, too, where others speak at the same time. Without it those places stay: with"
        " the other voices in them, or untangled where the engine can.",
    )

    @model_validator(mode="after")
    def _one_wish(self) -> Self:
        wishes = (self.voice is not None, self.reference_file_id is not None, self.everyone)
        if sum(wishes) != 1:
            raise OptionInvalid(
                "Whose voice is wanted? Give voice, reference_file_id or everyone, and only one of them."
            )
        return self

    def file_ids(self) -> tuple[str, ...]:
        return () if self.reference_file_id is None else (self.reference_file_id,)


class ExtractRecipe(Recipe):
    name = "extract"
    summary = "One person's voice, or everybody's in a file of their own."
    Options = ExtractJobOptions
    stage_types = {  # noqa: RUF012
        "diarize": Diarization,
        "match": tuple[flow.Found, ...],
        "extract": tuple[KeptSound, Timeline],
        "boost": KeptSound,
    }
    weights = {"diarize": 45.0, "match": 5.0, "extract": 35.0, "boost": 10.0}  # noqa: RUF012
    hears = frozenset[Hears]({"speech", "sound"})

    async def run(
        self,
        services: Services,
        source: Source,
        options: ExtractJobOptions,
        progress: StageProgress,
        stage: StageHook,
    ) -> Mapping[str, RecipeResult]:
        diarization = await stage(
            "diarize",
            lambda report: services.diarizer.diarize(source.clip, options.diarize_options(), report),
            lambda fraction: progress("diarize", fraction),
        )
        found = await stage(
            "match",
            lambda report: _match(services, source, diarization, options, report),
            lambda fraction: progress("match", fraction),
        )
        progress("match", 1.0)
        results: dict[str, KeptSound] = {}
        timelines: list[Timeline] = []
        names = [f"speaker-{number + 1}" if options.everyone else EXTRACTED for number in range(len(found))]
        for number, (name, speaker) in enumerate(zip(names, found, strict=True)):
            work = _Extraction(services, source, diarization, speaker, name, options)
            heard = share(lambda part: progress("extract", part), number / len(found), 1 / len(found))
            sound, timeline = await stage(f"extract/{number}", work.run, heard)
            results[name] = sound
            timelines.append(timeline)
        results |= await _boosted(services, source, names, options, progress, stage)
        makers = await _makers(services, diarization, results.values())
        return {**results, TIMELINE: Extracted(tuple(timelines), source.duration_s, makers)}


async def _boosted(
    services: Services,
    source: Source,
    names: Sequence[str],
    options: ExtractJobOptions,
    progress: StageProgress,
    stage: StageHook,
) -> dict[str, KeptSound]:
    """Louder, if that was asked for; after all are extracted, so that progress never goes back."""
    boost = options.boost_if_asked()
    results: dict[str, KeptSound] = {}
    for number, name in enumerate(names if boost is not None else ()):
        assert boost is not None
        louder = f"{name}-boosted" if options.everyone else "boosted"

        def heard(group: str, part: float, number: int = number) -> None:
            progress(group, (number + part) / len(names))

        results[louder] = await boosted(services, source, source.place(name), boost, heard, stage, louder)
    return results


async def _match(
    services: Services,
    source: Source,
    diarization: Diarization,
    options: ExtractJobOptions,
    progress: Progress,
) -> tuple[flow.Found, ...]:
    """Whom to extract. Raises SpeakerAbsent."""
    if not diarization.turns:
        raise SpeakerAbsent("Nobody speaks in this recording.")
    if options.everyone:
        voices = await source.choose_voices(())
        return await flow.find_everyone(services, source.clip, diarization, voices, progress)
    if options.voice is not None:
        (voice,) = await source.choose_voices((options.voice,))
        wanted = await flow.voiceprint_of_voice(services, voice)
    else:
        assert options.reference_file_id is not None
        wanted = await flow.voiceprint_of_clip(services, await source.reference(options.reference_file_id))
    name = options.voice
    return (await flow.find_speaker(services, source.clip, diarization, wanted, name, progress),)


class _Extraction:
    """The stage that makes one speaker's sound."""

    def __init__(
        self,
        services: Services,
        source: Source,
        diarization: Diarization,
        speaker: flow.Found,
        name: str,
        options: ExtractJobOptions,
    ) -> None:
        self._services, self._source, self._diarization = services, source, diarization
        self._speaker, self._name = speaker, name
        self._mute_crowded = options.mute_crowded

    async def run(self, report: Progress) -> tuple[KeptSound, Timeline]:
        alone, crowded = flow.passages_of(self._diarization, self._speaker.label)
        # Theirs in this recording is nearer to them here than one from elsewhere.
        label, clip = self._speaker.label, self._source.clip
        (voiceprint,) = await flow.voiceprints(self._services, clip, self._diarization, [label])
        if self._mute_crowded or voiceprint is None:
            crowded = ()
        order = ExtractOrder(alone, crowded, voiceprint if voiceprint is not None else _NOBODY)
        source, target = self._source, self._source.place(self._name)
        made = await self._services.extractor.extract(source.sound, target, order, report)
        timeline = Timeline(
            self._name, self._speaker.shown_as, self._speaker.score, self._scored(made.passages)
        )
        score: dict[str, float | int | str | None] = {
            "speaker": self._speaker.shown_as,
            "score": self._speaker.score,
            "runner_up_score": self._speaker.runner_up_score,
            **{
                f"{how}_s": round(sum(_duration_s(one) for one in made.passages if one.how == how), 3)
                for how in ("alone", "crowded", "untangled")
            },
            "bandwidth_hz_of_untangled": next(
                (one.bandwidth_hz for one in made.passages if one.how == "untangled"), None
            ),
        }
        sound = KeptSound(self._name, source.duration_s, (made.provenance,), score)
        return sound, timeline

    def _scored(self, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        """With the scores of the turns in which they lie; those that a model untangled have their own."""
        turns = [turn.span for turn in self._diarization.turns if turn.speaker == self._speaker.label]
        scored = list(zip(turns, self._speaker.turn_scores, strict=True))
        return tuple(
            passage if passage.how == "untangled" else replace(passage, score=_score_in(passage, scored))
            for passage in passages
        )


def _score_in(passage: Passage, turns: Sequence[tuple[Span, float | None]]) -> float | None:
    """The mean over the turns in a passage, by the time they share with it."""
    span = Span(passage.start_s, passage.end_s)
    shares = [(turn.overlap_s(span), score) for turn, score in turns if score is not None]
    heard_s = sum(share_s for share_s, _ in shares)
    return None if heard_s <= 0.0 else sum(share_s * score for share_s, score in shares) / heard_s


def _duration_s(passage: Passage) -> float:
    return passage.end_s - passage.start_s


async def _makers(
    services: Services, diarization: Diarization, sounds: Iterable[KeptSound]
) -> tuple[Provenance, ...]:
    made_by, _ = await services.embedder.describe()
    makers = [maker for sound in sounds for maker in sound.provenance]
    return tuple(dict.fromkeys((diarization.provenance, made_by, *makers)))
