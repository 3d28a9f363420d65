"""What all routes of one gateway share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from starlette.requests import HTTPConnection

from clearcast.services import Transcriber
from clearcast.settings import AudioSettings
from deployments.ingress.state import IngressState
from deployments.live.doors import Doors
from pipelines.growing import SpeechFollower
from streaming.bus import Bus
from streaming.hall import Hall
from streaming.live_keywords.desk import KeywordDesk
from streaming.live_text.places import Places
from streaming.live_text.sittings import Sittings
from streaming.messages import IceServer
from streaming.presence import Presence


@dataclass(frozen=True, slots=True)
class FileStreams:
    """What all files of a process share. Attributes:
    follow: hears speech in one recording that grows.
    folder: for what is received; whose it is alone.
    """

    places: Places
    transcriber: Transcriber
    follow: Callable[[], SpeechFollower]
    limits: AudioSettings
    folder: Path

    def prepare(self) -> None:
        """Remove what a crash left. Blocks."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)


@dataclass(frozen=True, slots=True)
class LiveState:
    ingress: IngressState
    doors: Doors
    hall: Hall
    bus: Bus
    presence: Presence
    ice_servers: tuple[IceServer, ...]
    sittings: Sittings
    streams: FileStreams
    keywords: KeywordDesk


def live_state_of(connection: HTTPConnection) -> LiveState:
    return cast(LiveState, connection.app.state.live)
