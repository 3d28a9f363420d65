"""Who may be in a live room, and as what: one rule, asked at the door and once a second for all inside.

What lives here: `role_of`, the rule, which knows no database, and `RoomAccess`, which gathers what the rule
needs in one query, be it about one visitor or a thousand. What does not: who is in a room at the moment
(`deployments/live`), and counting wrong passwords (`deployments/ingress/room_entry.py`).

Who may not even see a room gets the same NotFound as for one that does not exist.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from clearcast.accounts.passwords import Passwords
from clearcast.accounts.principal import Principal
from clearcast.accounts.room_tokens import RoomRole, RoomTokenRecord, is_good
from clearcast.accounts.scopes import covers
from clearcast.errors import Forbidden, RoomEnded, RoomLocked, RoomPasswordWrong
from clearcast.storage.database import Database
from clearcast.storage.rooms import (
    RoomRecord,
    RoomRecords,
    are_friends,
    has_blocked,
    is_invited,
    no_room,
)
from clearcast.storage.tables import ApiKey, RefreshToken, Room, RoomToken, User, now

Reason = Literal["ended", "revoked"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who comes, by which credential, and what was checked of it at the door.

    Attributes:
        user_id: None for the bearer of a room token.
        name: what the others see: the account's name, or a token's label.
        key_id, family_id, token_id: of the credential, which must go on to live: an API key, a log-in, or a
            room token.
        may_write: whether the credential's scopes allow more than listening.
        knows_password: whether the room's password was given. A new password holds for who comes later.
    """

    user_id: str | None
    name: str = ""
    key_id: str | None = None
    family_id: str | None = None
    token_id: str | None = None
    may_write: bool = True
    knows_password: bool = False

    @classmethod
    def of(cls, principal: Principal, name: str = "") -> Self:
        """Raises Forbidden for a key that has no scope for rooms."""
        if not covers(principal.scopes, ("rooms:read",)):
            raise Forbidden(
                "This key may not do that.", hint="It needs the scope rooms:read.", scope="rooms:read"
            )
        return cls(
            user_id=principal.user_id,
            name=name,
            key_id=principal.key_id,
            family_id=principal.family_id,
            may_write=covers(principal.scopes, ("rooms:write",)),
        )

    @classmethod
    def by_token(cls, token: RoomTokenRecord) -> Self:
        return cls(user_id=None, name=token.label, token_id=token.id)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rule asks about one visitor of one room.

    Attributes:
        credential_lives: neither revoked nor expired, and its bearer's account is not disabled.
        token_role: that of the room token, where the visitor has a good one for this room.
    """

    is_open: bool
    is_locked: bool
    visibility: str
    owner_is_active: bool
    credential_lives: bool
    is_owner: bool
    is_friend: bool
    is_invited: bool
    is_blocked: bool
    token_role: RoomRole | None


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody who may come in. `visitor` is what `still_allowed` wants to be asked about later."""

    room: RoomRecord
    role: RoomRole
    visitor: Visitor


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody in a room stands now. Without a role they must leave, for `reason`."""

    role: RoomRole | None
    reason: Reason | None
    is_locked: bool


def role_of(facts: Facts, visitor: Visitor) -> RoomRole | None:
    """What the visitor may do in an open room; None: not be there. The rule of `docs/rooms.md`."""
    if not facts.credential_lives or not facts.owner_is_active:
        return None
    if visitor.token_id is not None:
        return facts.token_role
    role = _role_of_person(facts, visitor)
    return "listen" if role is not None and not visitor.may_write else role


def _role_of_person(facts: Facts, visitor: Visitor) -> RoomRole | None:
    if facts.is_owner:
        return "moderate"
    if facts.is_blocked:
        return None
    if facts.visibility == "public":
        return "listen"
    comes_in = {
        "friends": facts.is_friend,
        "invited": facts.is_invited,
        "password": visitor.knows_password,
    }
    return "publish" if comes_in.get(facts.visibility, False) else None


class RoomAccess:
    """Everything here blocks."""

    def __init__(self, database: Database, passwords: Passwords | None = None) -> None:
        self._database = database
        self._rooms = RoomRecords(database)
        self._passwords = passwords or Passwords()

    def hash_password(self, password: str) -> str:
        """What is kept of a room's password. Raises OptionInvalid for one that is too short or too long."""
        return self._passwords.hash(password)

    def look(self, room_id: str, visitor: Visitor) -> RoomRecord:
        """The room, for who may see it: who may enter, or might with the password. Raises NotFound."""
        room = self._rooms.find(room_id)
        facts = self._facts({"": (room_id, visitor)}).get("")
        if facts is None or role_of(facts, replace(visitor, knows_password=True)) is None:
            raise no_room()
        return room

    def enter(
        self, room_id: str, visitor: Visitor, password: str | None = None, *, is_returning: bool = False
    ) -> Entry:
        """Let somebody in. A locked room does not keep out who `is_returning` after a moment.

        A password costs 20 ms of a core. Raises NotFound, RoomEnded, RoomPasswordWrong, RoomLocked.
        """
        room = self._rooms.find(room_id)
        facts = self._facts({"": (room_id, visitor)}).get("")
        if facts is None or role_of(facts, replace(visitor, knows_password=True)) is None:
            raise no_room()
        if not facts.is_open:
            raise RoomEnded("This room has ended.", hint="Its recordings are still there.")
        role = role_of(facts, visitor)
        if role is None:
            if password is None or not self._passwords.matches(room.password_hash, password):
                raise RoomPasswordWrong("This room asks for its password.", hint="Send it as password.")
            visitor = replace(visitor, knows_password=True)
            role = role_of(facts, visitor)
            assert role is not None
        if facts.is_locked and role != "moderate" and not is_returning:
            raise RoomLocked("Nobody new comes into this room now.", hint="Ask who runs it.")
        return Entry(room, role, visitor)

    def still_allowed(self, present: Mapping[str, tuple[str, Visitor]]) -> dict[str, Standing]:
        """How everybody stands who is in a room: participant id → (room id, visitor). One query."""
        found = self._facts(present)
        standings = {}
        for participant_id, (_, visitor) in present.items():
            facts = found.get(participant_id)
            role = None if facts is None or not facts.is_open else role_of(facts, visitor)
            reason: Reason | None = None
            if role is None:
                reason = "ended" if facts is None or not facts.is_open else "revoked"
            standings[participant_id] = Standing(role, reason, facts is not None and facts.is_locked)
        return standings

    def _facts(self, present: Mapping[str, tuple[str, Visitor]]) -> dict[str, Facts]:
        """By participant; nothing for rooms that there are not."""
        if not present:
            return {}
        asked = json.dumps(
            [
                {
                    "id": participant_id,
                    "room": room_id,
                    "user": visitor.user_id,
                    "key": visitor.key_id,
                    "login": visitor.family_id,
                    "token": visitor.token_id,
                }
                for participant_id, (room_id, visitor) in present.items()
            ]
        )
        with self._database.reading() as session:
            rows = session.execute(_query(self._database.is_sqlite), {"asked": asked, "now": now()})
            return {row.id: _read(row) for row in rows}


def _query(is_sqlite: bool) -> sa.Select[Any]:
    """One row for each visitor that `:asked`, a JSON array of them, names.

    One parameter for all of them keeps the statement the same for any number, so it is compiled once.
    """
    document: sa.BindParameter[str] = sa.bindparam("asked", type_=sa.String)
    if is_sqlite:
        visitors = sa.func.json_each(document).table_valued("value", name="visitors")
    else:
        rows = sa.func.json_array_elements(sa.cast(document, sa.JSON(none_as_null=True)))
        visitors = rows.table_valued("value", name="visitors")

    def of(name: str) -> sa.ColumnElement[str]:
        return visitors.c.value.op("->>", return_type=sa.String())(sa.literal_column(f"'{name}'"))

    owner, person = aliased(User), aliased(User)
    key_lives = sa.exists().where(
        ApiKey.id == of("key"),
        ApiKey.owner_id == of("user"),
        sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > sa.bindparam("now")),
    )
    login_lives = sa.exists().where(
        RefreshToken.family_id == of("login"),
        RefreshToken.owner_id == of("user"),
        RefreshToken.revoked_at.is_(None),
        RefreshToken.expires_at > sa.bindparam("now"),
    )
    token_role = (
        sa.select(RoomToken.role)
        .where(RoomToken.id == of("token"), RoomToken.room_id == Room.id, is_good())
        .scalar_subquery()
    )
    return (
        sa.select(
            of("id").label("id"),
            (Room.state == "open").label("is_open"),
            Room.is_locked,
            Room.visibility,
            sa.not_(owner.is_disabled).label("owner_is_active"),
            of("token").label("token"),
            token_role.label("token_role"),
            sa.and_(
                person.is_disabled.is_(False),
                sa.or_(of("key").is_(None), key_lives),
                sa.or_(of("login").is_(None), login_lives),
            ).label("person_lives"),
            (Room.owner_id == of("user")).label("is_owner"),
            are_friends(Room.owner_id, of("user")).label("is_friend"),
            is_invited(Room.id, of("user")).label("is_invited"),
            has_blocked(Room.owner_id, of("user")).label("is_blocked"),
        )
        .select_from(visitors)
        .join(Room, Room.id == of("room"))
        .join(owner, owner.id == Room.owner_id)
        .outerjoin(person, person.id == of("user"))
    )


def _read(row: Any) -> Facts:
    return Facts(
        is_open=row.is_open,
        is_locked=row.is_locked,
        visibility=row.visibility,
        owner_is_active=row.owner_is_active,
        credential_lives=bool(row.person_lives) if row.token is None else row.token_role is not None,
        is_owner=bool(row.is_owner),
        is_friend=row.is_friend,
        is_invited=row.is_invited,
        is_blocked=row.is_blocked,
        token_role=row.token_role,
    )
