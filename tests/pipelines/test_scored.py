"""Every sound of a job has a score card, with the original beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.boost.contract import BoostOptions, BoostReport
from clearcast.engines.engine import EngineContext, Progress, ignore_progress, make_engine
from clearcast.engines.measure.contract import MeasureEngine
from clearcast.local_sound import LocalMeter
from clearcast.settings import load_settings
from clearcast.testing.media import write_tone_wav
from clearcast.testing.services import FakeBooster, fake_services
from pipelines.alone import Bench
from pipelines.recipe import KeptSound
from pipelines.recipes import all_recipes
from pipelines.scored import original_of


class TwiceAsLoud(FakeBooster):
    async def boost(
        self, source: Path, target: Path, options: BoostOptions, progress: Progress = ignore_progress
    ) -> BoostReport:
        with SoundReader.open(source) as reader:
            samples, rate_hz = reader.read(), reader.sample_rate_hz
        with SoundWriter(target, rate_hz, samples.shape[1]) as writer:
            writer.write(np.float32(2.0) * samples)
        return await super().boost(target, target.with_suffix(".copy"), options, progress)


async def test_a_sound_is_measured_beside_its_original(tmp_path: Path) -> None:
    meter = LocalMeter(make_engine(MeasureEngine, "meter", {}, EngineContext(tmp_path)))
    services = replace(fake_services(), booster=TwiceAsLoud(), meter=meter)
    recipe = all_recipes()["boost"]
    bench = Bench(services, load_settings("local").audio, tmp_path)
    source = write_tone_wav(tmp_path / "tone.wav", 3.0)
    outcome = await bench.run(recipe, source, recipe.Options.model_validate({"mode": "2x"}))
    sound = outcome.results["boosted"]
    assert isinstance(sound, KeptSound)
    before, after = sound.score["before_integrated_lufs"], sound.score["after_integrated_lufs"]
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert abs(after - before - 6.02) < 0.1
    assert sound.score["gain_db"] == 0.0  # what the booster itself said
    assert {maker.service for maker in sound.provenance} == {"boost", "measure"}


def test_recipes_that_hear_speech_have_its_working_copy_measured(tmp_path: Path) -> None:
    bench = Bench(fake_services(), load_settings("local").audio, tmp_path)
    source = bench.source(3.0)
    assert original_of(all_recipes()["meeting"], source) == tmp_path / "audio.wav"
    assert original_of(all_recipes()["extract"], source) == tmp_path / "sound.rf64"
