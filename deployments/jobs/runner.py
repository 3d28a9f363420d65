"""The job runner as a Serve replica: one process that moves all jobs along; the models are elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from ray.serve.handle import DeploymentHandle

from clearcast.settings import Settings
from clearcast.storage.blobs import open_blobs
from clearcast.storage.database import Database
from deployments.handles import served
from deployments.ingress.log_lines import write_logs
from deployments.jobs.engine import JobEngine
from deployments.jobs.only_one import OnlyOne
from deployments.jobs.patience import patiently
from deployments.jobs.task_run import Workshop


class JobRunner:
    """Serve makes it, checks it, and makes it again when it dies."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        settings: Settings,
        models: Mapping[str, DeploymentHandle[Any]],
    ) -> None:
        write_logs(sys.stderr, settings.log_level)
        services = served(settings, models)
        database = Database(settings.database_url)
        await patiently(lambda: asyncio.to_thread(database.migrate))
        self._only_one = OnlyOne(settings, database)
        await self._only_one.wait()
        self._guard = asyncio.create_task(self._only_one.guard_process())
        blobs = open_blobs(settings.storage, settings.data_path)
        self._engine = JobEngine(settings, Workshop.of(settings, services, database, blobs))
        await self._engine.start()

    async def check_health(self) -> None:
        """Serve asks every second. Raises when it must be made again."""
        self._engine.check()

    async def __del__(self) -> None:
        """Serve calls this when it stops the replica in order; after a kill nothing is missing either."""
        await self._engine.stop()
        self._guard.cancel()
        self._only_one.release()
