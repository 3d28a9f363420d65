"""Jobs on a real database and a real workflow engine, with services that need no model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.storage.blobs import BlobStore, open_blobs
from clearcast.storage.database import Database
from clearcast.storage.job_order import JobFile, JobOrder
from clearcast.storage.job_records import OPEN, JobRecords, JobView
from clearcast.storage.tables import File, User
from clearcast.testing.media import write_tone_wav
from deployments.jobs.engine import JobEngine
from deployments.jobs.task_run import Workshop
from tests.deployments.jobs import worker

ANNA, BEN = "usr_anna", "usr_ben"


@dataclass
class House:
    """The records and blobs of a test, with two people and a recording of each."""

    settings: Settings
    database: Database
    blobs: BlobStore
    records: JobRecords

    def ask(self, owner: str = ANNA, pipeline: str = "meeting", files: int = 1, **more: object) -> str:
        order = JobOrder(pipeline, {}, [JobFile(f"file_{owner}", "talk.wav")] * files, **more)  # type: ignore[arg-type]
        return self.records.accept(owner, order)[0]

    def job(self, job_id: str, owner: str = ANNA) -> JobView:
        return self.records.job(owner, job_id)

    async def ended(self, job_id: str, owner: str = ANNA, within_s: float = 60.0) -> JobView:
        return await self.until(
            lambda: self.job(job_id, owner), lambda view: view.job.state not in OPEN, within_s
        )

    async def until(
        self, look: Callable[[], JobView], good: Callable[[JobView], bool], within_s: float = 60.0
    ) -> JobView:
        async with asyncio.timeout(within_s):
            while not good(view := await asyncio.to_thread(look)):
                await asyncio.sleep(0.05)
        return view

    def stages(self, job_id: str, owner: str = ANNA) -> list[tuple[int, str]]:
        """Every stage that was worked out, as often as it was."""
        events = self.records.events(owner, job_id, 0, limit=10_000)
        return [(event.data["task"], event.data["stage"]) for event in events if event.event == "stage"]


@pytest.fixture
def house(tmp_path: Path, database: Database, database_url: str) -> House:
    return furnish(tmp_path, database, worker.make_settings(tmp_path / "data", database_url))


def furnish(tmp_path: Path, database: Database, settings: Settings) -> House:
    """A house on an empty database."""
    blobs = open_blobs(settings.storage, settings.data_path)
    for owner in (ANNA, BEN):
        source = write_tone_wav(tmp_path / f"{owner}.wav", 20.0)
        size_bytes = source.stat().st_size
        blobs.put_file(f"uploads/{owner}", source)
        with database.writing() as session:
            session.add(User(id=owner, name=owner, name_key=owner))
            session.flush()
            session.add(
                File(
                    id=f"file_{owner}",
                    owner_id=owner,
                    kind="upload",
                    name="talk.wav",
                    media_type="audio/wav",
                    state="stored",
                    size_bytes=size_bytes,
                    blob_key=f"uploads/{owner}",
                )
            )
    return House(settings, database, blobs, JobRecords(database, max_queued=10_000, max_running=2))


Running = Callable[[Services], AbstractAsyncContextManager[JobEngine]]


@pytest.fixture
def running(house: House, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Runs the engine on given services for as long as the context lasts."""
    monkeypatch.setattr("pipelines.transcribe.WINDOW_TARGET_S", 2.0)
    monkeypatch.setattr("pipelines.transcribe.WINDOW_MAX_S", 3.0)

    @asynccontextmanager
    async def run(services: Services) -> AsyncIterator[JobEngine]:
        workshop = Workshop.of(house.settings, services, house.database, house.blobs)
        engine = JobEngine(house.settings, workshop)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()

    return run
