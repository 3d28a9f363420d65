"""The job queue: ten thousand small jobs over HTTP on SQLite, and what they cost.

Several people queue them in turn, over the app in a process of its own without sockets in between, so that
what is measured is ours. Then a runner, also a process, hands work over and does some of it, on services
that answer at once; two hundred jobs tell how fast.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from bench.row import Row

JOBS, PEOPLE, WORKED = 10_000, 8, 200

_START = """
import asyncio, json, sys, time
from pathlib import Path
import numpy as np
import psutil
from clearcast.settings import AccountSettings, Settings
from clearcast.storage.blobs import open_blobs
from clearcast.storage.database import Database
from clearcast.testing.services import fake_services

folder, jobs, people = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
many = 10**9
accounts = AccountSettings(requests_per_minute=many, key_requests_per_minute=many)
settings = Settings(data_dir=folder).model_copy(update={"accounts": accounts})

def memory_mb():
    return psutil.Process().memory_full_info().uss / 1e6

def p95_ms(spans_s):
    return float(np.percentile(spans_s, 95)) * 1e3
"""

_INGRESS = (
    _START
    + """
import random
import tempfile
import httpx
from clearcast.testing.media import write_tone_wav
from clearcast.testing.people import People
from deployments.ingress.app import create_app

async def main():
    names = [f"person{number}" for number in range(people)]
    keys = [People(settings).create(name) for name in names]
    app = create_app(fake_services(), settings)
    transport = httpx.ASGITransport(app)
    clients = [
        httpx.AsyncClient(
            transport=transport, base_url="http://x", headers={"Authorization": f"Bearer {key}"}
        )
        for key in keys
    ]
    sound = write_tone_wav(folder / "tone.wav", 2.0).read_bytes()
    files = []
    for client in clients:
        sent = await client.post("/v1/files", files={"file": ("a.wav", sound, "audio/wav")})
        files.append(sent.json()["id"])
    ids, enqueue_s, memory = [], [], []
    for number in range(jobs):
        who = number % people
        order = {"pipeline": "transcription", "file_ids": [files[who]]}
        began_s = time.perf_counter()
        answer = await clients[who].post("/v1/jobs", json=order)
        enqueue_s.append(time.perf_counter() - began_s)
        assert answer.status_code == 202, answer.text
        ids.append((who, answer.json()["id"]))
        if number % (jobs // 10) == jobs // 10 - 1:
            memory.append(memory_mb())
    chance = random.Random(1)
    status_s = []
    for _ in range(1000):
        who, job_id = chance.choice(ids)
        began_s = time.perf_counter()
        answer = await clients[who].get(f"/v1/jobs/{job_id}")
        status_s.append(time.perf_counter() - began_s)
        assert answer.status_code == 200
    print(json.dumps({
        "enqueue_ms": p95_ms(enqueue_s), "first_ms": p95_ms(enqueue_s[: jobs // 10]),
        "last_ms": p95_ms(enqueue_s[-jobs // 10 :]), "status_ms": p95_ms(status_s),
        "grown_mb": memory[-1] - memory[0], "memory_mb": memory[-1],
    }))

asyncio.run(main())
"""
)

_RUNNER = (
    _START
    + """
import sqlalchemy as sa
from clearcast.storage.tables import Task
from deployments.jobs.engine import JobEngine
from deployments.jobs.task_run import Workshop

async def main():
    database = Database(settings.database_url)
    blobs = open_blobs(settings.storage, settings.data_path)
    query = sa.select(sa.func.count()).where(Task.state == "succeeded")

    def done():
        with database.reading() as session:
            return session.scalar(query)

    await JobEngine(settings, Workshop.of(settings, fake_services(), database, blobs)).start()
    async def reach(count):
        while await asyncio.to_thread(done) < count:
            await asyncio.sleep(0.02)
    await reach(jobs // 4)  # warm
    before, began_s = memory_mb(), time.perf_counter()
    await reach(jobs)
    print(json.dumps({
        "per_s": 0.75 * jobs / (time.perf_counter() - began_s),
        "grown_mb": memory_mb() - before, "memory_mb": memory_mb(),
    }), flush=True)
    import os
    os._exit(0)  # the rest of the queue is nobody's concern

asyncio.run(main())
"""
)


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        case = f"{JOBS} queued"
        asked = _run(_INGRESS, folder, JOBS, PEOPLE)
        yield Row("jobs", case, "enqueue p95 (target 50)", asked["enqueue_ms"], "ms")
        yield Row(
            "jobs",
            case,
            "enqueue p95, last tenth against the first",
            asked["last_ms"],
            "ms",
            asked["first_ms"],
            asked["last_ms"] / asked["first_ms"],
        )
        yield Row("jobs", case, "status p95 (target 20)", asked["status_ms"], "ms")
        yield Row("jobs", case, "memory of the ingress", asked["memory_mb"], "MB")
        yield Row("jobs", case, "memory added by nine tenths of them", asked["grown_mb"], "MB")
        worked = _run(_RUNNER, folder, WORKED, PEOPLE)
        yield Row("jobs", f"{WORKED} of them done", "jobs per second", worked["per_s"], "1/s")
        yield Row("jobs", f"{WORKED} of them done", "memory of the runner", worked["memory_mb"], "MB")
        yield Row(
            "jobs", f"{WORKED} of them done", "memory added by most of them", worked["grown_mb"], "MB"
        )


def _run(program: str, folder: str, jobs: int, people: int) -> dict[str, float]:
    """What the program prints, run in a fresh process."""
    command = [sys.executable, "-c", program, folder, str(jobs), str(people)]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(made.stdout.splitlines()[-1])
    return found
