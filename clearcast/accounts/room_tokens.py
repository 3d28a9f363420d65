"""Room tokens: they let people and programs without an account into one room, for minutes to hours.

What lives here: making, listing, revoking and recognising them. Only digests are stored; one that has ended
is forgotten when its room gets another. What does not: what a role may do (`room_access.py`).
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from clearcast.accounts import audit
from clearcast.accounts.tokens import digest_of
from clearcast.errors import Conflict, NotFound, OptionInvalid
from clearcast.ids import new_id
from clearcast.storage.database import Database
from clearcast.storage.rooms import no_room
from clearcast.storage.tables import Room, RoomToken, User, now

RoomRole = Literal["listen", "publish", "moderate"]

TOKEN_PREFIX = "rt_"  # noqa: S105 - the beginning of all of them
MAX_LABEL_CHARACTERS = 80  # the name of a bearer who gives none
MAX_TOKENS = 200  # of one room
MIN_S, MAX_S = 60, 24 * 3600
_BYTES = 32


@dataclass(frozen=True, slots=True)
class RoomTokenRecord:
    """What is known of a token without knowing the token."""

    id: str
    room_id: str
    owner_id: str
    role: RoomRole
    label: str
    created_at: datetime
    expires_at: datetime


class RoomTokens:
    """Everything here blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, owner_id: str, room_id: str, role: RoomRole, *, lasts_s: int, label: str = ""
    ) -> tuple[RoomTokenRecord, str]:
        """A token, which cannot be had again, and its record.

        Raises OptionInvalid, NotFound for the room, Conflict when it has ended.
        """
        label = label.strip()
        if len(label) > MAX_LABEL_CHARACTERS or not label.isprintable():
            raise OptionInvalid(f"A label has up to {MAX_LABEL_CHARACTERS} characters.", field="label")
        if not MIN_S <= lasts_s <= MAX_S:
            raise OptionInvalid(f"A token lasts {MIN_S} to {MAX_S} seconds.", field="lasts_s")
        token = TOKEN_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).rstrip(b"=").decode()
        row = RoomToken(
            id=new_id("rtk"),
            room_id=room_id,
            owner_id=owner_id,
            sha256=digest_of(token),
            role=role,
            label=label,
            created_at=now(),
            expires_at=now() + timedelta(seconds=lasts_s),
        )
        with self._database.writing() as session:
            if _owned(session, owner_id, room_id).state != "open":
                raise Conflict("The room has ended.", hint="Make a new one.")
            ended = sa.or_(RoomToken.expires_at <= now(), RoomToken.revoked_at.is_not(None))
            session.execute(sa.delete(RoomToken).where(RoomToken.room_id == room_id, ended))
            count = sa.select(sa.func.count()).where(RoomToken.room_id == room_id)
            if (session.scalar(count) or 0) >= MAX_TOKENS:
                raise OptionInvalid(f"A room may have {MAX_TOKENS} tokens.", hint="Revoke some.")
            session.add(row)
            session.flush()
            audit.note(session, audit.ROOM_TOKEN_MADE, owner_id, token_id=row.id, room_id=room_id)
            return _record(row), token

    def list(self, owner_id: str, room_id: str) -> tuple[RoomTokenRecord, ...]:
        """Those that let somebody in, oldest first. Raises NotFound for the room."""
        query = sa.select(RoomToken).where(
            RoomToken.owner_id == owner_id, RoomToken.room_id == room_id, is_good()
        )
        with self._database.reading() as session:
            _owned(session, owner_id, room_id)
            return tuple(_record(row) for row in session.scalars(query.order_by(RoomToken.id)))

    def revoke(self, owner_id: str, room_id: str, token_id: str) -> None:
        """It lets nobody in any more, and who is there by it is sent away. Raises NotFound."""
        with self._database.writing() as session:
            revoked = session.scalar(
                sa.update(RoomToken)
                .where(
                    RoomToken.owner_id == owner_id,
                    RoomToken.room_id == room_id,
                    RoomToken.id == token_id,
                    is_good(),
                )
                .values(revoked_at=now())
                .returning(RoomToken.id)
            )
            if revoked is None:
                raise NotFound("There is no such room token.")
            audit.note(session, audit.ROOM_TOKEN_REVOKED, owner_id, token_id=token_id, room_id=room_id)

    def look_up(self, token: str) -> RoomTokenRecord | None:
        """Whom this token lets in where, or None when nobody (any more)."""
        if not token.startswith(TOKEN_PREFIX):
            return None
        query = (
            sa.select(RoomToken)
            .join(User, User.id == RoomToken.owner_id)
            .where(RoomToken.sha256 == digest_of(token), is_good(), sa.not_(User.is_disabled))
        )
        with self._database.reading() as session:
            row = session.scalar(query)
            return None if row is None else _record(row)


def is_good() -> sa.ColumnElement[bool]:
    """A condition on a token: neither revoked nor expired."""
    return sa.and_(RoomToken.revoked_at.is_(None), RoomToken.expires_at > now())


def _owned(session: Session, owner_id: str, room_id: str) -> Room:
    query = sa.select(Room).where(Room.owner_id == owner_id, Room.id == room_id)
    room = session.scalar(query.with_for_update(key_share=True))
    if room is None:
        raise no_room()
    return room


def _record(row: RoomToken) -> RoomTokenRecord:
    return RoomTokenRecord(
        id=row.id,
        room_id=row.room_id,
        owner_id=row.owner_id,
        role=cast(RoomRole, row.role),
        label=row.label,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
