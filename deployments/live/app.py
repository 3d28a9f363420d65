"""The gateway's app: everything of live rooms that comes over HTTP.

What lives here: putting the parts together, their start and their end. What does not: the parts; starting
the process (`actor.py`).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from clearcast import __version__
from clearcast.local import local_services
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.storage.job_records import JobRecords
from deployments.ingress import (
    monitoring,
    problems,
    room_memories,
    room_people,
    rooms,
)
from deployments.ingress.building import always_ready, build_state, no_replicas
from deployments.ingress.front_door import FrontDoor
from deployments.ingress.state import IngressState
from deployments.ingress.trusted_proxies import TrustedProxies
from deployments.live import file_streams, legacy, live_keywords, live_text, page, sockets, text_doors, whip
from deployments.live.doors import Doors
from deployments.live.media import Media
from deployments.live.meetings import order_meeting
from deployments.live.metrics import LiveMetrics
from deployments.live.state import FileStreams, LiveState
from deployments.live.watch import Watch
from streaming.admission import Admission, LiveLimits
from streaming.bus import open_bus
from streaming.bus_chat import BusChat
from streaming.hall import Hall
from streaming.live_text.places import Places
from streaming.live_text.sittings import Sittings
from streaming.presence import open_presence
from streaming.recordings import Recordings
from streaming.surroundings import Surroundings

_TEXT = (live_text, file_streams, text_doors, live_keywords)


def create_gateway(settings: Settings, node_id: str, services: Services | None = None) -> FastAPI:
    """The app of one node. `services` do what live transcription needs; without them it is all done in
    this process. Raises EngineUnknown, SettingsInvalid."""
    ingress = build_state(services or local_services(settings), settings, always_ready, no_replicas)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(ingress.database.migrate)
        await asyncio.to_thread(ingress.accounts.prepare, require_key=settings.http.require_key)
        async with Media(settings) as media, _live(ingress, media, node_id) as state:
            app.state.live = state
            yield
        ingress.accounts.limits.close()
        ingress.database.close()

    app = FastAPI(
        title="ClearCast live rooms",
        version=__version__,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.ingress = ingress
    for part in (rooms, room_people, room_memories, monitoring, whip, page, sockets, legacy, *_TEXT):
        app.include_router(part.router)
    problems.install(app)
    app.add_middleware(FrontDoor, metrics=ingress.metrics)
    app.add_middleware(TrustedProxies, networks=settings.http.trusted_proxies)
    return app


@asynccontextmanager
async def _live(ingress: IngressState, media: Media, node_id: str) -> AsyncIterator[LiveState]:
    """What runs as long as the app does."""
    live = ingress.settings.live
    bus_url = live.bus_url.get_secret_value()
    bus, presence = open_bus(bus_url), open_presence(bus_url)
    doors = Doors(ingress, node_id)
    queue = ingress.settings.jobs
    jobs = JobRecords(ingress.database, max_queued=queue.max_queued, max_running=queue.max_running)
    order = functools.partial(order_meeting, jobs)
    recordings = Recordings(ingress.settings, ingress.database, ingress.blobs, order)
    limits = LiveLimits(
        rooms=live.max_rooms,
        listeners_per_room=live.max_listeners_per_room,
        joins_per_s=live.max_joins_per_s,
    )
    sound_path = ingress.settings.data_path / "live-sound" / node_id
    listener = await live_text.listener_of(ingress.settings)
    parts = await live_text.live_parts(ingress, listener)
    sittings = Sittings(parts, sound_path / "spoken", live.max_transcriptions)
    surroundings = Surroundings(
        keeper=recordings,
        register=doors,
        admission=Admission(limits),
        open_media=media.open_room,
        new_peer=media.new_peer,
        open_chat=lambda room_id: BusChat(bus, room_id),
        sittings=sittings,
        ports=media.ports,
        ice_servers=media.ice_servers,
    )
    hall = Hall(surroundings)
    watch = Watch(hall, doors, ingress.accounts.rooms, presence)
    ingress.metrics.registry.register(LiveMetrics(hall))
    streams = FileStreams(
        places=Places(live.max_streams, live.max_waiting_streams),
        transcriber=ingress.services.transcriber,
        follow=listener.follow,
        limits=ingress.settings.audio,
        folder=sound_path / "files",
    )
    keywords = live_keywords.keyword_desk(ingress.settings)
    await asyncio.to_thread(streams.prepare)
    recordings.open()
    hall.start()
    watch.start()
    try:
        yield LiveState(ingress, doors, hall, bus, presence, media.ice_servers, sittings, streams, keywords)
    finally:
        await keywords.close()
        await hall.close()
        await sittings.close()
        await watch.close()
        await recordings.close()
        await presence.close()
        await bus.close()
