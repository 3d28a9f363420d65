"""A runner killed with SIGKILL again and again: nothing is lost, nothing done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clearcast.storage.job_order import Destination, JobFile, JobOrder
from clearcast.storage.job_records import OPEN
from clearcast.testing.media import write_tone_wav
from tests.deployments.jobs.conftest import ANNA, House
from tests.servers import S3Server, s3_client

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).resolve().parents[3]
STAGE_S = 0.1


@contextmanager
def runner(house: House, database_url: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    arguments = [str(house.settings.data_path), database_url, str(STAGE_S), *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.deployments.jobs.worker", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(house: House, jobs: list[str], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while any(house.job(job_id).job.state in OPEN for job_id in jobs):
        assert time.monotonic() < deadline_s, [house.job(job_id).tasks[0].state for job_id in jobs]
        time.sleep(0.1)


def test_every_job_finishes_once_through_ten_kills(house: House, database_url: str) -> None:
    seed = random.randrange(1000)
    chance = random.Random(seed)
    jobs = [house.ask(files=2) for _ in range(5)]
    for _ in range(10):
        with runner(house, database_url) as process:
            time.sleep(chance.uniform(0.0, 0.8))
            process.send_signal(signal.SIGKILL)
    with runner(house, database_url):
        wait_for(house, jobs, within_s=120)
    for job_id in jobs:
        view = house.job(job_id)
        assert view.job.state == "succeeded", f"seed {seed}"
        assert [(one.number, one.is_partial) for one in view.results] == [(0, False), (1, False)]
        stages = Counter(house.stages(job_id))
        assert set(stages.values()) == {1}, f"a finished stage was done again, seed {seed}"
        ends = [event for event in house.records.events(ANNA, job_id, 0, 10_000) if event.event == "task"]
        assert len(ends) == 2, f"a task ended twice, seed {seed}"


def test_recordings_in_a_bucket_are_done_once_and_delivered_through_kills(
    house: House, database_url: str, s3_server: S3Server, tmp_path: Path
) -> None:
    talk = write_tone_wav(tmp_path / "talk.wav", 8.0)
    bucket = s3_client(s3_server, "radio")
    bucket.fput_object("radio", "kills/talk.wav", str(talk))
    addresses = [f"s3://radio/kills/{name}" for name in ("talk.wav", "gone.wav", "talk.wav")]
    names = ("talk", "gone", "again")
    files = [JobFile(address, "x", {}, name) for address, name in zip(addresses, names, strict=True)]
    order = JobOrder("meeting", {}, files, destination=Destination("s3://radio/out"))
    job_id, _ = house.records.accept(ANNA, order)
    for _ in range(2):
        with runner(house, database_url, s3_server.endpoint) as process:
            time.sleep(random.uniform(0.2, 0.8))
            process.send_signal(signal.SIGKILL)
    with runner(house, database_url, s3_server.endpoint):
        wait_for(house, [job_id], within_s=120)
    view = house.job(job_id)
    assert [task.state for task in view.tasks] == ["succeeded", "failed", "succeeded"]
    assert view.tasks[1].error is not None and view.tasks[1].error["code"] == "not_found"
    assert set(Counter(house.stages(job_id)).values()) == {1}, "a finished stage was done again"
    written = sorted(one.object_name or "" for one in bucket.list_objects("radio", "out/", recursive=True))
    results = [f"out/{name}.meeting.json" for name in ("again", "talk")]
    assert written == [f"out/.batch/meeting/{name}.json" for name in ("again", "talk")] + results
    made = [json.loads(bucket.get_object("radio", name).read()) for name in results]
    assert made[0] == made[1] and len(made[0]["transcript"]["segments"]) > 1
    assert [task.outputs for task in view.tasks] == [["talk.meeting.json"], [], ["again.meeting.json"]]


def test_two_runners_never_work_at_the_same_time(house: House, database_url: str) -> None:
    with runner(house, database_url):
        arguments = [str(house.settings.data_path), database_url, "0"]
        second = subprocess.Popen(
            [sys.executable, "-m", "tests.deployments.jobs.worker", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        job_id = house.ask()
        wait_for(house, [job_id], within_s=60)
        assert second.poll() is None
    try:
        assert second.stdout is not None
        assert second.stdout.readline() == "ready\n", "it takes over when the first is gone"
    finally:
        second.kill()
        second.communicate()
