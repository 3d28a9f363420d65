"""Jobs that make sounds: kept as FLAC with their score card, and taken up again after a crash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.sound import SoundReader, prepare_sound
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.errors import NotFound
from clearcast.settings import load_settings
from clearcast.storage.job_records import JobOrder
from clearcast.storage.tables import File
from clearcast.testing.services import FakeBooster, fake_services
from tests.deployments.jobs.conftest import ANNA, House, Running


async def test_a_boosted_recording_is_a_result_with_its_score_card(
    house: House, running: Running, tmp_path: Path
) -> None:
    job_id = house.ask(pipeline="boost")
    async with running(fake_services()):
        view = await house.ended(job_id)
    assert view.job.state == "succeeded", view.tasks[0].error
    [result] = view.results
    assert (result.name, result.kind, result.is_partial) == ("boosted", "sound", False)
    assert result.facts["provenance"][0]["engine"] == "fake"
    assert result.facts["score"]["after_integrated_lufs"] == -23.0
    with house.database.reading() as session:
        file = session.get_one(File, result.file_id)
    assert (file.name, file.media_type, file.duration_s) == ("talk.boosted.flac", "audio/flac", 20.0)
    packed = tmp_path / "boosted.flac"
    house.blobs.fetch(file.blob_key, packed)
    assert packed.stat().st_size == file.size_bytes
    original = tmp_path / "original.rf64"
    source = tmp_path / "source.wav"
    house.blobs.fetch(f"uploads/{ANNA}", source)
    limits = load_settings("local").audio
    await prepare_sound(source, original, limits)
    await prepare_sound(packed, tmp_path / "boosted.rf64", limits)
    with SoundReader.open(original) as wanted, SoundReader.open(tmp_path / "boosted.rf64") as found:
        assert found.sample_rate_hz == wanted.sample_rate_hz
        np.testing.assert_allclose(found.read(), wanted.read(), atol=2**-22)


class BrokenBooster(FakeBooster):
    """Makes the sound, and then its process is gone before anybody hears of it."""

    async def boost(
        self, source: Path, target: Path, options: object, progress: Progress = ignore_progress
    ) -> None:  # type: ignore[override]
        raise NotFound("Nobody is there.")


async def test_a_failed_boost_leaves_no_result(house: House, running: Running) -> None:
    services = fake_services()
    object.__setattr__(services, "booster", BrokenBooster())
    job_id = house.ask(pipeline="boost")
    async with running(services):
        view = await house.ended(job_id)
    assert view.job.state == "failed"
    assert not view.results
    with pytest.raises(NotFound):
        house.records.result(ANNA, job_id, 0, "boosted")


@pytest.mark.parametrize(
    ("pipeline", "options", "names"),
    [
        ("enhance", {}, {"denoised"}),
        ("enhance", {"mode": "2x", "attenuation_limit_db": 12}, {"denoised", "boosted"}),
        ("separate", {}, {"vocals", "accompaniment"}),
        ("separate", {"stems": ["drums"]}, {"drums"}),
        ("extract", {"reference_file_id": f"file_{ANNA}"}, {"extracted", "timeline"}),
        (
            "chain",
            {"steps": [{"pipeline": "enhance"}, {"pipeline": "boost"}, {"pipeline": "meeting"}]},
            {"1-denoised", "2-boosted", "3-meeting"},
        ),
        ("extract", {"everyone": True, "mode": "2x"}, {"speaker-1", "speaker-1-boosted", "timeline"}),
    ],
)
async def test_each_sound_that_is_made_is_a_result(
    house: House, running: Running, pipeline: str, options: dict[str, object], names: set[str]
) -> None:
    order = JobOrder(pipeline, options, [(f"file_{ANNA}", "talk.wav")])
    job_id, _ = house.records.accept(ANNA, order)
    async with running(fake_services()):
        view = await house.ended(job_id)
    assert view.job.state == "succeeded", view.tasks[0].error
    assert {result.name for result in view.results} == names
    kinds = {result.kind for result in view.results if result.name not in ("timeline", "3-meeting")}
    assert kinds == {"sound"}
