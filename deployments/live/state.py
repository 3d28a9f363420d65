"""What all routes of one gateway share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from deployments.ingress.state import IngressState
from deployments.live.doors import Doors
from streaming.bus import Bus
from streaming.hall import Hall
from streaming.live_text.sittings import Sittings
from streaming.messages import IceServer
from streaming.presence import Presence


@dataclass(frozen=True, slots=True)
class LiveState:
    ingress: IngressState
    doors: Doors
    hall: Hall
    bus: Bus
    presence: Presence
    ice_servers: tuple[IceServer, ...]
    sittings: Sittings


def live_state_of(connection: HTTPConnection) -> LiveState:
    return cast(LiveState, connection.app.state.live)
