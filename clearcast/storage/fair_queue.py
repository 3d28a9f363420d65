"""Places in the fair queue: one person's thousand files do not hold up another's one.

Start-time fair queuing (Goyal, Vin and Cheng, 1996): every file gets a place, and the lowest goes first. A
person's next file comes one step after that person's last one, but never before the place that is being
served now; so people take turns, and who was away does not save up turns. A priority has its step.
What does not live here: who works through the queue (`deployments/jobs`).
"""

from __future__ import annotations

from typing import Literal, get_args

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from clearcast.storage.tables import QueueShare

Priority = Literal["high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

_STEP: dict[Priority, int] = {"high": 1, "normal": 4, "low": 16}
_SERVED = ""  # the owner of the row that holds the place being served


def take_places(session: Session, owner_id: str, priority: Priority, count: int) -> list[int]:
    """Places for `count` files of this owner, rising. The session must be writing."""
    share = _share(session, owner_id, priority)
    first = max(share.last_place, _share(session, _SERVED, "").last_place)
    places = [first + _STEP[priority] * (index + 1) for index in range(count)]
    share.last_place = places[-1] if places else first
    session.flush()
    return places


def serve_place(session: Session, place: int) -> None:
    """The file with this place is being worked on. The session must be writing."""
    served = _share(session, _SERVED, "")
    served.last_place = max(served.last_place, place)
    session.flush()


def forget_owner(session: Session, owner_id: str) -> None:
    """Drop what is known of an owner who is erased."""
    session.execute(sa.delete(QueueShare).where(QueueShare.owner_id == owner_id))


def _share(session: Session, owner_id: str, priority: str) -> QueueShare:
    """The row, made if need be, and locked until the session ends."""
    key = {"owner_id": owner_id, "priority": priority}
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = sqlite_insert(QueueShare) if is_sqlite else postgresql_insert(QueueShare)
    session.execute(insert.values(**key, last_place=0).on_conflict_do_nothing())
    return session.get_one(QueueShare, key, with_for_update=True, populate_existing=True)
