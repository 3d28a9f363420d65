"""The HTTP app: every route, on the services it is given.

What lives here: putting the parts together. What does not: what the services are made of; the same app runs
over Serve handles and in one process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

from clearcast import __version__
from clearcast.auth import KeyFile
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.storage.voice_store import VoiceStore
from deployments.ingress import (
    documentation,
    meetings,
    models,
    monitoring,
    problems,
    transcriptions,
    voices,
)
from deployments.ingress.admission import Gate
from deployments.ingress.catalog import Catalog
from deployments.ingress.front_door import FrontDoor
from deployments.ingress.metrics import Metrics
from deployments.ingress.state import IngressState, Ready
from deployments.ingress.workroom import Workroom

DESCRIPTION = (
    "ClearCast on your own machines: who said what in a recording, by name. Every address but /health needs"
    " an API key as a bearer token. Errors are problem documents with a stable code."
)


async def always_ready() -> Mapping[str, str]:
    """The readiness of an app whose services are all in its own process."""
    return {}


def create_app(services: Services, settings: Settings, *, ready: Ready = always_ready) -> FastAPI:
    """The app on these services. `ready` tells what is missing before it can work.

    Keys, voices and work lie below `settings.data_path`. Raises EngineUnknown, SettingsInvalid.
    """
    state = IngressState(
        settings=settings,
        services=services,
        keys=KeyFile(settings.data_path / "keys.json"),
        voices=VoiceStore(settings.data_path),
        workroom=Workroom(settings.data_path / "work"),
        gate=Gate(settings.serve.max_running_meetings, settings.serve.max_waiting_meetings),
        metrics=Metrics(),
        catalog=Catalog(settings),
        ready=ready,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        state.workroom.open()
        yield
        state.workroom.close()

    app = FastAPI(
        title="ClearCast",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,  # these three are routes of our own, with a key
        docs_url=None,
        redoc_url=None,
    )
    app.state.ingress = state
    for part in (transcriptions, meetings, voices, models, monitoring, documentation):
        app.include_router(part.router)
    problems.install(app)
    documentation.describe(app)
    app.add_middleware(FrontDoor, metrics=state.metrics)
    return app
