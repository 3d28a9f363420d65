"""Somebody in a room, and the connections that carry his sound.

What lives here: their state. What does not: what changes it (`live_room`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field

from aiortc import RTCPeerConnection

from clearcast.errors import Forbidden
from clearcast.ids import new_id
from streaming.entry import Pass
from streaming.listeners import OutTrack
from streaming.messages import Message, ParticipantChanged, ParticipantView, Role
from streaming.outbox import Outbox


@dataclass(slots=True, eq=False)
class Line:
    """A connection that carries sound one way. Attributes:
    track: what it plays, for a listener.
    opened_s: on the clock of `time.monotonic`.
    """

    peer: RTCPeerConnection
    track: OutTrack | None = None
    opened_s: float = field(default_factory=time.monotonic)

    @property
    def is_up(self) -> bool:
        """Whether it carries sound, or may do so soon."""
        return self.peer.connectionState in {"new", "connecting", "connected"}

    @property
    def is_waiting(self) -> bool:
        """Whether it does not stand yet."""
        return self.peer.connectionState in {"new", "connecting"}


@dataclass(slots=True, eq=False)
class Participant:
    """Attributes:
    entry: what let him in; anew with every resume.
    id: also the name of his voice.
    resume: lets him come back as the same one.
    outbox: of his socket; None while it is broken, and for those who came by WHIP or WHEP.
    is_bare: came by WHIP or WHEP: he goes with his line.
    voice, ear: the lines he speaks and hears on.
    negotiation: one offer at a time.
    lost_s: since when his socket is broken, on the clock of `time.monotonic`.
    voice_lost_s: since when his voice has no line, though he did not stop.
    """

    entry: Pass
    is_bare: bool = False
    id: str = field(default_factory=lambda: new_id("p"))
    resume: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    outbox: Outbox | None = None
    voice: Line | None = None
    ear: Line | None = None
    negotiation: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_denoised: bool = False
    denoise_failed: bool = False
    is_muted: bool = False
    is_silenced: bool = False  # muted by a moderator, which he cannot undo
    is_gone: bool = False
    lost_s: float | None = None
    voice_lost_s: float | None = None

    @property
    def is_publishing(self) -> bool:
        return self.voice is not None and self.voice.is_up

    @property
    def is_listening(self) -> bool:
        return self.ear is not None and self.ear.is_up

    def need(self, role: Role) -> None:
        """Raises Forbidden for who may not do what this role may."""
        if not self.entry.reaches(role):
            raise Forbidden("You may not do that in this room.", hint=f"It needs the role {role}.")

    def need_to_be(self, person: str) -> None:
        """Raises Forbidden for everybody else."""
        if self.entry.person != person:
            raise Forbidden("Only the room's owner may do that.")

    def tell(self, message: Message) -> None:
        """Send him this, if he has a socket. Never waits."""
        if self.outbox is not None:
            self.outbox.put(message)

    def view(self) -> ParticipantView:
        return ParticipantView(
            id=self.id,
            name=self.entry.name,
            role=self.entry.role,
            is_publishing=self.is_publishing,
            is_listening=self.is_listening,
            is_denoised=self.is_denoised,
            is_muted=self.is_muted,
            denoise_failed=self.denoise_failed,
        )

    def changed(self) -> ParticipantChanged:
        return ParticipantChanged(**self.view().model_dump())
