"""API keys: kept as digests; the key itself is shown once and never stored.

What lives here: making, listing and revoking keys. What does not: recognising them (`credentials.py`).

A key holds 256 random bits, so one round of SHA-256 protects it: there is nothing to guess by trying
(slow hashes such as Argon2 are for passwords).
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from clearcast.accounts import audit
from clearcast.accounts.principal import PrincipalCache
from clearcast.accounts.scopes import EVERYTHING, checked
from clearcast.accounts.tokens import digest_of
from clearcast.errors import NotFound, OptionInvalid
from clearcast.ids import new_id
from clearcast.storage.database import Database
from clearcast.storage.tables import ApiKey, User, now

KEY_PREFIX = "cc_"
MAX_LABEL_CHARACTERS = 100
MAX_KEYS = 200  # of one person
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key without knowing the key. `id` names it in lists and for `revoke`."""

    id: str
    owner_id: str
    label: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ApiKeys:
    def __init__(self, database: Database, cache: PrincipalCache | None = None) -> None:
        self._database = database
        self._cache = cache or PrincipalCache()

    def create(
        self,
        owner_id: str,
        label: str = "",
        scopes: Iterable[str] = (EVERYTHING,),
        expires_at: datetime | None = None,
    ) -> tuple[KeyRecord, str]:
        """A new key, which cannot be had again, and its record. Raises OptionInvalid, NotFound."""
        key = KEY_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).rstrip(b"=").decode()
        label = label.strip()
        if len(label) > MAX_LABEL_CHARACTERS or not label.isprintable():
            raise OptionInvalid(f"A label has up to {MAX_LABEL_CHARACTERS} characters.", field="label")
        if expires_at is not None and expires_at <= now():
            raise OptionInvalid("The key would have expired already.", field="expires_at")
        row = ApiKey(
            id=new_id("key"),
            owner_id=owner_id,
            sha256=digest_of(key),
            label=label,
            scopes=list(checked(scopes)),
            expires_at=expires_at,
        )
        count = sa.select(sa.func.count()).select_from(ApiKey).where(ApiKey.owner_id == owner_id)
        with self._database.writing() as session:
            if session.get(User, owner_id) is None:
                raise NotFound("There is no such person.")
            if (session.scalar(count) or 0) >= MAX_KEYS:
                raise OptionInvalid(f"One person may have {MAX_KEYS} keys.", hint="Revoke some.")
            session.add(row)
            session.flush()
            audit.note(session, audit.KEY_MADE, owner_id, key_id=row.id)
            return _record(row), key

    def list(self, owner_id: str) -> tuple[KeyRecord, ...]:
        """This person's keys, oldest first."""
        query = sa.select(ApiKey).where(ApiKey.owner_id == owner_id).order_by(ApiKey.id)
        with self._database.reading() as session:
            return tuple(_record(row) for row in session.scalars(query))

    def list_all(self) -> tuple[tuple[str, KeyRecord], ...]:
        """Everybody's keys with the names of their owners, oldest first: for the server's operator."""
        query = sa.select(User.name, ApiKey).join(User, User.id == ApiKey.owner_id).order_by(ApiKey.id)
        with self._database.reading() as session:
            return tuple((name, _record(row)) for name, row in session.execute(query))

    def owner_of(self, key_id: str) -> str:
        """The id of the person whose key this is: for the server's operator. Raises NotFound."""
        with self._database.reading() as session:
            row = session.get(ApiKey, key_id)
        if row is None:
            raise _no_key(key_id)
        return row.owner_id

    def revoke(self, owner_id: str, key_id: str) -> None:
        """Make a key worthless from now on. Raises NotFound."""
        with self._database.writing() as session:
            gone = session.scalar(
                sa.delete(ApiKey)
                .where(ApiKey.id == key_id, ApiKey.owner_id == owner_id)
                .returning(ApiKey.id)
            )
            if gone is None:
                raise _no_key(key_id)
            audit.note(session, audit.KEY_REVOKED, owner_id, key_id=key_id)
        self._cache.forget(owner_id)


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"There is no key {key_id[:64]!r}.", hint="List them: clearcast keys list")


def _record(row: ApiKey) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        owner_id=row.owner_id,
        label=row.label,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
