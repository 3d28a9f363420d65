"""What live rooms stand in: the same for all rooms of a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiortc import RTCPeerConnection

from clearcast.storage.rooms import RoomRecord
from streaming.admission import Admission
from streaming.entry import Register
from streaming.live_text.sittings import Sittings
from streaming.messages import IceServer
from streaming.recording_keeper import RecordingKeeper
from streaming.room import Room
from streaming.room_chat import RoomChat
from streaming.udp_ports import UdpPorts


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Attributes:
    open_media: the media path of a room that opens.
    new_peer: a connection of ours.
    open_chat: the chat of a room.
    sittings: what makes text of voices.
    ports: those that sound may use; None for any.
    ice_servers: what clients are told of STUN and TURN.
    """

    keeper: RecordingKeeper
    register: Register
    admission: Admission
    open_media: Callable[[RoomRecord], Room]
    new_peer: Callable[[], RTCPeerConnection]
    open_chat: Callable[[str], RoomChat]
    sittings: Sittings
    ports: UdpPorts | None = None
    ice_servers: tuple[IceServer, ...] = ()
