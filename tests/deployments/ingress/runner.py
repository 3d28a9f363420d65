"""The runner of jobs beside an app, in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from clearcast.services import Services
from deployments.jobs.engine import JobEngine
from deployments.jobs.task_run import Workshop


@asynccontextmanager
async def working(app: FastAPI, services: Services) -> AsyncIterator[None]:
    """The job engine on the app's records, as long as the context lasts."""
    state = app.state.ingress
    jobs = state.settings.jobs.model_copy(update={"poll_s": 0.05})
    settings = state.settings.model_copy(update={"jobs": jobs})
    engine = JobEngine(settings, Workshop.of(settings, services, state.database, state.blobs))
    await engine.start()
    try:
        yield
    finally:
        await engine.stop()
