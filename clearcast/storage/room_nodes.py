"""On which live node a room lives: a lease in SQL, kept alive by the node's heartbeat.

What lives here: taking a room, giving it back, being heard of. These are the nodes' own doings, so no query
names an owner. What does not: moving people from one node to another (`deployments/live`).

A node that was not heard of for `LOST_S` has lost its rooms to whoever asks for them. One that was only
slow learns that from the next `seen`, whose answer names the rooms that are still its own. The clocks of
all nodes must agree within a second or so.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import CursorResult

from clearcast.storage.database import Database
from clearcast.storage.rooms import no_room
from clearcast.storage.tables import LiveNode, Room, now

SEEN_EVERY_S = 1.0
LOST_S = 6.0
FORGOTTEN_S = 86400.0  # so long the row of a lost node stays


@dataclass(frozen=True, slots=True)
class Holder:
    """The node that holds a room, and where it is reached."""

    node_id: str
    url: str


class RoomNodes:
    """The table `live_nodes` and who holds which room. Everything here blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, node_id: str, url: str) -> Set[str]:
        """This node lives, and is reached at `url`. Call it every `SEEN_EVERY_S`.

        Gives the ids of the open rooms that it holds; one that it thought its own and is not among them has
        moved, or ended.
        """
        moment = now()
        with self._database.writing() as session:
            session.merge(LiveNode(id=node_id, url=url, seen_at=moment))
            forgotten = LiveNode.seen_at < moment - timedelta(seconds=FORGOTTEN_S)
            session.execute(sa.delete(LiveNode).where(forgotten))
            held = sa.select(Room.id).where(Room.node_id == node_id, Room.state == "open")
            return frozenset(session.scalars(held))

    def claim(self, room_id: str, node_id: str) -> Holder | None:
        """Take the room for this node: None when it is its own from now on, else who holds it.

        Raises NotFound when there is no such room, or it has ended.
        """
        alive = sa.select(LiveNode.id).where(_is_alive(now()))
        is_free = sa.or_(Room.node_id.is_(None), Room.node_id == node_id, Room.node_id.not_in(alive))
        with self._database.writing() as session:
            take = sa.update(Room).where(Room.id == room_id, Room.state == "open", is_free)
            taken = cast(CursorResult[Any], session.execute(take.values(node_id=node_id)))
            if taken.rowcount:
                return None
            query = (
                sa.select(LiveNode.id, LiveNode.url)
                .join(Room, Room.node_id == LiveNode.id)
                .where(Room.id == room_id, Room.state == "open")
            )
            found = session.execute(query).one_or_none()
        if found is None:
            raise no_room()
        return Holder(*found)

    def release(self, room_id: str, node_id: str) -> None:
        """Nobody is in the room any more. Does nothing when it is another node's."""
        with self._database.writing() as session:
            mine = sa.update(Room).where(Room.id == room_id, Room.node_id == node_id)
            session.execute(mine.values(node_id=None))

    def gone(self, node_id: str) -> None:
        """This node stops: its rooms are free at once."""
        with self._database.writing() as session:
            session.execute(sa.update(Room).where(Room.node_id == node_id).values(node_id=None))
            session.execute(sa.delete(LiveNode).where(LiveNode.id == node_id))

    def holder(self, room_id: str) -> Holder | None:
        """Who holds the room now; None when it is free."""
        query = (
            sa.select(LiveNode.id, LiveNode.url)
            .join(Room, Room.node_id == LiveNode.id)
            .where(Room.id == room_id, Room.state == "open", _is_alive(now()))
        )
        with self._database.reading() as session:
            found = session.execute(query).one_or_none()
        return None if found is None else Holder(*found)

    def urls(self) -> dict[str, str]:
        """Where each living node is reached, by its id."""
        with self._database.reading() as session:
            return {
                node.id: node.url for node in session.scalars(sa.select(LiveNode).where(_is_alive(now())))
            }


def _is_alive(moment: datetime) -> sa.ColumnElement[bool]:
    return LiveNode.seen_at > moment - timedelta(seconds=LOST_S)
