"""The HTTP app: every route, on the services it is given.

What lives here: putting the parts together. What does not: what the services are made of; the same app runs
over Serve handles and in one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from clearcast import __version__
from clearcast.services import Services
from clearcast.settings import Settings
from deployments.ingress import (
    auth,
    documentation,
    downloads,
    files,
    friends,
    job_events,
    job_table,
    jobs,
    keys,
    legacy,
    links,
    meetings,
    models,
    monitoring,
    presigned,
    problems,
    room_memories,
    room_people,
    rooms,
    search,
    transcriptions,
    tus,
    users,
    voices,
    webhooks,
)
from deployments.ingress.building import always_ready, build_state, no_replicas
from deployments.ingress.front_door import FrontDoor
from deployments.ingress.state import Ready, Replicas
from deployments.ingress.trusted_proxies import TrustedProxies

DESCRIPTION = (
    "ClearCast on your own machines: who said what in a recording, by name. Every address but /health and"
    " the log-in needs an API key or an access token as a bearer token. Errors are problem documents with a"
    " stable code."
)


def create_app(
    services: Services, settings: Settings, *, ready: Ready = always_ready, replicas: Replicas = no_replicas
) -> FastAPI:
    """The app on these services. `ready` tells what is missing before it can work.

    Voices and work lie below `settings.data_path`. Raises EngineUnknown, SettingsInvalid.
    """
    state = build_state(services, settings, ready, replicas)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        state.workroom.open()
        await asyncio.to_thread(state.database.migrate)
        await asyncio.to_thread(state.accounts.prepare, require_key=settings.http.require_key)
        yield
        state.workroom.close()
        state.accounts.limits.close()
        state.database.close()

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
    for part in (transcriptions, meetings, voices, models, search, monitoring, documentation):
        app.include_router(part.router)
    for part in (jobs, job_events, job_table, webhooks, files, downloads, links, presigned, tus):
        app.include_router(part.router)
    for part in (rooms, room_people, room_memories):
        app.include_router(part.router)
    for part in (auth, keys, friends, users, legacy):
        app.include_router(part.router)
    problems.install(app)
    documentation.describe(app)
    app.add_middleware(FrontDoor, metrics=state.metrics)
    app.add_middleware(TrustedProxies, networks=settings.http.trusted_proxies)  # the outermost
    return app
