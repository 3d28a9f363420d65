"""Friends: asked, accepted, removed, blocked.

Nobody learns from an answer whether a name exists or whether its bearer blocked them: asking, removing and
blocking give the same answer for a stranger's name, a blocker's name and no name at all. For that reason
requests that one has sent are not listed either.

Each row of `ties` is what one person says of another; two are friends when both say "accepted".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from clearcast.accounts.users import find_user
from clearcast.errors import Conflict, NotFound, OptionInvalid
from clearcast.storage.database import Database
from clearcast.storage.tables import Tie, User

REQUESTED = "requested"
ACCEPTED = "accepted"
BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Acquaintance:
    id: str
    name: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Circle:
    """Attributes:
    friends: both have accepted.
    asking: those who wait for this person's answer.
    blocked: those whom this person has blocked.
    """

    friends: tuple[Acquaintance, ...]
    asking: tuple[Acquaintance, ...]
    blocked: tuple[Acquaintance, ...]


class Friends:
    def __init__(self, database: Database) -> None:
        self._database = database

    def circle(self, owner_id: str) -> Circle:
        mine, theirs = aliased(Tie), aliased(Tie)
        pair = sa.and_(theirs.owner_id == User.id, theirs.other_id == owner_id)
        own = sa.and_(mine.owner_id == owner_id, mine.other_id == User.id)
        query = (
            sa.select(User.id, User.name, mine, theirs)
            .outerjoin(mine, own)
            .outerjoin(theirs, pair)
            .where(User.id.in_(_known_to(owner_id)))
            .order_by(User.name_key)
        )
        friends, asking, blocked = [], [], []
        with self._database.reading() as session:
            for user_id, name, said, heard in session.execute(query):
                state = said.state if said is not None else None
                other = heard.state if heard is not None else None
                if state == BLOCKED:
                    blocked.append(Acquaintance(user_id, name, said.created_at))
                elif state == ACCEPTED and other == ACCEPTED:
                    since = max(said.created_at, heard.created_at)
                    friends.append(Acquaintance(user_id, name, since))
                elif other == REQUESTED:
                    asking.append(Acquaintance(user_id, name, heard.created_at))
        return Circle(tuple(friends), tuple(asking), tuple(blocked))

    def request(self, owner_id: str, name: str) -> None:
        """Ask somebody to be friends; who asks back thereby accepts.

        Raises OptionInvalid for oneself, Conflict for somebody whom one has blocked oneself.
        """
        with self._database.writing() as session:
            other_id = _other(session, owner_id, name)
            if other_id is None:
                return
            mine, theirs = _tie(session, owner_id, other_id), _tie(session, other_id, owner_id)
            if mine is not None and mine.state == BLOCKED:
                raise Conflict("You have blocked this person.", hint="Unblock them first.")
            if mine is not None and mine.state == ACCEPTED:
                return
            if theirs is not None and theirs.state == REQUESTED:
                _say(session, owner_id, other_id, ACCEPTED)
                _say(session, other_id, owner_id, ACCEPTED)
            else:
                _say(session, owner_id, other_id, REQUESTED)

    def accept(self, owner_id: str, name: str) -> None:
        """Become friends with somebody who asked. Raises NotFound when they did not."""
        with self._database.writing() as session:
            other_id = _other(session, owner_id, name)
            mine = None if other_id is None else _tie(session, owner_id, other_id)
            theirs = None if other_id is None else _tie(session, other_id, owner_id)
            is_friend = mine is not None and mine.state == ACCEPTED
            if (
                other_id is None
                or theirs is None
                or theirs.state not in ({REQUESTED, ACCEPTED} if is_friend else {REQUESTED})
                or (mine is not None and mine.state == BLOCKED)
            ):
                raise NotFound("This person has not asked to be your friend.")
            _say(session, owner_id, other_id, ACCEPTED)
            _say(session, other_id, owner_id, ACCEPTED)

    def remove(self, owner_id: str, name: str) -> None:
        """Undo a friendship, or a request in either direction; blocks stay."""
        with self._database.writing() as session:
            other_id = _other(session, owner_id, name)
            if other_id is not None:
                _unsay(session, owner_id, other_id)
                _unsay(session, other_id, owner_id)

    def block(self, owner_id: str, name: str) -> None:
        """Neither be friends with somebody nor hear their requests."""
        with self._database.writing() as session:
            other_id = _other(session, owner_id, name)
            if other_id is not None:
                _unsay(session, other_id, owner_id)
                _say(session, owner_id, other_id, BLOCKED)

    def unblock(self, owner_id: str, name: str) -> None:
        with self._database.writing() as session:
            other_id = _other(session, owner_id, name)
            if other_id is not None:
                session.execute(
                    sa.delete(Tie).where(
                        Tie.owner_id == owner_id, Tie.other_id == other_id, Tie.state == BLOCKED
                    )
                )


def are_friends(database: Database, a_id: str, b_id: str) -> bool:
    """Whether these two have both accepted."""
    both = sa.or_(
        sa.and_(Tie.owner_id == a_id, Tie.other_id == b_id),
        sa.and_(Tie.owner_id == b_id, Tie.other_id == a_id),
    )
    query = sa.select(sa.func.count()).select_from(Tie).where(both, Tie.state == ACCEPTED)
    with database.reading() as session:
        return session.scalar(query) == 2


def _other(session: Session, owner_id: str, name: str) -> str | None:
    user = find_user(session, name)
    if user is None:
        return None
    if user.id == owner_id:
        raise OptionInvalid("This is you.", field="name")
    # One change between two people at a time: else a request could undo a block made at the same moment.
    both = sa.select(User.id).where(User.id.in_((owner_id, user.id))).order_by(User.id)
    session.execute(both.with_for_update(key_share=True))
    return user.id


def _known_to(owner_id: str) -> sa.CompoundSelect[tuple[str]]:
    """Ids of all of whom this person has said something, or who have of them."""
    return sa.union(
        sa.select(Tie.other_id).where(Tie.owner_id == owner_id),
        sa.select(Tie.owner_id).where(Tie.other_id == owner_id),
    )


def _tie(session: Session, owner_id: str, other_id: str) -> Tie | None:
    return session.get(Tie, (owner_id, other_id))


def _say(session: Session, owner_id: str, other_id: str, state: str) -> None:
    tie = _tie(session, owner_id, other_id)
    if tie is None:
        session.add(Tie(owner_id=owner_id, other_id=other_id, state=state))
    else:
        tie.state = state


def _unsay(session: Session, owner_id: str, other_id: str) -> None:
    tie = _tie(session, owner_id, other_id)
    if tie is not None and tie.state != BLOCKED:
        session.delete(tie)
