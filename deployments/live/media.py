"""The media path as the settings want it: peers, encoders, denoising.

What lives here: from settings and records to `streaming`'s parts. What does not: those parts.
"""

from __future__ import annotations

import os
from typing import Self

from aiortc import RTCIceServer, RTCPeerConnection

from clearcast.settings import Settings
from clearcast.settings_live import LiveSettings
from clearcast.storage.rooms import RoomRecord
from streaming.messages import IceServer
from streaming.opus import EncoderOptions
from streaming.peers import new_peer
from streaming.room import Room
from streaming.udp_ports import UdpPorts
from streaming.workers import DenoiseWorkers


class Media:
    """What all rooms of one node share. A context: denoising works within it.

    Attributes:
        ports: those that sound may use; None for any.
        ice_servers: STUN and TURN servers, for clients as for ourselves.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises EngineUnknown."""
        live = settings.live
        first, last = live.first_udp_port, live.last_udp_port
        self.ports = None if first is None or last is None else UdpPorts(first, last)
        self.ice_servers = _ice_servers(live)
        self._workers = DenoiseWorkers(
            live.denoise.engine,
            dict(live.denoise.options),
            settings.models_path,
            workers=live.denoise_workers or max(1, (os.cpu_count() or 1) - 1),
        )

    async def __aenter__(self) -> Self:
        """Raises what loading the engine raises."""
        await self._workers.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Rooms must have been closed."""
        await self._workers.close()

    def open_room(self, record: RoomRecord) -> Room:
        """The media path of a room; without denoising it has no stage and no delay."""
        is_denoised = record.denoise and record.sound == "speech"
        return Room(encoding(record), self._workers if is_denoised else None)

    def new_peer(self) -> RTCPeerConnection:
        """A connection of ours."""
        return new_peer(
            [
                RTCIceServer(urls=list(one.urls), username=one.username, credential=one.credential)
                for one in self.ice_servers
            ]
        )


def encoding(record: RoomRecord) -> EncoderOptions:
    """What the listeners of a room get."""
    if record.sound == "music":
        return EncoderOptions(
            channels=2, frame_ms=record.frame_ms, bitrate_bps=192_000, application="music"
        )
    if record.frame_ms == 10:
        return EncoderOptions(frame_ms=10, application="low_delay", expected_loss_percent=0)
    return EncoderOptions()


def _ice_servers(live: LiveSettings) -> tuple[IceServer, ...]:
    servers = [IceServer(urls=live.stun_urls)] if live.stun_urls else []
    if live.turn_urls:
        password = live.turn_password.get_secret_value()
        servers.append(IceServer(urls=live.turn_urls, username=live.turn_username, credential=password))
    return tuple(servers)
