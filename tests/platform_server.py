"""The whole platform without models, in a process of its own: the API and the runner of jobs.

    python -m tests.platform_server DATA_FOLDER SECONDS_PER_STAGE

Prints its address and a key of the user "anna" when it listens. `running_platform` starts and stops it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clearcast.origin import ROOT
from clearcast.settings import AccountSettings, Settings
from clearcast.storage.blobs import open_blobs
from clearcast.storage.database import Database
from clearcast.testing.people import People
from clearcast.testing.services import FakeDiarizer, fake_services
from deployments.ingress.app import create_app
from deployments.jobs.engine import JobEngine
from deployments.jobs.task_run import Workshop
from tests.deployments.ingress.loopback import listening
from tests.deployments.jobs.worker import TURNS, SlowTranscriber, small_windows

MANY = 1_000_000


@dataclass(frozen=True)
class Platform:
    """Where it is, a key of "anna", and its data folder."""

    url: str
    key: str
    folder: Path


@contextmanager
def running_platform(folder: Path, seconds_per_stage: float = 0.0) -> Iterator[Platform]:
    """A server on a free port of this machine, for as long as the context lasts."""
    command = [sys.executable, "-m", "tests.platform_server", str(folder), str(seconds_per_stage)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url, _, key = process.stdout.readline().strip().partition(" ")
        assert url, "the server did not start"
        yield Platform(url, key, folder)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def make_settings(folder: Path) -> Settings:
    settings = Settings(data_dir=folder)
    jobs = settings.jobs.model_copy(update={"poll_s": 0.05})
    accounts = AccountSettings(
        sign_up=True, requests_per_minute=MANY, key_requests_per_minute=MANY, logins_per_minute=MANY
    )
    return settings.model_copy(update={"jobs": jobs, "accounts": accounts})


async def main(folder: Path, seconds_per_stage: float) -> None:
    small_windows()
    settings = make_settings(folder)
    key = People(settings).create("anna")
    services = fake_services(FakeDiarizer(TURNS), SlowTranscriber(seconds=seconds_per_stage))
    database = Database(settings.database_url)
    shop = Workshop.of(settings, services, database, open_blobs(settings.storage, settings.data_path))
    await JobEngine(settings, shop).start()
    async with listening(create_app(services, settings)) as url:
        print(url, key, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
