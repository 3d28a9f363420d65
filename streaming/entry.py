"""Who comes into a room, and the seams to those who know and keep what a room is.

What lives here: `Pass` and the Protocols. What does not: the rules of entry and the records (`clearcast`),
what happens inside (`live_room`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from clearcast.storage.rooms import RoomRecord
from streaming.messages import Role

_RANK: dict[Role, int] = {"listen": 0, "publish": 1, "moderate": 2}


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


@dataclass(frozen=True, slots=True)
class Visit:
    """How somebody asks to come in. Attributes:
    name: what a bearer of a room token wants to be called.
    is_returning: was there a moment ago, so that a lock does not keep him out.
    """

    room_id: str
    credential: str | None
    password: str | None = None
    name: str | None = None
    is_returning: bool = False


class Doorkeeper(Protocol):
    """Knows credentials."""

    async def admit(self, visit: Visit) -> tuple[RoomRecord, Pass]:
        """The room, which lives here from now on, and what its visitor may do there.

        Raises Unauthenticated, AccessError, NotFound, RoomEnded, RoomElsewhere, RateLimited.
        """


class Register(Protocol):
    """Keeps what is changed from inside a room."""

    async def set_locked(self, room: RoomRecord, is_locked: bool) -> None: ...

    async def end(self, room: RoomRecord) -> None: ...

    async def release(self, room_id: str) -> None:
        """The room is not open here any more; any node may have it."""
