"""The door of live rooms: credentials in, who may be what out; and which node a room lives on.

What lives here: `streaming`'s Protocols over accounts and records. What does not: the rule of who may come
in (`clearcast/accounts/room_access.py`), what happens inside (`streaming`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from clearcast.accounts.room_access import Visitor
from clearcast.errors import RoomElsewhere
from clearcast.storage.room_nodes import RoomNodes
from clearcast.storage.rooms import RoomChange, RoomRecord, RoomRecords
from deployments.ingress.room_entry import enter_room, visitor_of
from deployments.ingress.state import IngressState
from streaming.chat_text import clean_name
from streaming.entry import Pass, Visit


class Doors:
    """`streaming.entry.Doorkeeper` and `Register` of one node.

    Attributes:
        node_id: this node's name in the records.
        url: where clients reach it.
    """

    def __init__(self, state: IngressState, node_id: str) -> None:
        self.node_id = node_id
        self.url = state.settings.live.url
        self.rooms = RoomRecords(state.database)
        self.nodes = RoomNodes(state.database)
        self._state = state

    async def admit(self, visit: Visit) -> tuple[RoomRecord, Pass]:
        """As `Doorkeeper.admit`. Claims the room for this node."""
        visitor = await self.visitor(visit.credential, visit.name)
        entry = await enter_room(
            self._state, visit.room_id, visitor, visit.password, is_returning=visit.is_returning
        )
        holder = await asyncio.to_thread(self.nodes.claim, visit.room_id, self.node_id)
        if holder is not None:
            raise RoomElsewhere("The room lives on another node.", url=holder.url)
        return entry.room, Pass(person_of(visitor), visitor.name, entry.role, entry.visitor)

    async def visitor(self, credential: str | None, chosen_name: str | None = None) -> Visitor:
        """Whose credential this is. Bearers of room tokens may choose their name.

        Raises Unauthenticated, Forbidden, RateLimited.
        """
        visitor = await visitor_of(self._state, credential)
        if visitor.user_id is not None:
            return visitor
        return replace(visitor, name=clean_name(chosen_name) if chosen_name else visitor.name or "Guest")

    async def set_locked(self, room: RoomRecord, is_locked: bool) -> None:
        await asyncio.to_thread(self.rooms.change, room.owner_id, room.id, RoomChange(is_locked=is_locked))

    async def end(self, room: RoomRecord) -> None:
        await asyncio.to_thread(self.rooms.end, room.owner_id, room.id)

    async def release(self, room_id: str) -> None:
        await asyncio.to_thread(self.nodes.release, room_id, self.node_id)


def person_of(visitor: Visitor) -> str:
    """The same for all connections of one account, or by one room token."""
    person = visitor.user_id or visitor.token_id
    assert person is not None
    return person
