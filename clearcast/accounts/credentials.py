"""Reading credentials: an API key, an access token or a page's cookie becomes a `Principal`.

What lives here: recognising them, with a memory of a few seconds so that most requests ask no database.
What does not: where in a request a credential stands (`deployments/ingress/access.py`).
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta

import sqlalchemy as sa

from clearcast.accounts.api_keys import KEY_PREFIX
from clearcast.accounts.principal import Principal, PrincipalCache
from clearcast.accounts.scopes import EVERYTHING
from clearcast.accounts.tokens import Claims, Tokens, digest_of
from clearcast.errors import ServiceUnavailable
from clearcast.storage.database import Database
from clearcast.storage.tables import ApiKey, User, now

logger = logging.getLogger(__name__)

LAST_USED_STEP = timedelta(minutes=1)
_MAX_CHARACTERS = 4096


class Credentials:
    def __init__(self, database: Database, tokens: Tokens, cache: PrincipalCache) -> None:
        self._database = database
        self._tokens = tokens
        self._cache = cache

    def remembered(self, credential: str) -> Principal | None:
        """As `look_up`, from memory: never blocks, and None also when it has to be looked up."""
        principal = self._cache.get(_digest(credential))
        return None if principal is None or principal.is_expired() else principal

    def look_up(self, credential: str) -> Principal | None:
        """Who sent this, or None when nobody may use it (any more). Blocks."""
        if len(credential) > _MAX_CHARACTERS:
            return None
        generation = self._cache.generation
        if credential.startswith(KEY_PREFIX):
            principal = self._of_key(credential)
        else:
            claims = self._tokens.claims(credential)
            principal = None if claims is None else self._of_claims(claims)
        if principal is None or principal.is_expired():
            return None
        self._cache.put(_digest(credential), principal, generation)
        return principal

    def _of_key(self, key: str) -> Principal | None:
        query = (
            sa.select(ApiKey, User)
            .join(User, User.id == ApiKey.owner_id)
            .where(ApiKey.sha256 == digest_of(key), sa.not_(User.is_disabled))
        )
        with self._database.reading() as session:
            found = session.execute(query).one_or_none()
        if found is None:
            return None
        row, user = found
        if row.last_used_at is None or row.last_used_at < now() - LAST_USED_STEP:
            self._touch(row.id)
        return Principal(
            user_id=user.id,
            is_admin=user.is_admin,
            scopes=frozenset(row.scopes),
            kind="key",
            key_id=row.id,
            expires_at=row.expires_at,
        )

    def _of_claims(self, claims: Claims) -> Principal | None:
        with self._database.reading() as session:
            user = session.get(User, claims.user_id)
            if user is None or user.is_disabled:
                return None
            if not self._tokens.is_open(session, claims.user_id, claims.family_id):
                return None
        return Principal(
            user_id=user.id,
            is_admin=user.is_admin,
            scopes=frozenset({EVERYTHING}),
            kind="token" if claims.audience == "api" else "page",
            family_id=claims.family_id,
            expires_at=claims.expires_at,
        )

    def _touch(self, key_id: str) -> None:
        due = sa.or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now() - LAST_USED_STEP)
        try:
            with self._database.writing() as session:
                session.execute(
                    sa.update(ApiKey).where(ApiKey.id == key_id, due).values(last_used_at=now())
                )
        except ServiceUnavailable:
            # A database that can be read but not written is no reason to turn a good key away.
            logger.warning("last use of a key not written", extra={"key_id": key_id})


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
