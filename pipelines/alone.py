"""A recipe run for one file in this process: for the command line, notebooks and batches.

What lives here: decoding into the forms that the recipe hears, and running it without a queue. What does
not: durability (`deployments/jobs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearcast.audio.recording import Clip
from clearcast.audio.sandbox import Prepared, prepare
from clearcast.audio.sound import PreparedSound, prepare_sound
from clearcast.audio.sound_check import warnings_on
from clearcast.engines.engine import Progress
from clearcast.services import Services
from clearcast.settings import AudioSettings
from clearcast.storage.voices import Voice, VoiceBook
from pipelines.recipe import Recipe, RecipeOptions, RecipeResult, Source
from pipelines.scored import run_scored
from pipelines.stages import Decoded, StageHook, StageProgress, ignore_stages, run_stage


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results by name, and what their reader should know of the recording, which is `duration_s` long."""

    results: Mapping[str, RecipeResult]
    warnings: tuple[str, ...]
    duration_s: float


@dataclass(frozen=True, slots=True)
class Bench:
    """Where recipes are run: their services, the limits on what comes in, and a folder of their own, where
    the sounds they make lie as `sound_path` says."""

    services: Services
    limits: AudioSettings
    folder: Path
    voices: Sequence[Voice] = ()

    def sound_path(self, name: str) -> Path:
        return self.folder / f"{name}.rf64"

    async def run(
        self,
        recipe: Recipe,
        file: Path,
        options: RecipeOptions,
        progress: StageProgress = ignore_stages,
        stage: StageHook = run_stage,
    ) -> Outcome:
        """Run `recipe` on a foreign file. Raises the audio errors, and what the flow raises."""
        decoded = await stage(
            "decode",
            lambda report: self._decode(recipe, file, report),
            lambda part: progress("decode", part),
        )
        source = self.source(decoded.duration_s)
        results = await run_scored(recipe, self.services, source, options, progress, stage)
        return Outcome(results, decoded.warnings, decoded.duration_s)

    async def _decode(self, recipe: Recipe, file: Path, report: Progress) -> Decoded:
        found: list[Prepared | PreparedSound] = []
        if "speech" in recipe.hears:
            found.append(await prepare(file, self._copy, self.limits, report))
        if "sound" in recipe.hears:
            found.append(await prepare_sound(file, self._sound, self.limits, report))
        return Decoded(found[0].duration_s, warnings_on(found[0]))

    def source(self, duration_s: float) -> Source:
        """What a recipe works on, once it is decoded."""
        return Source(
            clip=Clip(self._copy.resolve().as_uri()),
            sound=self._sound,
            duration_s=duration_s,
            choose_voices=self._choose_voices,
            reference=self._reference,
            listen=self._listen,
            place=self.sound_path,
        )

    @property
    def _copy(self) -> Path:
        return self.folder / "audio.wav"

    @property
    def _sound(self) -> Path:
        return self.folder / "sound.rf64"

    async def _reference(self, file: str) -> Clip:
        """Here files are named by their paths."""
        copy = self.folder / "reference.wav"
        await prepare(Path(file), copy, self.limits)
        return Clip(copy.resolve().as_uri())

    async def _listen(self, sound: Path) -> Clip:
        copy = sound.with_suffix(".wav")
        await prepare(sound, copy, self.limits)
        return Clip(copy.resolve().as_uri())

    async def _choose_voices(self, names: Sequence[str]) -> Sequence[Voice]:
        return VoiceBook(tuple(self.voices)).chosen(names)
