"""A job runner in a process of its own, to be killed: the real engine on services that take their time.

    python -m tests.deployments.jobs.worker DATA_FOLDER DATABASE_URL SECONDS_PER_STAGE [S3_ENDPOINT]

The recording is cut into windows of two seconds, so that a short file has many stages.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

import pipelines.transcribe
from clearcast.audio.recording import Clip
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.settings import Settings
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Turn
from clearcast.storage.blobs import open_blobs
from clearcast.storage.database import Database
from clearcast.testing.services import FakeDiarizer, FakeTranscriber, fake_services
from deployments.jobs.engine import JobEngine
from deployments.jobs.only_one import OnlyOne
from deployments.jobs.task_run import Workshop
from tests import servers

TURNS = tuple(Turn(2.0 * index, 2.0 * index + 1.5, f"SPEAKER_0{index % 2}") for index in range(100))


@dataclass(slots=True)
class SlowTranscriber(FakeTranscriber):
    seconds: float = 0.0

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        await asyncio.sleep(self.seconds)
        return await FakeTranscriber.transcribe(self, clip, options, progress)


def small_windows() -> None:
    pipelines.transcribe.WINDOW_TARGET_S, pipelines.transcribe.WINDOW_MAX_S = 2.0, 3.0


def make_settings(folder: Path, database_url: str, **changes: object) -> Settings:
    settings = Settings(data_dir=folder)
    storage = settings.storage.model_copy(update={"database_url": SecretStr(database_url)})
    jobs = settings.jobs.model_copy(update={"poll_s": 0.05, **changes})
    return settings.model_copy(update={"storage": storage, "jobs": jobs})


def on_s3(settings: Settings, server: str) -> Settings:
    """The settings with blobs in the S3 server at "HOST:PORT", with the keys of `tests/servers.py`, and its
    bucket "radio" for jobs to read and write."""
    changes = {
        "blobs_url": "s3://clearcast",
        "s3_endpoint": server,
        "s3_is_secure": False,
        "s3_access_key": SecretStr(servers.S3_ACCESS_KEY),
        "s3_secret_key": SecretStr(servers.S3_SECRET_KEY),
    }
    jobs = settings.jobs.model_copy(
        update={"s3_sources": ("s3://radio",), "s3_destinations": ("s3://radio",)}
    )
    return settings.model_copy(
        update={"storage": settings.storage.model_copy(update=changes), "jobs": jobs}
    )


async def work(folder: Path, database_url: str, seconds: float, s3_endpoint: str | None = None) -> None:
    small_windows()
    settings = make_settings(folder, database_url)
    if s3_endpoint is not None:
        settings = on_s3(settings, s3_endpoint)
    database = Database(database_url)
    only_one = OnlyOne(settings, database)
    await only_one.wait()
    services = fake_services(FakeDiarizer(TURNS), SlowTranscriber(seconds=seconds))
    blobs = open_blobs(settings.storage, settings.data_path)
    await JobEngine(settings, Workshop.of(settings, services, database, blobs)).start()
    print("ready", flush=True)
    await only_one.guard_process()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), *sys.argv[4:]))
