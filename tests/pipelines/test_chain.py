"""Steps go on from one another, and speech is heard as it was unless somebody was taken out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from clearcast.audio.recording import Clip, Recording
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.boost.contract import BoostOptions, BoostReport
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.errors import OptionInvalid
from clearcast.settings import load_settings
from clearcast.speech.extraction import Extracted
from clearcast.speech.transcript import Transcript
from clearcast.testing.media import write_tone_wav
from clearcast.testing.services import FakeBooster, FakeTranscriber, fake_services
from pipelines.alone import Bench, Outcome
from pipelines.recipe import KeptSound
from pipelines.recipes.chain import ChainOptions, ChainRecipe


class Halving(FakeBooster):
    """Makes everything half as loud, so that it can be told what was heard."""

    async def boost(
        self, source: Path, target: Path, options: BoostOptions, progress: Progress = ignore_progress
    ) -> BoostReport:
        with SoundReader.open(source) as reader:
            samples, rate_hz = reader.read(), reader.sample_rate_hz
        with SoundWriter(target, rate_hz, samples.shape[1]) as writer:
            writer.write(np.float32(0.5) * samples)
        return await super().boost(target, target.with_suffix(".copy"), options, progress)


class Listening(FakeTranscriber):
    peaks: list[float]

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        with Recording.from_uri(clip.uri) as recording:
            self.peaks.append(round(float(np.abs(recording.read()).max()), 2))
        return await super().transcribe(clip, options, progress)


async def run(folder: Path, *steps: dict[str, Any]) -> tuple[Outcome, list[float]]:
    transcriber = Listening()
    transcriber.peaks = []
    services = replace(fake_services(transcriber=transcriber), booster=Halving())
    bench = Bench(services, load_settings("local").audio, folder)
    source = write_tone_wav(folder / "tone.wav", 3.0)
    options = ChainOptions.model_validate({"steps": steps})
    stages: Counter[str] = Counter()

    def progress(stage: str, _fraction: float) -> None:
        stages[stage] += 1

    outcome = await bench.run(ChainRecipe(), source, options, progress)
    weights = ChainRecipe().weights_for({"steps": list(steps)})
    assert set(weights) <= set(ChainRecipe.stage_types)
    assert set(stages) - {"decode", "score"} <= set(weights) | {"1-extract-match"}
    return outcome, transcriber.peaks


async def test_each_step_goes_on_from_the_sound_before_it(tmp_path: Path) -> None:
    outcome, _ = await run(tmp_path, {"pipeline": "boost"}, {"pipeline": "enhance"}, {"pipeline": "boost"})
    assert list(outcome.results) == ["1-boosted", "2-denoised", "3-boosted"]
    peaks = []
    for name, sound in outcome.results.items():
        assert isinstance(sound, KeptSound)
        assert sound.name == name
        with SoundReader.open(tmp_path / f"{name}.rf64") as reader:
            peaks.append(float(np.abs(reader.read()).max()))
    assert peaks[1] == pytest.approx(peaks[0])
    assert peaks[2] == pytest.approx(peaks[0] / 2)


async def test_speech_is_heard_as_it_was_unless_told_otherwise(tmp_path: Path) -> None:
    boost, write = {"pipeline": "boost"}, {"pipeline": "transcription"}
    _, (as_it_was, as_made) = await run(tmp_path, boost, write, write | {"hears": "previous"})
    assert as_made == pytest.approx(as_it_was / 2, abs=0.02)


async def test_after_extraction_that_person_is_heard(tmp_path: Path) -> None:
    reference = str(write_tone_wav(tmp_path / "reference.wav", 4.0))
    extract = {"pipeline": "extract", "options": {"reference_file_id": reference, "mode": "2x"}}
    outcome, peaks = await run(tmp_path, {"pipeline": "transcription"}, extract, {"pipeline": "meeting"})
    assert list(outcome.results) == ["1-transcript", "2-extracted", "2-boosted", "2-timeline", "3-meeting"]
    timeline = outcome.results["2-timeline"]
    assert isinstance(timeline, Extracted)
    assert [one.result for one in timeline.timelines] == ["2-extracted"]
    assert peaks[1] == pytest.approx(peaks[0] / 2, abs=0.02)


async def test_what_was_made_of_the_original_is_not_taken_for_one_persons_voice(tmp_path: Path) -> None:
    extract = {"pipeline": "extract", "options": {"everyone": True}}
    again, write = {"pipeline": "boost", "hears": "original"}, {"pipeline": "transcription"}
    _, (heard,) = await run(tmp_path, extract, again, write)
    _, (as_it_was,) = await run(tmp_path, write)
    assert heard == as_it_was


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [{"pipeline": "chain"}],
        [{"pipeline": "boost", "options": {"target_lufs": 3}}],
        [{"pipeline": "extract"}],
        [{"pipeline": "boost", "hears": "nothing"}],
        [{"pipeline": "boost"}] * 7,
        [{"pipeline": "extract", "options": {"everyone": True}}, {"pipeline": "meeting"}],
        [{"pipeline": "separate", "options": {"stems": ["../vocals"]}}],
        [{"pipeline": "separate", "options": {"stems": ["vocals", "vocals"]}}],
    ],
)
def test_wrong_steps_are_refused(steps: list[object]) -> None:
    with pytest.raises((OptionInvalid, ValidationError)):
        ChainOptions.model_validate({"steps": steps})


def test_the_files_that_steps_name_are_those_of_the_job() -> None:
    extract = {"pipeline": "extract", "options": {"reference_file_id": "file_1"}}
    assert ChainOptions.model_validate({"steps": [{"pipeline": "boost"}, extract]}).file_ids() == (
        "file_1",
    )
