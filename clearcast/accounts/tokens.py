"""Log-ins: short access tokens, rotating refresh tokens, one-time codes, and a cookie for pages.

A log-in is a family of refresh tokens, each of which works once. One that comes a second time was stolen
from somebody, so its whole family ends (RFC 9700 §4.14.2). Access tokens and cookies are signed (JWT,
HS256) and name their family; they end with it. Only digests of refresh tokens and codes are stored.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import jwt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from clearcast.accounts import audit
from clearcast.accounts.principal import PrincipalCache
from clearcast.accounts.users import Users, end_log_ins, hold_log_ins
from clearcast.errors import NotFound, Unauthenticated
from clearcast.ids import new_id
from clearcast.settings import AccountSettings
from clearcast.storage.database import Database
from clearcast.storage.tables import OneTimeCode, RefreshToken, User, now

ISSUER = "clearcast"
CODE_S = 600
_ALGORITHM = "HS256"
_BYTES = 32

Audience = Literal["api", "pages"]


@dataclass(frozen=True, slots=True)
class TokenPair:
    access_token: str
    refresh_token: str
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class Claims:
    user_id: str
    family_id: str
    audience: Audience
    expires_at: datetime


class Tokens:
    def __init__(
        self,
        database: Database,
        settings: AccountSettings,
        secret: bytes,
        cache: PrincipalCache | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._secret = secret
        self._cache = cache or PrincipalCache()

    def open(self, user_id: str) -> TokenPair:
        """Begin a log-in of this person."""
        with self._database.writing() as session:
            return self._begin(session, user_id)

    def log_in(self, users: Users, name: str, password: str) -> TokenPair:
        """Begin a log-in of the person of this name and password. Raises LogInFailed, AccountLocked."""
        return users.log_in_and(name, password, lambda session, user: self._begin(session, user.id))

    def open_page(self, code: str) -> str:
        """Begin a log-in for a browser's pages by a code of `make_code`, which is used up.

        Gives its cookie, which ends when the log-in does. Raises Unauthenticated.
        """
        family_id = new_id("login")
        with self._database.writing() as session:
            user_id = self._redeem(session, code)
            if user_id is not None:
                self._forget_expired(session, user_id)
                self._add(session, user_id, family_id)
        if user_id is None:
            raise Unauthenticated(
                "This code is used up or too old.", hint="Make one: clearcast users login-link"
            )
        return self._signed(user_id, family_id, "pages", self._settings.refresh_token_s)

    def refresh(self, refresh_token: str) -> TokenPair:
        """A new pair for a refresh token, which is used up. Raises Unauthenticated."""
        digest = digest_of(refresh_token)
        whose = sa.select(RefreshToken.owner_id).where(RefreshToken.sha256 == digest)
        with self._database.writing() as session:
            owner_id = session.scalar(whose)
            if owner_id is not None:
                hold_log_ins(session, owner_id)
            row = session.get(RefreshToken, digest)
            if row is None or owner_id is None:
                raise _unknown()
            is_reused = row.used_at is not None and row.revoked_at is None
            if is_reused:
                _close(session, row.owner_id, row.family_id)
                audit.note(session, audit.TOKEN_REUSED, row.owner_id)
            family_id = row.family_id
            is_good = row.used_at is None and row.revoked_at is None and row.expires_at > now()
            user = session.get(User, owner_id)
            if is_good and user is not None and not user.is_disabled:
                row.used_at = now()
                self._forget_expired(session, owner_id)
                fresh = self._add(session, owner_id, family_id)
                return self._pair(owner_id, family_id, fresh)
        if is_reused:
            self._cache.forget(owner_id)
        raise _unknown()

    def close(self, user_id: str, family_id: str) -> None:
        """End one log-in: its refresh token, access tokens and cookies are worthless from now on."""
        with self._database.writing() as session:
            _close(session, user_id, family_id)
            audit.note(session, audit.LOGGED_OUT, user_id)
        self._cache.forget(user_id)

    def close_all(self, user_id: str) -> None:
        """End every log-in of this person."""
        with self._database.writing() as session:
            end_log_ins(session, user_id)
        self._cache.forget(user_id)

    def is_open(self, session: Session, user_id: str, family_id: str) -> bool:
        """Whether this log-in has not ended."""
        query = sa.select(RefreshToken.sha256).where(
            RefreshToken.owner_id == user_id,
            RefreshToken.family_id == family_id,
            RefreshToken.revoked_at.is_(None),
            RefreshToken.expires_at > now(),
        )
        return session.scalar(query.limit(1)) is not None

    def claims(self, token: str) -> Claims | None:
        """What an access token or a cookie of ours says, or None; says nothing of the log-in's end."""
        if not token.isascii():
            return None  # PyJWT cannot say no to it
        try:
            content = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                issuer=ISSUER,
                audience=["api", "pages"],
                options={"require": ["sub", "jti", "exp", "iss", "aud", "fam"]},
            )
        except jwt.PyJWTError:
            return None
        return Claims(
            user_id=content["sub"],
            family_id=content["fam"],
            audience="pages" if content["aud"] == "pages" else "api",
            expires_at=datetime.fromtimestamp(content["exp"], UTC),
        )

    def make_code(self, user_id: str) -> str:
        """A code that logs this person in once, within `CODE_S`. Raises NotFound."""
        code = _random()
        with self._database.writing() as session:
            if session.get(User, user_id) is None:
                raise NotFound("There is no such person.")
            session.execute(sa.delete(OneTimeCode).where(OneTimeCode.expires_at <= now()))
            session.add(
                OneTimeCode(
                    sha256=digest_of(code), owner_id=user_id, expires_at=now() + timedelta(seconds=CODE_S)
                )
            )
        return code

    def _redeem(self, session: Session, code: str) -> str | None:
        """Whose code this is, if it is good; it is used up in any case."""
        is_it = OneTimeCode.sha256 == digest_of(code)
        owner_id = session.scalar(sa.select(OneTimeCode.owner_id).where(is_it))
        if owner_id is None:
            return None
        hold_log_ins(session, owner_id)
        expires_at = session.scalar(sa.delete(OneTimeCode).where(is_it).returning(OneTimeCode.expires_at))
        user = session.get(User, owner_id)
        if expires_at is None or expires_at <= now() or user is None or user.is_disabled:
            return None
        audit.note(session, audit.LOGGED_IN, user.id, by="code")
        return user.id

    def _begin(self, session: Session, user_id: str) -> TokenPair:
        family_id = new_id("login")
        self._forget_expired(session, user_id)
        return self._pair(user_id, family_id, self._add(session, user_id, family_id))

    def _add(self, session: Session, user_id: str, family_id: str) -> str:
        token = _random()
        expires_at = now() + timedelta(seconds=self._settings.refresh_token_s)
        session.add(
            RefreshToken(
                sha256=digest_of(token), family_id=family_id, owner_id=user_id, expires_at=expires_at
            )
        )
        return token

    def _forget_expired(self, session: Session, user_id: str) -> None:
        session.execute(
            sa.delete(RefreshToken).where(
                RefreshToken.owner_id == user_id, RefreshToken.expires_at <= now()
            )
        )

    def _pair(self, user_id: str, family_id: str, refresh_token: str) -> TokenPair:
        lasts_s = self._settings.access_token_s
        return TokenPair(self._signed(user_id, family_id, "api", lasts_s), refresh_token, lasts_s)

    def _signed(self, user_id: str, family_id: str, audience: Audience, lasts_s: int) -> str:
        moment = now()
        content = {
            "iss": ISSUER,
            "aud": audience,
            "sub": user_id,
            "fam": family_id,
            "jti": secrets.token_hex(16),
            "iat": moment,
            "exp": moment + timedelta(seconds=lasts_s),
        }
        return jwt.encode(content, self._secret, _ALGORITHM)


def digest_of(secret: str) -> str:
    # 256 random bits: nothing to guess by trying, so one round of SHA-256 protects them.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _random() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).rstrip(b"=").decode()


def _close(session: Session, user_id: str, family_id: str) -> None:
    hold_log_ins(session, user_id)
    session.execute(
        sa.update(RefreshToken)
        .where(RefreshToken.owner_id == user_id, RefreshToken.family_id == family_id)
        .values(revoked_at=now())
    )


def _unknown() -> Unauthenticated:
    return Unauthenticated("The refresh token is not known, used up, or too old.", hint="Log in again.")
