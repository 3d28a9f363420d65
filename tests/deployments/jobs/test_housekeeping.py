"""Cleaning up: what nobody can use any more goes, what is needed stays; and erasure in mid-job."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from dbos import DBOS

from clearcast.accounts.data_rights import DataRights
from clearcast.errors import ServiceUnavailable
from clearcast.storage.job_progress import JobProgress
from clearcast.storage.tables import File, Job, Task
from clearcast.storage.voice_store import VoiceStore
from clearcast.testing.services import FakeDiarizer, FakeTranscriber, Hold, fake_services
from deployments.jobs.engine import QUEUE
from deployments.jobs.housekeeping import clean_house
from deployments.jobs.task_run import StageFailed
from tests.deployments.jobs.conftest import ANNA, House, Running
from tests.deployments.jobs.worker import TURNS


def kept(house: House) -> set[str]:
    return set(house.blobs.keys("jobs/"))


def test_blobs_of_jobs_that_are_gone_are_removed_and_no_others(house: House) -> None:
    failed, ended, gone = house.ask(files=2), house.ask(), house.ask()
    with house.database.writing() as session:
        session.execute(
            sa.update(Task).where(Task.job_id == failed, Task.number == 0).values(state="failed")
        )
        session.execute(sa.update(Task).where(Task.job_id == ended).values(state="succeeded"))
        result = File(id="file_gone", owner_id=ANNA, kind="result", name="a", media_type="application/json")
        result.state, result.size_bytes = "stored", 2
        result.blob_key, result.job_id = f"jobs/{gone}/0/results/meeting.json", gone
        session.add(result)
        session.execute(sa.delete(Job).where(Job.id == gone))
    for job_id in (failed, ended, gone):
        for key in ("stages/diarize.json", "stages/transcribe/1.json", "results/meeting.json"):
            house.blobs.put_bytes(f"jobs/{job_id}/0/{key}", b"{}")
        (house.settings.data_path / "jobs" / f"{job_id}.0").mkdir(parents=True)
    house.blobs.put_bytes(f"jobs/{failed}/1/stages/decode.json", b"{}")
    clean_house(house.settings, house.database, house.blobs)
    assert kept(house) == {
        f"jobs/{failed}/0/stages/diarize.json",
        f"jobs/{failed}/0/stages/transcribe/1.json",
        f"jobs/{failed}/0/results/meeting.json",
        f"jobs/{failed}/1/stages/decode.json",
        f"jobs/{ended}/0/results/meeting.json",
    }
    assert list((house.settings.data_path / "jobs").iterdir()) == []
    with house.database.reading() as session:
        assert session.get(File, "file_gone") is None


async def test_erasing_a_person_stops_the_work_and_leaves_nothing_of_it(
    house: House, running: Running
) -> None:
    hold = Hold()
    voices = VoiceStore(house.settings.data_path)
    async with running(fake_services(FakeDiarizer(TURNS), FakeTranscriber(hold=hold))):
        job_id = house.ask(files=3)
        await asyncio.wait_for(hold.entered.wait(), 20)
        assert kept(house)
        await asyncio.to_thread(DataRights(house.database, house.blobs, voices).erase, ANNA)
        await asyncio.wait_for(hold.cancelled.wait(), 20)
        async with asyncio.timeout(20):
            while kept(house) or list((house.settings.data_path / "jobs").glob("job_*")):
                await asyncio.sleep(0.05)
    assert JobProgress(house.database).is_gone((job_id, 0))


async def test_the_workflow_engine_keeps_ids_and_nothing_personal(house: House, running: Running) -> None:
    mark = "zanzibar"
    services = fake_services(FakeDiarizer(TURNS), FakeTranscriber(error=ValueError(mark)))
    async with running(services):
        job_id = house.ask()
        view = await house.ended(job_id)
        assert view.job.state == "failed"
        workflows = await DBOS.list_workflows_async(queue_name=QUEUE)
        [workflow] = [one for one in workflows if one.workflow_id.startswith(job_id)]
        assert workflow.input is not None
        assert (workflow.input["args"], workflow.input["kwargs"]) == ((job_id, 0, 0), {})
        steps = await DBOS.list_workflow_steps_async(workflow.workflow_id)
        assert {step["output"] for step in steps} == {None}
        assert {type(step["error"]) for step in steps} == {type(None), StageFailed}
        assert mark not in str(steps)


async def test_a_stage_whose_service_is_away_is_tried_again(house: House, running: Running) -> None:
    transcriber = FakeTranscriber(error=ServiceUnavailable("gone"))
    async with running(fake_services(FakeDiarizer(TURNS), transcriber)):
        job_id = house.ask()
        await house.until(lambda: house.job(job_id), lambda view: len(view.results) == 1)
        transcriber.error = None
        assert (await house.ended(job_id)).job.state == "succeeded"
