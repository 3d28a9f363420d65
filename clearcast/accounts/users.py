"""People: making them, finding them, their passwords, and the lock-out after wrong ones.

The first person is the admin, and is made on the server itself (`clearcast serve`, `clearcast users add`):
no stranger who comes first gets the house. What does not live here: erasing people (`data_rights.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from clearcast.accounts import audit
from clearcast.accounts.passwords import Passwords
from clearcast.accounts.principal import LOCAL, PrincipalCache
from clearcast.accounts.strangers import Strangers, locked
from clearcast.errors import AccountLocked, Conflict, Forbidden, LogInFailed, NotFound, OptionInvalid
from clearcast.ids import new_id
from clearcast.settings import AccountSettings
from clearcast.storage.database import Database
from clearcast.storage.tables import AuditLine, RefreshToken, User, now

T = TypeVar("T")

MAX_NAME_CHARACTERS = 64
_ID = re.compile(r"user_[0-9a-z]{26}")


@dataclass(frozen=True, slots=True)
class Person:
    id: str
    name: str
    is_admin: bool
    is_disabled: bool
    has_password: bool
    created_at: datetime
    locked_until: datetime | None
    quota_bytes: int | None


def name_key(name: str) -> str:
    """The form in which names are compared: width, case and composition do not count."""
    # Databases take neither NUL nor half a surrogate pair, and nobody is called so.
    name = name.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def checked_name(name: str) -> str:
    """The name without blanks around it. Raises OptionInvalid."""
    name = name.strip()
    readable = all(unicodedata.category(letter) not in {"Cc", "Cs", "Zl", "Zp"} for letter in name)
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not readable or not name_key(name) or "/" in name:
        raise OptionInvalid(
            f"A name has 1 to {MAX_NAME_CHARACTERS} characters, without slashes and line breaks.",
            field="name",
        )
    if _ID.fullmatch(name_key(name)):
        raise OptionInvalid("This name looks like an id.", field="name")
    return name


class Users:
    def __init__(
        self,
        database: Database,
        settings: AccountSettings,
        passwords: Passwords | None = None,
        cache: PrincipalCache | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._passwords = passwords or Passwords()
        self._cache = cache or PrincipalCache()
        self._strangers = Strangers(settings.max_failed_logins, settings.lock_out_s)

    def create(self, name: str, password: str | None = None, *, is_admin: bool = False) -> Person:
        """Make a person; the first is an admin in any case. Raises OptionInvalid, Conflict."""
        return self._create(name, password, is_admin=is_admin, is_stranger=False)

    def sign_up(self, name: str, password: str) -> Person:
        """As `create`, for somebody who asks for it from outside. Raises also Forbidden."""
        if not self._settings.sign_up:
            raise Forbidden("Accounts are made by this server's operator.", hint="Ask for one.")
        return self._create(name, password, is_admin=False, is_stranger=True)

    def _create(self, name: str, password: str | None, *, is_admin: bool, is_stranger: bool) -> Person:
        name = checked_name(name)
        if name_key(name) == LOCAL:
            raise Conflict("That name is taken.", field="name")
        password_hash = None if password is None else self._passwords.hash(password)
        try:
            with self._database.writing() as session:
                is_first = not self._has_admin(session)
                if is_first and is_stranger:
                    raise Forbidden("The first account is made on the server: clearcast users add NAME")
                user = User(
                    id=new_id("user"),
                    name=name,
                    name_key=name_key(name),
                    password_hash=password_hash,
                    is_admin=is_admin or is_first,
                )
                session.add(user)
                session.flush()
                audit.note(session, audit.USER_MADE, user.id, is_admin=user.is_admin)
                return _person(user)
        except IntegrityError as error:
            raise Conflict("That name is taken.", field="name") from error

    def ensure_local(self) -> None:
        """Make the person that everybody is when no credentials are asked for."""
        try:
            with self._database.writing() as session:
                if session.get(User, LOCAL) is None:
                    session.add(User(id=LOCAL, name=LOCAL, name_key=LOCAL))
        except IntegrityError:
            pass  # another process was faster

    def has_admin(self) -> bool:
        with self._database.reading() as session:
            return session.scalar(sa.select(User.id).where(User.is_admin).limit(1)) is not None

    def get(self, user_id: str) -> Person:
        """Raises NotFound."""
        with self._database.reading() as session:
            return _person(_found(session.get(User, user_id)))

    def find(self, name_or_id: str) -> Person:
        """Raises NotFound."""
        with self._database.reading() as session:
            return _person(_found(find_user(session, name_or_id)))

    def list(self, after: str | None = None, limit: int = 50) -> tuple[Person, ...]:
        """People in the order of their ids, those after the id `after`."""
        query = sa.select(User).order_by(User.id).limit(limit)
        if after is not None:
            query = query.where(User.id > after)
        with self._database.reading() as session:
            return tuple(_person(user) for user in session.scalars(query))

    def log_in(self, name: str, password: str) -> Person:
        """Whose name and password these are. Raises LogInFailed, AccountLocked."""
        return self.log_in_and(name, password, lambda _session, user: _person(user))

    def log_in_and(self, name: str, password: str, begin: Callable[[Session, User], T]) -> T:
        """As `log_in`; `begin` makes the log-in, in the transaction that holds the person's log-ins.

        So a password that is changed meanwhile either refuses the log-in or ends it.

        Unknown names cost the same work (one hash, one written line of the audit log) and are locked out as
        known ones are, so nobody learns which exist. Raises LogInFailed, AccountLocked.
        """
        with self._database.reading() as session:
            user = session.scalar(sa.select(User).where(User.name_key == name_key(name)))
        if user is None:
            self._refuse_stranger(name, password)
        attempt = self._count_attempt(user.id)
        if not self._passwords.matches(user.password_hash, password) or user.is_disabled:
            raise _wrong()
        assert user.password_hash is not None
        renewed = None
        if self._passwords.is_outdated(user.password_hash):
            renewed = self._passwords.hash(password)
        with self._database.writing() as session:
            hold_log_ins(session, user.id)
            checked, user = user.password_hash, _found(session.get(User, user.id))
            if user.password_hash == checked:
                user.password_hash = renewed or checked
            elif not self._passwords.matches(user.password_hash, password):
                raise _wrong()
            if user.is_disabled:
                raise _wrong()
            user.failed_logins, user.locked_until = 0, None
            session.execute(
                sa.update(AuditLine).where(AuditLine.id == attempt).values(event=audit.LOGGED_IN)
            )
            return begin(session, user)

    def check_password(self, user_id: str, password: str) -> None:
        """Raises LogInFailed, AccountLocked; a wrong one counts as it does at the log-in."""
        with self._database.reading() as session:
            user = _found(session.get(User, user_id))
        attempt = self._count_attempt(user_id)
        if not self._passwords.matches(user.password_hash, password):
            raise _wrong()
        with self._database.writing() as session:
            session.execute(sa.delete(AuditLine).where(AuditLine.id == attempt))
            session.execute(
                sa.update(User).where(User.id == user_id).values(failed_logins=0, locked_until=None)
            )

    def set_password(self, user_id: str, password: str) -> None:
        """Ends every log-in of this person, and a lock-out. Raises OptionInvalid, NotFound."""
        password_hash = self._passwords.hash(password)
        with self._database.writing() as session:
            user = _found(session.get(User, user_id))
            user.password_hash, user.failed_logins, user.locked_until = password_hash, 0, None
            end_log_ins(session, user_id)
            audit.note(session, audit.PASSWORD_CHANGED, user_id)
        self._cache.forget(user_id)

    def change(
        self,
        user_id: str,
        *,
        is_admin: bool | None = None,
        is_disabled: bool | None = None,
        quota_bytes: int | None = None,
        has_own_quota: bool | None = None,
    ) -> Person:
        """Change what is given; `has_own_quota` False gives the settings' quota back.

        Raises NotFound, and Conflict when no admin would be left.
        """
        with self._database.writing() as session:
            user = _found(session.get(User, user_id))
            if is_admin is not None and is_admin != user.is_admin:
                user.is_admin = is_admin
                audit.note(session, audit.USER_CHANGED, user_id, is_admin=is_admin)
            if is_disabled is not None and is_disabled != user.is_disabled:
                user.is_disabled = is_disabled
                audit.note(session, audit.USER_DISABLED if is_disabled else audit.USER_ENABLED, user_id)
                if is_disabled:
                    end_log_ins(session, user_id)
            if quota_bytes is not None or has_own_quota is False:
                user.quota_bytes = quota_bytes
                audit.note(session, audit.USER_CHANGED, user_id, quota_bytes=quota_bytes)
            session.flush()
            if (is_disabled or is_admin is False) and not self._has_admin(session):
                raise Conflict("Somebody must be admin.", hint="Make another one first.")
            person = _person(user)
        self._cache.forget(user_id)
        return person

    def _has_admin(self, session: Session) -> bool:
        """Whether there is an admin who can act; until the transaction ends nobody changes that."""
        if not self._database.is_sqlite:
            session.execute(sa.text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
        active = sa.select(User.id).where(User.is_admin, sa.not_(User.is_disabled)).limit(1)
        return session.scalar(active) is not None

    def _count_attempt(self, user_id: str) -> int:
        """Count and note this attempt as failed before it is looked at: many at once count one by one.

        Gives the id of its line in the audit log. Raises AccountLocked.
        """
        with self._database.writing() as session:
            user = _found(session.get(User, user_id, with_for_update=True))
            moment = now()
            left_s = 0.0 if user.locked_until is None else (user.locked_until - moment).total_seconds()
            if left_s <= 0:
                user.failed_logins += 1
                if user.failed_logins >= self._settings.max_failed_logins:
                    user.failed_logins = 0
                    user.locked_until = moment + timedelta(seconds=self._settings.lock_out_s)
            event = audit.LOG_IN_LOCKED if left_s > 0 else audit.LOG_IN_FAILED
            line = AuditLine(event=event, owner_id=user_id, facts={})
            session.add(line)
            session.flush()
        if left_s > 0:
            raise locked(left_s)
        return line.id

    def _refuse_stranger(self, name: str, password: str) -> NoReturn:
        try:
            self._strangers.count(name_key(name))
        except AccountLocked:
            self._note(audit.LOG_IN_LOCKED)
            raise
        self._note(audit.LOG_IN_FAILED)
        self._passwords.matches(None, password)
        raise _wrong()

    def _note(self, event: str) -> None:
        with self._database.writing() as session:
            audit.note(session, event, None)


def find_user(session: Session, name_or_id: str) -> User | None:
    """The person of this id or, in any spelling, of this name."""
    if name_or_id == LOCAL or _ID.fullmatch(name_or_id):
        return session.get(User, name_or_id)
    return session.scalar(sa.select(User).where(User.name_key == name_key(name_or_id.strip())))


def hold_log_ins(session: Session, user_id: str) -> None:
    """Until the session ends nobody else changes this person's log-ins.

    What ends them would miss, on PostgreSQL, a refresh token that is being made at the same moment.
    """
    session.execute(sa.select(User.id).where(User.id == user_id).with_for_update(key_share=True))


def end_log_ins(session: Session, user_id: str) -> None:
    hold_log_ins(session, user_id)
    session.execute(
        sa.update(RefreshToken)
        .where(RefreshToken.owner_id == user_id, RefreshToken.revoked_at.is_(None))
        .values(revoked_at=now())
    )


def _wrong() -> LogInFailed:
    return LogInFailed("The name or the password is wrong.")


def _found(user: User | None) -> User:
    if user is None:
        raise NotFound("There is no such person.")
    return user


def _person(user: User) -> Person:
    return Person(
        id=user.id,
        name=user.name,
        is_admin=user.is_admin,
        is_disabled=user.is_disabled,
        has_password=user.password_hash is not None,
        created_at=user.created_at,
        locked_until=user.locked_until,
        quota_bytes=user.quota_bytes,
    )
