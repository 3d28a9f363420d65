"""The audit log: who did what, and when. Never names, addresses, or what was said.

What lives here: adding lines and reading them. Lines outlive the people they are about, whose ids then lead
nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from clearcast.storage.database import Database
from clearcast.storage.tables import AuditLine

LOGGED_IN = "logged_in"
LOG_IN_FAILED = "log_in_failed"
LOG_IN_LOCKED = "log_in_locked"
LOGGED_OUT = "logged_out"
TOKEN_REUSED = "refresh_token_reused"  # noqa: S105 - an event's name
PASSWORD_CHANGED = "password_changed"  # noqa: S105 - an event's name
KEY_MADE = "key_made"
KEY_REVOKED = "key_revoked"
USER_MADE = "user_made"
USER_CHANGED = "user_changed"
USER_DISABLED = "user_disabled"
USER_ENABLED = "user_enabled"
ROOM_TOKEN_MADE = "room_token_made"  # noqa: S105 - an event's name
ROOM_TOKEN_REVOKED = "room_token_revoked"  # noqa: S105 - an event's name
ROOM_ERASED = "room_erased"
EXPORTED = "data_exported"
ERASURE_BEGUN = "erasure_begun"
USER_ERASED = "user_erased"


@dataclass(frozen=True, slots=True)
class Line:
    id: int
    at: datetime
    owner_id: str | None
    event: str
    facts: dict[str, Any]


def note(session: Session, event: str, owner_id: str | None, **facts: Any) -> None:
    """Add a line in the transaction of `session`: it is there when the deed is, and not otherwise."""
    session.add(AuditLine(event=event, owner_id=owner_id, facts=facts))


class AuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, owner_id: str | None, before: int | None = None, limit: int = 50) -> tuple[Line, ...]:
        """Newest first, only those older than the line `before`; of everybody when `owner_id` is None."""
        query = sa.select(AuditLine).order_by(AuditLine.id.desc()).limit(limit)
        if owner_id is not None:
            query = query.where(AuditLine.owner_id == owner_id)
        if before is not None:
            query = query.where(AuditLine.id < before)
        with self._database.reading() as session:
            rows = session.scalars(query).all()
        return tuple(Line(row.id, row.at, row.owner_id, row.event, row.facts) for row in rows)

    def note(self, event: str, owner_id: str | None, **facts: Any) -> None:
        """Add a line that belongs to no other change."""
        with self._database.writing() as session:
            note(session, event, owner_id, **facts)
