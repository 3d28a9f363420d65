"""`clearcast serve` stopped by SIGTERM in mid-job and started again: the job goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from clearcast.origin import ROOT
from clearcast.ports import free_port
from clearcast.sample import sample_conversation
from clearcast.storage.database import Database
from clearcast.storage.tables import JobEvent

START_S, END_S = 150.0, 60.0


@contextmanager
def serving(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """The platform in a process of its own, as an operator starts it; ended by SIGTERM."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CLEARCAST__DATA_DIR": str(folder / "data"),
        "CLEARCAST__CONFIG_DIR": str(folder / "config"),
        "CLEARCAST__HTTP__PORT": str(port),
        "CLEARCAST__LIVE__ENABLED": "false",
        "CLEARCAST__HTTP__REQUIRE_KEY": "false",
    }
    command = [str(Path(sys.executable).with_name("clearcast")), "serve"]
    with (folder / "serve.log").open("a") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_S) in {0, 143}, (folder / "serve.log").read_text()
    finally:
        process.kill()
        process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        assert process.poll() is None and time.monotonic() < deadline_s, "the platform did not start"
        try:
            if httpx.get(f"{url}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)


@pytest.mark.timeout(420)
def test_a_job_goes_on_after_sigterm_and_a_new_start(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    sample = sample_conversation().audio.read_bytes()
    with serving(tmp_path, port) as process:
        wait_until_ready(url, process)
        asked = httpx.post(
            f"{url}/v1/jobs",
            data={"pipeline": "meeting", "options": '{"language": "en"}'},
            files=[("file", (f"{number}.wav", sample, "audio/wav")) for number in range(2)],
            timeout=30,
        )
        assert asked.status_code == 202, asked.text
        job_url = f"{url}/v1/jobs/{asked.json()['id']}"
        while not (before := httpx.get(job_url, timeout=30).json())["results"]:
            assert before["state"] in {"queued", "running"}
            time.sleep(0.1)
    assert before["state"] == "running", "it was stopped in mid-job"
    done_before = stages(tmp_path, asked.json()["id"])
    assert done_before
    with serving(tmp_path, port) as process:
        wait_until_ready(url, process)
        while (after := httpx.get(job_url, timeout=30).json())["state"] in {"queued", "running"}:
            time.sleep(0.2)
        assert after["state"] == "succeeded", after
        assert [result["is_partial"] for result in after["results"]] == [False] * 2
    done = stages(tmp_path, asked.json()["id"])
    assert done_before <= done
    assert set(done.values()) == {1}, "a finished stage was done again"


def stages(folder: Path, job_id: str) -> Counter[tuple[int, str]]:
    """Every stage that was worked out, as often as it was."""
    database = Database(f"sqlite:///{folder / 'data' / 'clearcast.sqlite'}")
    query = sa.select(JobEvent.data).where(JobEvent.job_id == job_id, JobEvent.event == "stage")
    with database.reading() as session:
        found = Counter((data["task"], data["stage"]) for data in session.scalars(query))
    database.close()
    return found
