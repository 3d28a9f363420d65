"""Who comes into a room, what the room is, and the seams to where both are kept.

What lives here: `RoomPlan`, `Pass`, and the Protocols of doorkeeper and register. What does not: the rules
of entry and the records (`clearcast`), what happens inside (`live_room`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from streaming.messages import Role

_RANK: dict[Role, int] = {"listen": 0, "publish": 1, "moderate": 2}


@dataclass(frozen=True, slots=True)
class RoomPlan:
    """What a room was made to be: the fields of `docs/rooms.md`, "A room"."""

    id: str
    owner_id: str
    name: str
    visibility: Literal["public", "friends", "invited", "password"] = "friends"
    sound: Literal["speech", "music"] = "speech"
    frame_ms: Literal[10, 20] = 20
    denoise: bool = False
    record: bool = False
    transcribe: bool = False
    is_locked: bool = False
    state: Literal["open", "ended"] = "open"


@dataclass(frozen=True, slots=True)
class Pass:
    """What lets somebody in. Attributes:
    person: whose it is, the same over all of their connections: an id of a user or of a room token.
    grounds: what the doorkeeper needs to tell whether it still holds; nobody else looks inside.
    """

    person: str
    name: str
    role: Role
    grounds: object = None

    def reaches(self, role: Role) -> bool:
        """Whether its bearer may do what this role may."""
        return _RANK[self.role] >= _RANK[role]


class Doorkeeper(Protocol):
    """Knows credentials."""

    async def admit(
        self, room_id: str, credential: str | None, *, password: str | None = None, name: str | None = None
    ) -> tuple[RoomPlan, Pass]:
        """The room and what its visitor may do there.

        Raises Unauthenticated, Forbidden, NotFound, RoomElsewhere.
        """


class Register(Protocol):
    """Keeps what is changed from inside a room."""

    async def set_locked(self, room_id: str, is_locked: bool) -> None: ...

    async def end(self, room_id: str) -> None: ...
