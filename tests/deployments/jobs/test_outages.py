"""The database, the blob store or Redis stopped in mid-job: work pauses and goes on, and no more than that.

The servers are real and this test's own; the runner is a process of its own that nobody starts again.
"""

from __future__ import annotations

import asyncio
import logging
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clearcast.settings import Settings
from clearcast.storage.database import Database
from clearcast.testing.people import People
from clearcast.testing.services import fake_services
from deployments.ingress.app import create_app
from tests import servers
from tests.deployments.ingress.loopback import connect, wav
from tests.deployments.jobs import worker
from tests.deployments.jobs.conftest import ANNA, House, furnish
from tests.deployments.jobs.test_kills import runner, wait_for

pytestmark = pytest.mark.timeout(240)

AWAY_S = 5.0


@pytest.fixture
def postgres() -> Iterator[tuple[servers.Server, str]]:
    # A crash of the server is no power cut: fsync may be off, but what it said is committed must be.
    with servers.postgresql_server(("fsync=off",)) as server:
        yield server


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[tuple[servers.Server, servers.S3Server]]:
    (tmp_path / "s3").mkdir()
    with servers.s3_server(tmp_path / "s3") as server:
        yield server


def on_postgres(tmp_path: Path, url: str, change: Callable[[Settings], Settings] = lambda s: s) -> House:
    database = Database(url)
    database.migrate()
    return furnish(tmp_path, database, change(worker.make_settings(tmp_path / "data", url)))


def in_the_middle(house: House, jobs: list[str]) -> None:
    """Returns when some stages are done and most are not."""
    deadline_s = time.monotonic() + 60
    while sum(len(house.stages(job_id)) for job_id in jobs) < 5:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert any(not view.results or view.results[0].is_partial for view in map(house.job, jobs))


def assert_done_once(house: House, jobs: list[str]) -> None:
    for job_id in jobs:
        view = house.job(job_id)
        assert view.job.state == "succeeded", [task.error for task in view.tasks]
        assert [(one.number, one.is_partial) for one in view.results] == [(0, False), (1, False)]
        assert set(Counter(house.stages(job_id)).values()) == {1}, "a finished stage was done again"
        assert [task.round for task in view.tasks] == [0, 0]
        ends = [event for event in house.records.events(ANNA, job_id, 0, 10_000) if event.event == "task"]
        assert len(ends) == 2


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL], ids=["immediate-stop", "kill"])
def test_jobs_go_on_after_the_database_was_gone(
    tmp_path: Path, postgres: tuple[servers.Server, str], number: int
) -> None:
    server, url = postgres
    house = on_postgres(tmp_path, url)
    jobs = [house.ask(files=2) for _ in range(3)]
    with runner(house, url) as process:
        in_the_middle(house, jobs)
        server.stop(number)
        time.sleep(AWAY_S)
        assert process.poll() is None
        server.start()
        wait_for(house, jobs, within_s=90)
        assert process.poll() is None, "nobody had to start the runner again"
        jobs.append(house.ask(files=2))
        wait_for(house, jobs, within_s=60)
    assert_done_once(house, jobs)
    house.database.close()


def test_jobs_go_on_after_the_blob_store_was_gone(
    tmp_path: Path, postgres: tuple[servers.Server, str], s3: tuple[servers.Server, servers.S3Server]
) -> None:
    (_, url), (store, endpoint) = postgres, s3
    house = on_postgres(tmp_path, url, lambda settings: worker.on_s3(settings, endpoint.endpoint))
    jobs = [house.ask(files=2) for _ in range(3)]
    with runner(house, url, endpoint.endpoint) as process:
        in_the_middle(house, jobs)
        store.stop(signal.SIGKILL)
        time.sleep(2 * AWAY_S)
        store.start()
        wait_for(house, jobs, within_s=90)
        assert process.poll() is None
    assert_done_once(house, jobs)
    house.database.close()


def test_there_is_one_runner_and_no_second_after_the_database_was_gone(
    tmp_path: Path, postgres: tuple[servers.Server, str]
) -> None:
    """Two that want to be the one; the server forgets which of them it was."""
    server, url = postgres
    house = on_postgres(tmp_path, url)
    jobs = [house.ask(files=2) for _ in range(2)]
    with runner(house, url) as first:
        arguments = [str(house.settings.data_path), url, "0.1"]
        command = [sys.executable, "-m", "tests.deployments.jobs.worker", *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second:
            try:
                in_the_middle(house, jobs)
                for _ in range(3):
                    server.stop(signal.SIGQUIT)
                    time.sleep(1.0)
                    server.start()
                    time.sleep(1.5)
                    # At most one of them works: the second does not begin before the first has ended.
                    began = bool(select.select([second.stdout], [], [], 0)[0])
                    assert not began or first.poll() is not None
                wait_for(house, jobs, within_s=90)
                assert [first.poll(), second.poll()].count(None) >= 1
            finally:
                second.kill()
    assert_done_once(house, jobs)
    house.database.close()


async def test_the_ingress_says_503_meanwhile_and_works_again_after(
    tmp_path: Path, postgres: tuple[servers.Server, str]
) -> None:
    server, url = postgres
    settings = worker.make_settings(tmp_path / "data", url)
    key = People(settings).create("sara")
    app = create_app(fake_services(), settings)
    file = {"file": ("a.wav", wav(300), "audio/wav")}
    async with connect(app, key) as client:
        asked = await client.post("/v1/jobs", data={"pipeline": "meeting"}, files=file)
        assert asked.status_code == 202, asked.text
        address = f"/v1/jobs/{asked.json()['id']}"
        for number in (signal.SIGQUIT, signal.SIGKILL):
            server.stop(number)
            for _ in range(20):  # as often as there are connections in the pool, each of them dead
                for answer in (
                    await client.get(address),
                    await client.get("/v1/jobs"),
                    await client.post("/v1/jobs", data={"pipeline": "meeting"}, files=file),
                    await client.post(
                        "/v1/uploads", headers={"Upload-Length": "1", "Tus-Resumable": "1.0.0"}
                    ),
                ):
                    assert answer.status_code == 503, answer.text
                    assert answer.json()["code"] == "service_unavailable"
                    assert int(answer.headers["Retry-After"]) > 0
            assert (await client.get("/health/live")).status_code == 200
            assert (await client.get("/metrics")).status_code in {200, 503}
            server.start()
            for _ in range(10):
                assert (await client.get(address)).status_code == 200
            again = await client.post("/v1/jobs", data={"pipeline": "meeting"}, files=file)
            assert again.status_code == 202, again.text
    app.state.ingress.database.close()


async def test_requests_go_through_uncounted_while_redis_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with servers.redis_server(tmp_path) as (server, url):
        settings = Settings(
            data_dir=tmp_path / "data",
            accounts={"limits_url": url, "requests_per_minute": 3, "key_requests_per_minute": 3},
        )
        key = People(settings).create("sara")
        app = create_app(fake_services(), settings)
        async with connect(app, key) as client:
            assert [(await client.get("/v1/jobs")).status_code for _ in range(4)] == [200, 200, 200, 429]
            server.stop(signal.SIGKILL)
            with caplog.at_level(logging.WARNING):
                assert {(await client.get("/v1/jobs")).status_code for _ in range(8)} == {200}
            assert len([line for line in caplog.messages if "Redis" in line]) == 1
            server.start()
            deadline_s = time.monotonic() + 30
            while (await client.get("/v1/jobs")).status_code != 429:
                assert time.monotonic() < deadline_s, "limits are not kept again"
                await asyncio.sleep(0.2)
        app.state.ingress.accounts.limits.close()
        app.state.ingress.database.close()
