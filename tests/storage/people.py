"""Owners for the tests of records."""

from __future__ import annotations

from clearcast.storage.database import Database
from clearcast.storage.tables import User


def add_user(database: Database, name: str, quota_bytes: int | None = None) -> str:
    """The id of a new account, which is its name."""
    with database.writing() as session:
        session.add(User(id=name, name=name, name_key=name, password_hash=None, quota_bytes=quota_bytes))
    return name
