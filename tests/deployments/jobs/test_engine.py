"""The life of a job on the workflow engine: it ends well, fails with what there is, stops, goes on."""

from __future__ import annotations

import asyncio

import pytest

from clearcast.errors import Conflict, JobUnfinished, NotFound, Overloaded, ServiceUnavailable
from clearcast.speech.json_file import read_json
from clearcast.speech.meeting import Meeting
from clearcast.storage.fair_queue import take_places
from clearcast.storage.job_order import JobFile, JobOrder
from clearcast.storage.job_progress import MOST_BREAKS, JobProgress
from clearcast.storage.job_records import JobRecords
from clearcast.storage.tables import File
from clearcast.testing.services import FakeDiarizer, FakeTranscriber, Hold, fake_services
from tests.deployments.jobs.conftest import ANNA, BEN, House, Running
from tests.deployments.jobs.worker import TURNS


def meeting_of(house: House, job_id: str, number: int = 0) -> Meeting:
    result = house.records.result(ANNA, job_id, number, "meeting")
    with house.database.reading() as session:
        file = session.get_one(File, result.file_id)
    meeting = read_json(house.blobs.get_bytes(file.blob_key))
    assert isinstance(meeting, Meeting)
    return meeting


async def test_a_job_over_files_ends_with_a_result_of_each(house: House, running: Running) -> None:
    job_id = house.ask(files=3)
    async with running(fake_services(FakeDiarizer(TURNS))):
        view = await house.ended(job_id)
    assert view.job.state == "succeeded"
    assert [task.state for task in view.tasks] == ["succeeded"] * 3
    assert [(one.number, one.name, one.is_partial) for one in view.results] == [
        (number, "meeting", False) for number in range(3)
    ]
    assert meeting_of(house, job_id, 2).diarization.speakers == ("SPEAKER_00", "SPEAKER_01")
    assert view.fraction == 1.0
    assert (view.ahead, view.eta_s) == (None, None)


async def test_every_stage_is_done_once_and_nothing_is_left_behind(house: House, running: Running) -> None:
    job_id = house.ask()
    async with running(fake_services(FakeDiarizer(TURNS))):
        await house.ended(job_id)
    stages = house.stages(job_id)
    assert len(stages) == len(set(stages)) > 8
    assert list(house.blobs.keys("jobs/")) == [f"jobs/{job_id}/0/results/meeting.json"]
    assert not list((house.settings.data_path / "jobs").iterdir())


async def test_what_was_finished_is_shown_when_a_later_stage_fails(house: House, running: Running) -> None:
    broken = FakeTranscriber(error=NotFound("The words are gone."))
    job_id = house.ask()
    async with running(fake_services(FakeDiarizer(TURNS), broken)):
        view = await house.ended(job_id)
    assert view.job.state == "failed"
    assert view.tasks[0].error == {
        "code": "not_found",
        "title": "Not found",
        "detail": "The words are gone.",
    }
    assert [(one.name, one.is_partial) for one in view.results] == [("meeting", True)]
    meeting = meeting_of(house, job_id)
    assert len(meeting.diarization.turns) == 10
    assert meeting.transcript is None
    assert "stopped" in meeting.warnings[0]


async def test_asking_again_goes_on_after_the_last_finished_stage(house: House, running: Running) -> None:
    job_id = house.ask()
    async with running(fake_services(FakeDiarizer(TURNS), FakeTranscriber(error=NotFound("Gone.")))):
        await house.ended(job_id)
    before = house.stages(job_id)
    assert (0, "diarize") in before
    house.records.retry(ANNA, job_id)
    async with running(fake_services(FakeDiarizer(TURNS))):
        view = await house.ended(job_id)
    assert view.job.state == "succeeded"
    stages = house.stages(job_id)
    assert len(stages) == len(set(stages)) > len(before)
    assert not view.results[0].is_partial


async def test_one_bad_file_does_not_lose_the_others(house: House, running: Running) -> None:
    ids = (f"file_{ANNA}", "file_of_nobody", f"file_{BEN}")
    files = [JobFile(file_id, "a.wav") for file_id in ids]
    job_id, _ = house.records.accept(ANNA, JobOrder("meeting", {}, files))
    async with running(fake_services(FakeDiarizer(TURNS))):
        view = await house.ended(job_id)
    assert [task.state for task in view.tasks] == ["succeeded", "failed", "failed"], "not Ben's file either"
    assert view.job.state == "failed"
    assert view.tasks[2].error is not None
    assert view.tasks[2].error["code"] == "not_found"


async def test_cancelling_stops_the_stage_that_runs(house: House, running: Running) -> None:
    hold = Hold()
    job_id = house.ask(files=3)
    async with running(fake_services(FakeDiarizer(TURNS, hold=hold))):
        await asyncio.wait_for(hold.entered.wait(), 20)
        house.records.cancel(ANNA, job_id)
        await asyncio.wait_for(hold.cancelled.wait(), 20)
        view = await house.ended(job_id)
    assert view.job.state == "cancelled"
    assert {task.state for task in view.tasks} == {"cancelled"}


async def test_cancelling_what_waits_needs_no_runner(house: House) -> None:
    job_id = house.ask(files=2)
    house.records.cancel(ANNA, job_id)
    assert house.job(job_id).job.state == "cancelled"
    with pytest.raises(NotFound):
        house.records.cancel(BEN, job_id)


async def test_a_service_that_fails_for_a_while_is_asked_again(house: House, running: Running) -> None:
    transcriber = FakeTranscriber(error=ServiceUnavailable("It is restarting."))
    job_id = house.ask()
    async with running(fake_services(FakeDiarizer(TURNS), transcriber)):
        async with asyncio.timeout(30):
            while len(transcriber.asked) < 2:
                await asyncio.sleep(0.02)
        transcriber.error = None
        view = await house.ended(job_id)
    assert view.job.state == "succeeded"


async def test_progress_rises_and_names_its_stage(house: House, running: Running) -> None:
    hold = Hold()
    job_id = house.ask()
    async with running(fake_services(FakeDiarizer(TURNS), FakeTranscriber(hold=hold))):
        await asyncio.wait_for(hold.entered.wait(), 20)
        view = await house.until(
            lambda: house.job(job_id), lambda view: view.tasks[0].stage in {"identify", "transcribe"}
        )
        assert 0.2 < view.tasks[0].fraction < 0.9
        assert view.eta_s is not None
        hold.release.set()
        await house.ended(job_id)
    kinds = [event.event for event in house.records.events(ANNA, job_id, 0)]
    assert kinds[:2] == ["queued", "running"]
    assert kinds[-2:] == ["task", "succeeded"]


def test_one_persons_thousand_files_do_not_hold_up_anothers_one(house: House) -> None:
    house.ask(files=1000)
    quick = house.ask(BEN)
    ahead = house.job(quick, BEN).ahead
    assert ahead is not None
    assert ahead <= 1


def test_priorities_are_steps_of_different_length(house: House) -> None:
    with house.database.writing() as session:
        assert take_places(session, ANNA, "high", 3) == [1, 2, 3]
        assert take_places(session, ANNA, "normal", 2) == [4, 8]
        assert take_places(session, BEN, "low", 1) == [16]


def test_an_idempotency_key_gives_the_same_job_once(house: House) -> None:
    first = house.ask(idempotency_key="k1", request_sha256="a")
    assert house.ask(idempotency_key="k1", request_sha256="a") == first
    with pytest.raises(Conflict):
        house.ask(idempotency_key="k1", request_sha256="b")
    assert house.ask(BEN, idempotency_key="k1", request_sha256="b") != first


def test_a_full_queue_says_so(house: House) -> None:
    records = JobRecords(house.database, max_queued=2, max_running=1)
    order = JobOrder("meeting", {}, [JobFile("file_usr_anna", "a.wav")] * 2)
    records.accept(ANNA, order)
    with pytest.raises(Overloaded) as raised:
        records.accept(BEN, order)
    assert raised.value.fields["queue_position"] == 3


def test_jobs_are_listed_page_by_page_and_only_to_their_owner(house: House) -> None:
    asked = [house.ask() for _ in range(5)]
    first = house.records.jobs(ANNA, limit=3)
    rest = house.records.jobs(ANNA, limit=3, after=first[-1].id)
    assert [job.id for job in (*first, *rest)] == asked[::-1]
    assert house.records.jobs(BEN) == []
    with pytest.raises(NotFound):
        house.records.job(BEN, asked[0])


def test_an_open_job_is_neither_deleted_nor_asked_again(house: House) -> None:
    job_id = house.ask()
    with pytest.raises(JobUnfinished):
        house.records.delete(ANNA, job_id)
    with pytest.raises(JobUnfinished):
        house.records.retry(ANNA, job_id)
    with pytest.raises(JobUnfinished):
        house.records.result(ANNA, job_id, 0, "meeting")


async def test_a_job_of_a_pipeline_that_is_no_more_fails_and_is_not_tried_for_ever(
    house: House, running: Running
) -> None:
    job_id = house.ask(pipeline="of-last-year")
    async with running(fake_services()):
        view = await house.ended(job_id)
    assert view.job.state == "failed"
    assert view.tasks[0].error is not None
    assert view.tasks[0].error["code"] == "pipeline_missing"


def test_nothing_is_accepted_of_somebody_who_was_erased_meanwhile(house: House) -> None:
    with pytest.raises(NotFound):
        house.ask(owner="usr_erased")


def test_a_task_that_breaks_off_again_and_again_is_given_up(house: House) -> None:
    job_id = house.ask()
    progress = JobProgress(house.database)
    for round_ in range(MOST_BREAKS):
        [task] = progress.not_enqueued(10)
        assert task.round == round_
        progress.mark_enqueued([task])
        assert progress.hand_back(task)
    [task] = progress.not_enqueued(10)
    progress.mark_enqueued([task])
    assert not progress.hand_back(task)
    progress.give_up(task, {"code": "service_error", "title": "", "detail": ""})
    assert house.job(job_id).job.state == "failed"
    house.records.retry(ANNA, job_id)
    [task] = progress.not_enqueued(10)
    assert progress.hand_back(task), "its owner may try again"
