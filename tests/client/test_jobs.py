"""The Python client's files and jobs against the whole platform, also over a line that breaks."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import clearcast
from clearcast.client import AsyncClearCast, ClearCast
from clearcast.client import files as client_files
from clearcast.client.files import AsyncFiles, Files
from clearcast.client.jobs import AsyncJobs, Jobs
from clearcast.client.rooms import AsyncRooms, Rooms
from clearcast.client.types import JobEvent
from clearcast.errors import Conflict, InputError, JobUnfinished, NotFound, ServiceUnavailable
from clearcast.speech.meeting import Meeting
from tests.breaking_proxy import breaking_proxy
from tests.deployments.ingress.loopback import wav
from tests.platform_server import Platform

STAGES = {"decode", "score", "diarize", "identify", "transcribe"}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "monday.wav"
    path.write_bytes(wav(300, 900, seconds=5))
    return path


@pytest.fixture
def client(platform: Platform) -> Iterator[ClearCast]:
    with clearcast.Client(platform.url, platform.key) as client:
        yield client


def test_the_client_has_the_names_that_people_look_for() -> None:
    assert clearcast.Client is clearcast.ClearCast is ClearCast
    assert clearcast.AsyncClient is clearcast.AsyncClearCast is AsyncClearCast
    with pytest.raises(AttributeError):
        clearcast.Server  # noqa: B018 - asking for it is the test


@pytest.mark.parametrize(
    ("blocking", "other"),
    [(ClearCast, AsyncClearCast), (Files, AsyncFiles), (Jobs, AsyncJobs), (Rooms, AsyncRooms)],
)
def test_both_clients_can_the_same(blocking: type, other: type) -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in vars(kind).items()
            if inspect.isfunction(method) and not name.startswith("_")
        }

    assert methods(blocking) == methods(other)


def test_a_job_is_submitted_followed_and_its_result_read(
    client: ClearCast, recording: Path, tmp_path: Path
) -> None:
    job = client.jobs.submit("meeting", recording, label="Monday", options={"language": "en"})
    assert (job.label, job.priority, job.options) == ("Monday", "normal", {"language": "en"})
    events: list[JobEvent] = []
    job = client.jobs.wait(job.id, events.append)
    assert job.state == "succeeded" and job.has_ended and job.fraction == 1
    assert events[0].name == "queued" and events[-1].name == "succeeded" and events[-1].is_end
    assert {event.stage.partition("/")[0] for event in events if event.stage} == STAGES
    fractions = [event.fraction for event in events if event.fraction is not None]
    assert fractions == sorted(fractions)
    meeting = client.jobs.result(job.id)
    assert isinstance(meeting, Meeting) and meeting.transcript is not None
    assert client.jobs.result(job.id, format="srt").startswith(b"1\n00:00:00,000")
    written = client.jobs.download(job.id, tmp_path / "out.vtt", format="vtt")
    assert written.read_text().startswith("WEBVTT")
    assert job.id in [listed.id for listed in client.jobs.list(state="succeeded", pipeline="meeting")]
    moments = [moment for moment in client.search("hello", order="date") if moment.job_id == job.id]
    assert moments[0].text[slice(*moments[0].marks[0])] == "hello"
    client.jobs.erase(job.id)
    with pytest.raises(NotFound):
        client.jobs.get(job.id)


def test_files_on_the_server_and_here_go_into_one_job_in_their_order(
    client: ClearCast, recording: Path, tmp_path: Path
) -> None:
    first = client.files.upload(recording)
    second = tmp_path / "tuesday.wav"
    second.write_bytes(wav(500, seconds=2))
    told: list[tuple[int, int]] = []
    job = client.jobs.submit(
        "diarization", [first, second, first.id], on_upload=lambda *seen: told.append(seen)
    )
    assert [task.file_name for task in job.tasks] == ["monday.wav", "tuesday.wav", "monday.wav"]
    assert told[-1] == (second.stat().st_size, second.stat().st_size)
    assert client.jobs.wait(job.id).counts == {"succeeded": 3}
    assert [task.number for task in client.jobs.tasks(job.id)] == [0, 1, 2]


def test_a_submission_whose_answer_is_lost_makes_one_job(platform: Platform, recording: Path) -> None:
    size_bytes = recording.stat().st_size
    with breaking_proxy(platform.url) as proxy, ClearCast(proxy.url, platform.key) as client:
        proxy.breaks = [(None, 0), (size_bytes // 2, None)]
        job = client.jobs.submit("diarization", recording, label="lost answer")
        assert proxy.num_connections == 3
        assert [found.id for found in client.jobs.list() if found.label == "lost answer"] == [job.id]


def test_the_same_key_gives_the_same_job_and_never_another(client: ClearCast, recording: Path) -> None:
    key = hashlib.sha256(str(recording).encode()).hexdigest()
    first = client.jobs.submit("diarization", recording, idempotency_key=key)
    assert client.jobs.submit("diarization", recording, idempotency_key=key).id == first.id
    with pytest.raises(Conflict):
        client.jobs.submit("meeting", recording, idempotency_key=key)


def test_a_large_upload_goes_on_after_the_line_broke(platform: Platform, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    large.write_bytes(wav(300, seconds=640))
    size_bytes = large.stat().st_size
    told: list[int] = []
    with breaking_proxy(platform.url) as proxy, ClearCast(proxy.url, platform.key) as client:
        proxy.breaks = [(client_files.PART_BYTES + 3_000_000, None), (2_000_000, None)]
        file = client.files.upload(large, lambda done, _total: told.append(done))
        assert (file.state, file.size_bytes) == ("stored", size_bytes)
        assert file.sha256 == hashlib.sha256(large.read_bytes()).hexdigest()
        assert told == sorted(told) and told[-1] == size_bytes
        sent_bytes = [done for done in told if 0 < done < size_bytes]
        assert sent_bytes[0] == client_files.PART_BYTES
        assert proxy.num_connections >= 3
        copy = client.files.download(file.id, tmp_path / "copy.wav")
        assert copy.read_bytes() == large.read_bytes()


def test_an_upload_that_was_given_up_goes_on_by_its_id(platform: Platform, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    large.write_bytes(wav(300, seconds=320))
    with breaking_proxy(platform.url) as proxy:
        proxy.breaks = [(client_files.PART_BYTES + 100_000, None)] + [(0, None)] * 50
        with (
            ClearCast(proxy.url, platform.key, busy_wait_s=1) as client,
            pytest.raises(ServiceUnavailable) as caught,
        ):
            client.files.upload(large)
    with ClearCast(platform.url, platform.key) as client:
        told: list[int] = []
        upload_id = caught.value.fields["upload_id"]
        file = client.files.upload(large, lambda done, _: told.append(done), upload_id=upload_id)
        assert file.state == "stored" and told[1] >= client_files.PART_BYTES


def test_following_goes_on_where_the_line_broke_and_tells_nothing_twice(
    platform: Platform, recording: Path
) -> None:
    with breaking_proxy(platform.url) as proxy, ClearCast(proxy.url, platform.key) as client:
        job = client.jobs.submit("meeting", recording)
        client.close()
    with breaking_proxy(platform.url) as proxy, ClearCast(proxy.url, platform.key) as client:
        proxy.breaks = [(None, 700), (None, 900), (None, 100)]
        events = list(client.jobs.follow(job.id))
        assert proxy.num_connections >= 4
        assert [event.id for event in events] == sorted({event.id for event in events})
        assert events[0].name == "queued" and events[-1].name == "succeeded"
        assert [event.name for event in client.jobs.follow(job.id, after=events[-2].id)] == ["succeeded"]
        assert list(client.jobs.follow(job.id, after=events[-1].id)) == []


def test_a_job_that_cannot_succeed_tells_why_and_can_be_tried_again(
    client: ClearCast, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    job = client.jobs.wait(client.jobs.submit("meeting", bad).id)
    assert job.state == "failed"
    assert job.tasks[0].error is not None and job.tasks[0].error.code == "audio_unrecognised"
    with pytest.raises(JobUnfinished):
        client.jobs.result(job.id)
    assert client.jobs.retry(job.id).state in {"queued", "running", "failed"}
    assert client.jobs.wait(job.id).state == "failed"
    assert client.jobs.cancel(job.id).state == "failed"


def test_a_download_that_breaks_leaves_nothing(platform: Platform, recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with breaking_proxy(platform.url) as proxy, ClearCast(proxy.url, platform.key) as client:
        file = client.files.upload(recording)
        proxy.breaks = [(None, 10_000)]
        client.close()
        with ClearCast(proxy.url, platform.key) as other:
            with pytest.raises(ServiceUnavailable):
                other.files.download(file.id, folder / "x.wav")
            with pytest.raises(InputError):
                other.files.download(file.id, folder / "nowhere" / "x.wav")
    assert list(folder.iterdir()) == []


def test_files_and_keys_are_listed_and_go(client: ClearCast, recording: Path) -> None:
    file = client.files.upload(recording)
    assert client.files.get(file.id) == file
    assert file.id in [found.id for found in client.files.list("upload")]
    client.files.delete(file.id)
    with pytest.raises(NotFound):
        client.files.get(file.id)
    assert client.me()["name"] == "anna"
    made = client.create_key("narrow", ["files:read"])
    listed = client.keys()
    assert made["id"] in [key["id"] for key in listed]
    client.revoke_key(made["id"])
    assert {"meeting", "transcription"} <= {pipeline.name for pipeline in client.jobs.pipelines()}


async def test_the_asynchronous_client_does_all_of_it(
    platform: Platform, recording: Path, tmp_path: Path
) -> None:
    async with clearcast.AsyncClient(platform.url, platform.key) as client:
        file = await client.files.upload(recording)
        job = await client.jobs.submit("meeting", [file])
        names = [event.name async for event in client.jobs.follow(job.id)]
        assert names[-1] == "succeeded"
        assert (await client.jobs.wait(job.id)).state == "succeeded"
        assert isinstance(await client.jobs.result(job.id), Meeting)
        assert (await client.jobs.result(job.id, format="txt")).strip()
        await client.jobs.download(job.id, tmp_path / "a.json")
        await client.files.download(file.id, tmp_path / "a.flac", "flac")
        assert job.id in [found.id async for found in client.jobs.list()]
        assert [task.number async for task in client.jobs.tasks(job.id)] == [0]
        assert file.id in [found.id async for found in client.files.list()]
        assert [moment async for moment in client.search("hello", speaker="SPEAKER_00")]
        assert (await client.jobs.cancel(job.id)).state == "succeeded"
        await client.jobs.erase(job.id)
        await client.files.delete(file.id)
        with pytest.raises(NotFound):
            await client.files.get(file.id)
