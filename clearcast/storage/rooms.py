"""Live rooms as records: making, listing, changing and ending them, and who is invited.

What lives here: what a room is. Every method but `find` names the owner or the one who looks. What does
not: who may come in (`clearcast/accounts/room_access.py`), tokens (`room_tokens.py` there), on which node a
room lives (`room_nodes.py`), what it left behind (`room_recordings.py`), the sound (`streaming`).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, cast

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from clearcast.errors import Conflict, NotFound, OptionInvalid
from clearcast.ids import new_id
from clearcast.storage.database import Database
from clearcast.storage.tables import Room, RoomInvite, Tie, User, now
from clearcast.storage.voices import name_key

Visibility = Literal["public", "friends", "invited", "password"]
Sound = Literal["speech", "music"]
RoomState = Literal["open", "ended"]

MAX_NAME_CHARACTERS = 80
MAX_ROOMS = 200  # open ones of one owner
MAX_INVITES = 500  # of one room
_UNREADABLE = {"Cc", "Cs", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class RoomPlan:
    """How a room is to be.

    Attributes:
        password_hash: of the password that lets people in; only where `visibility` is "password".
        frame_ms: 20, or 10 for low delay.
        denoise: whether voices can be denoised here. Music never is.
        captions: whether what is said is shown as text from the beginning.
    """

    name: str
    visibility: Visibility = "friends"
    password_hash: str | None = field(default=None, repr=False)
    sound: Sound = "speech"
    frame_ms: Literal[10, 20] = 20
    denoise: bool = True
    record: bool = False
    transcribe: bool = False
    captions: bool = False


@dataclass(frozen=True, slots=True)
class RoomChange:
    """What is to change; None leaves it as it is. Sound and frames change when the room is next opened."""

    name: str | None = None
    visibility: Visibility | None = None
    password_hash: str | None = field(default=None, repr=False)
    sound: Sound | None = None
    frame_ms: Literal[10, 20] | None = None
    denoise: bool | None = None
    record: bool | None = None
    transcribe: bool | None = None
    captions: bool | None = None
    is_locked: bool | None = None


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """One row of `rooms`. `node_id` is the live node that holds it, or held it last."""

    id: str
    owner_id: str
    owner_name: str
    name: str
    visibility: Visibility
    password_hash: str | None = field(repr=False)
    sound: Sound
    frame_ms: Literal[10, 20]
    denoise: bool
    record: bool
    transcribe: bool
    captions: bool
    is_locked: bool
    state: RoomState
    node_id: str | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.state == "open"


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody who is invited, by the name or the id that the owner wrote."""

    name: str
    since: datetime


class RoomRecords:
    """The tables `rooms` and `room_invites`. Everything here blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, owner_id: str, plan: RoomPlan) -> RoomRecord:
        """Raises OptionInvalid, Conflict when an open room of the owner has the name, NotFound."""
        name = checked_name(plan.name)
        _check(plan.visibility, plan.password_hash, plan.sound, plan.denoise)
        values = {one.name: getattr(plan, one.name) for one in fields(plan)}
        row = Room(id=new_id("room"), owner_id=owner_id, **values)
        row.name, row.name_key = name, name_key(name)
        count = sa.select(sa.func.count()).where(Room.owner_id == owner_id, Room.state == "open")
        try:
            with self._database.writing() as session:
                owner = session.get(User, owner_id, with_for_update={"key_share": True})
                if owner is None:
                    raise NotFound("There is no such account.")
                if (session.scalar(count) or 0) >= MAX_ROOMS:
                    raise OptionInvalid(f"One person may have {MAX_ROOMS} open rooms.", hint="End some.")
                session.add(row)
                session.flush()
                return _record(row, owner.name)
        except IntegrityError as error:
            raise _taken() from error

    def list(self, owner_id: str, *, limit: int, after: str | None = None) -> tuple[RoomRecord, ...]:
        """The owner's rooms, ended ones too, newest first; `after` is the last one of the page before."""
        return self._page(Room.owner_id == owner_id, limit, after)

    def visible(self, user_id: str, *, limit: int, after: str | None = None) -> tuple[RoomRecord, ...]:
        """Open rooms of others that this person may enter without a password, the newest first."""
        return self._page(_is_visible_to(user_id), limit, after)

    def get(self, owner_id: str, room_id: str) -> RoomRecord:
        """Raises NotFound, also when it is somebody else's."""
        return self._one(Room.owner_id == owner_id, room_id)

    def find(self, room_id: str) -> RoomRecord:
        """Anybody's room, for those who then decide who may see it. Raises NotFound."""
        return self._one(sa.true(), room_id)

    def find_open(self, owner_id: str, name: str) -> RoomRecord | None:
        """The owner's open room of this name."""
        is_it = (Room.owner_id == owner_id, Room.name_key == name_key(name), Room.state == "open")
        found = self._page(sa.and_(*is_it), 1, None)
        return found[0] if found else None

    def change(self, owner_id: str, room_id: str, change: RoomChange) -> RoomRecord:
        """Raises NotFound, OptionInvalid, and Conflict for an ended room or a name that is taken."""
        values = {one.name: getattr(change, one.name) for one in fields(change)}
        try:
            with self._database.writing() as session:
                room, owner_name = _owned(session, owner_id, room_id)
                if room.state != "open":
                    raise Conflict("The room has ended.", hint="Make a new one.")
                for name, value in values.items():
                    if value is not None:
                        setattr(room, name, value)
                if change.name is not None:
                    room.name = checked_name(change.name)
                    room.name_key = name_key(room.name)
                if room.visibility != "password" and change.password_hash is None:
                    room.password_hash = None
                _check(room.visibility, room.password_hash, room.sound, room.denoise)
                session.flush()
                return _record(room, owner_name)
        except IntegrityError as error:
            raise _taken() from error

    def end(self, owner_id: str, room_id: str) -> RoomRecord:
        """Nobody comes in any more, and who is there is sent away. Ending it again changes nothing.

        Raises NotFound.
        """
        with self._database.writing() as session:
            room, owner_name = _owned(session, owner_id, room_id)
            if room.state == "open":
                room.state, room.ended_at = "ended", now()
            return _record(room, owner_name)

    def invite(self, owner_id: str, room_id: str, name: str, user_id: str | None) -> None:
        """Whoever is called `name` may come in while the room is for the invited.

        `user_id` is theirs, None where nobody is called so; nobody learns which. Raises NotFound for the
        room, OptionInvalid.
        """
        name = checked_name(name)
        row = RoomInvite(room_id=room_id, name_key=name_key(name), name=name, user_id=user_id)
        count = sa.select(sa.func.count()).where(RoomInvite.room_id == room_id)
        with self._database.writing() as session:
            _owned(session, owner_id, room_id)
            if (session.scalar(count) or 0) >= MAX_INVITES:
                raise OptionInvalid(f"A room may have {MAX_INVITES} invitations.", hint="Take some back.")
            session.merge(row)

    def uninvite(self, owner_id: str, room_id: str, name: str, user_id: str | None) -> None:
        """Take back what `invite` gave, be it by name or by id; one that is not there is no error.

        Raises NotFound for the room.
        """
        is_it = [RoomInvite.name_key == name_key(name)]
        if user_id is not None:
            is_it.append(RoomInvite.user_id == user_id)
        with self._database.writing() as session:
            _owned(session, owner_id, room_id)
            session.execute(sa.delete(RoomInvite).where(RoomInvite.room_id == room_id, sa.or_(*is_it)))

    def guests(self, owner_id: str, room_id: str) -> tuple[Guest, ...]:
        """Who is invited, by name. Raises NotFound."""
        query = sa.select(RoomInvite.name, RoomInvite.created_at).where(RoomInvite.room_id == room_id)
        with self._database.reading() as session:
            _owned(session, owner_id, room_id)
            rows = session.execute(query.order_by(RoomInvite.name_key))
            return tuple(Guest(name, since) for name, since in rows)

    def _one(self, condition: sa.ColumnElement[bool], room_id: str) -> RoomRecord:
        query = sa.select(Room, User.name).join(User, User.id == Room.owner_id)
        with self._database.reading() as session:
            found = session.execute(query.where(condition, Room.id == room_id)).one_or_none()
        if found is None:
            raise no_room()
        return _record(*found)

    def _page(
        self, condition: sa.ColumnElement[bool], limit: int, after: str | None
    ) -> tuple[RoomRecord, ...]:
        query = sa.select(Room, User.name).join(User, User.id == Room.owner_id).where(condition)
        if after is not None:
            query = query.where(Room.id < after)
        with self._database.reading() as session:
            rows = session.execute(query.order_by(Room.id.desc()).limit(limit)).all()
        return tuple(_record(room, name) for room, name in rows)


def checked_name(name: str) -> str:
    """The name without blanks around it. Raises OptionInvalid."""
    name = name.strip()
    readable = all(unicodedata.category(letter) not in _UNREADABLE for letter in name)
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not readable or not name_key(name):
        raise OptionInvalid(
            f"A room's name has 1 to {MAX_NAME_CHARACTERS} characters, without line breaks.", field="name"
        )
    return name


def are_friends(a_id: Any, b_id: Any) -> sa.ColumnElement[bool]:
    """A condition: both have accepted."""
    one, other = aliased(Tie), aliased(Tie)
    return sa.and_(
        sa.exists().where(one.owner_id == a_id, one.other_id == b_id, one.state == "accepted"),
        sa.exists().where(other.owner_id == b_id, other.other_id == a_id, other.state == "accepted"),
    )


def has_blocked(owner_id: Any, other_id: Any) -> sa.ColumnElement[bool]:
    """A condition: the first has blocked the second."""
    tie = aliased(Tie)
    return sa.exists().where(tie.owner_id == owner_id, tie.other_id == other_id, tie.state == "blocked")


def is_invited(room_id: Any, user_id: Any) -> sa.ColumnElement[bool]:
    """A condition: there is an invitation of the second to the first."""
    invite = aliased(RoomInvite)
    return sa.exists().where(invite.room_id == room_id, invite.user_id == user_id)


def no_room() -> NotFound:
    return NotFound("There is no such room.", hint="See GET /v1/rooms.")


def _is_visible_to(user_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        Room.owner_id != user_id,
        Room.state == "open",
        sa.not_(User.is_disabled),
        sa.not_(has_blocked(Room.owner_id, user_id)),
        sa.or_(
            Room.visibility == "public",
            sa.and_(Room.visibility == "friends", are_friends(Room.owner_id, user_id)),
            sa.and_(Room.visibility == "invited", is_invited(Room.id, user_id)),
        ),
    )


def _check(visibility: str, password_hash: str | None, sound: str, denoise: bool) -> None:
    if visibility == "password" and password_hash is None:
        raise OptionInvalid("A room of this visibility needs a password.", field="password")
    if visibility != "password" and password_hash is not None:
        raise OptionInvalid("Only a room of the visibility password has one.", field="password")
    if sound == "music" and denoise:
        raise OptionInvalid("Music is never denoised.", field="denoise", hint="Send denoise: false.")


def _owned(session: Session, owner_id: str, room_id: str) -> tuple[Room, str]:
    query = sa.select(Room, User.name).join(User, User.id == Room.owner_id)
    mine = query.where(Room.owner_id == owner_id, Room.id == room_id).with_for_update(of=Room)
    found = session.execute(mine).one_or_none()
    if found is None:
        raise no_room()
    return found[0], found[1]


def _taken() -> Conflict:
    return Conflict("You have an open room of that name.", field="name")


def _record(room: Room, owner_name: str) -> RoomRecord:
    return RoomRecord(
        id=room.id,
        owner_id=room.owner_id,
        owner_name=owner_name,
        name=room.name,
        visibility=cast(Visibility, room.visibility),
        password_hash=room.password_hash,
        sound=cast(Sound, room.sound),
        frame_ms=cast(Literal[10, 20], room.frame_ms),
        denoise=room.denoise,
        record=room.record,
        transcribe=room.transcribe,
        captions=room.captions,
        is_locked=room.is_locked,
        state=cast(RoomState, room.state),
        node_id=room.node_id,
        created_at=room.created_at,
        ended_at=room.ended_at,
    )
