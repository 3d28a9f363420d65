"""Jobs that make sounds: kept as FLAC with their score card, and taken up again after a crash."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.recording import Clip, Recording
from clearcast.audio.sound import SoundReader, prepare_sound
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.errors import NotFound
from clearcast.settings import load_settings
from clearcast.speech.transcript import Transcript
from clearcast.storage.files import FileRecords
from clearcast.storage.job_order import JobFile, JobOrder
from clearcast.storage.tables import File
from clearcast.testing.services import FakeBooster, FakeTranscriber, fake_services
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
    order = JobOrder(pipeline, options, [JobFile(f"file_{ANNA}", "talk.wav")])
    job_id, _ = house.records.accept(ANNA, order)
    async with running(fake_services()):
        view = await house.ended(job_id)
    assert view.job.state == "succeeded", view.tasks[0].error
    assert {result.name for result in view.results} == names
    kinds = {result.kind for result in view.results if result.name not in ("timeline", "3-meeting")}
    assert kinds == {"sound"}


class Stuck(FakeTranscriber):
    """Reads what it is to write down, and never comes to an end."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        with Recording.from_uri(clip.uri):
            self.began.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


class Reading(FakeTranscriber):
    """Fails when its clip is not there."""

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        with Recording.from_uri(clip.uri):
            return await super().transcribe(clip, options, progress)


async def test_a_chain_goes_on_where_it_was_although_all_its_working_files_are_gone(
    house: House, running: Running
) -> None:
    extract = {"pipeline": "extract", "options": {"reference_file_id": f"file_{ANNA}"}}
    steps = [{"pipeline": "boost"}, extract, {"pipeline": "transcription"}]
    order = JobOrder("chain", {"steps": steps}, [JobFile(f"file_{ANNA}", "talk.wav")])
    job_id, _ = house.records.accept(ANNA, order)
    stuck = Stuck()
    async with running(fake_services(transcriber=stuck)):
        async with asyncio.timeout(60.0):
            await stuck.began.wait()
    shutil.rmtree(house.settings.data_path / "jobs")
    async with running(fake_services(transcriber=Reading())):
        view = await house.ended(job_id)
    assert view.job.state == "succeeded", view.tasks[0].error
    assert {result.name for result in view.results} == {
        *("1-boosted", "2-extracted", "2-timeline", "3-transcript")
    }
    stages = [stage for _, stage in house.stages(job_id)]
    assert stages.count("1-boost-boost/boosted") == stages.count("2-extract-extract/0") == 1


async def test_a_reference_that_is_gone_when_its_turn_comes_is_told(house: House, running: Running) -> None:
    extra = File(
        id="file_reference",
        owner_id=ANNA,
        kind="upload",
        name="anna.wav",
        media_type="audio/wav",
        state="stored",
        size_bytes=1,
        blob_key="uploads/reference",
    )
    with house.database.writing() as session:
        session.add(extra)
    files = [JobFile(f"file_{ANNA}", "talk.wav")]
    order = JobOrder("extract", {"reference_file_id": "file_reference"}, files)
    job_id, _ = house.records.accept(ANNA, order)
    FileRecords(house.database).delete(ANNA, "file_reference")
    async with running(fake_services()):
        view = await house.ended(job_id)
    error = view.tasks[0].error
    assert view.job.state == "failed"
    assert error is not None
    assert (error["code"], error["detail"]) == ("not_found", "The reference file is gone.")
