"""Two requests about the same person at the same moment, on PostgreSQL, which lets them interleave."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from clearcast.accounts.accounts import Accounts
from clearcast.accounts.friends import are_friends
from clearcast.accounts.passwords import Passwords
from clearcast.accounts.users import Users
from clearcast.errors import LogInFailed, NotFound, Unauthenticated
from clearcast.settings import Settings
from clearcast.storage.database import Database
from clearcast.storage.tables import RefreshToken, User, now
from tests.accounts.conftest import PASSWORD
from tests.storage.interleaving import in_between

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@on_postgresql
@pytest.mark.parametrize("ending", ["password", "log-out"])
def test_no_log_in_survives_its_end_by_being_refreshed_meanwhile(
    accounts: Accounts, sara: str, ending: str
) -> None:
    pair = accounts.tokens.open(sara)
    principal = accounts.credentials.look_up(pair.access_token)
    assert principal is not None and principal.family_id is not None

    def end() -> None:
        if ending == "password":
            accounts.users.set_password(sara, "another horse")
        else:
            accounts.tokens.close(sara, principal.family_id or "")

    fresh = pair
    with (
        suppress(Unauthenticated),
        in_between(accounts.tokens._database, "INSERT INTO refresh_tokens", end),
    ):
        fresh = accounts.tokens.refresh(pair.refresh_token)
    with pytest.raises(Unauthenticated):
        accounts.tokens.refresh(fresh.refresh_token)
    assert accounts.credentials.look_up(fresh.access_token) is None


@on_postgresql
@pytest.mark.parametrize("way", ["password", "code"])
def test_no_log_in_survives_a_new_password_by_being_opened_meanwhile(
    accounts: Accounts, sara: str, way: str
) -> None:
    code = accounts.tokens.make_code(sara)

    def change() -> None:
        accounts.users.set_password(sara, "another horse")

    database = accounts.tokens._database if way == "code" else accounts.users._database
    with in_between(database, "INSERT INTO refresh_tokens", change):
        if way == "code":
            token = accounts.tokens.open_page(code)
        else:
            token = accounts.tokens.log_in(accounts.users, "Sara", PASSWORD).access_token
    assert accounts.credentials.look_up(token) is None


class ChangedMeanwhile(Passwords):
    """Lets something happen after a password has proved right and before anybody acts on it."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self._happens: list[Callable[[], None]] = [happens]

    def matches(self, password_hash: str | None, password: str) -> bool:
        same = super().matches(password_hash, password)
        if self._happens:
            self._happens.pop()()
        return same


@pytest.mark.parametrize("was_weak", [False, True])
def test_a_password_that_is_changed_while_it_is_checked_opens_nothing(
    settings: Settings, accounts: Accounts, database: Database, sara: str, was_weak: bool
) -> None:
    if was_weak:  # it would be hashed anew at the log-in
        weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
        with database.writing() as session:
            session.execute(sa.update(User).values(password_hash=weak).where(User.id == sara))
    passwords = ChangedMeanwhile(lambda: accounts.users.set_password(sara, "another horse"))
    users = Users(database, settings.accounts, passwords)
    with pytest.raises(LogInFailed):
        accounts.tokens.log_in(users, "Sara", PASSWORD)
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(RefreshToken)) == 0
    assert accounts.users.log_in("Sara", "another horse").id == sara


@pytest.mark.parametrize("ending", ["disabled", "hashed anew"])
def test_what_else_happens_to_a_person_who_logs_in(
    settings: Settings, accounts: Accounts, database: Database, sara: str, ending: str
) -> None:
    def happens() -> None:
        if ending == "disabled":
            accounts.users.change(sara, is_disabled=True)
        else:
            with database.writing() as session:
                fresh = Passwords().hash(PASSWORD)
                session.execute(sa.update(User).values(password_hash=fresh).where(User.id == sara))

    users = Users(database, settings.accounts, ChangedMeanwhile(happens))
    if ending == "disabled":
        with pytest.raises(LogInFailed):
            accounts.tokens.log_in(users, "Sara", PASSWORD)
    else:
        token = accounts.tokens.log_in(users, "Sara", PASSWORD).access_token
        assert accounts.credentials.look_up(token) is not None


@on_postgresql
def test_a_request_that_is_accepted_while_it_is_blocked_makes_nobody_friends(
    accounts: Accounts, database: Database, sara: str, reza: str
) -> None:
    accounts.friends.request(sara, "Reza")
    with (
        suppress(NotFound),
        in_between(accounts.friends._database, "FROM ties", lambda: accounts.friends.block(sara, "Reza")),
    ):
        accounts.friends.accept(reza, "Sara")
    assert not are_friends(database, sara, reza)
    assert [one.name for one in accounts.friends.circle(sara).blocked] == ["Reza"]


@on_postgresql
def test_the_same_request_twice_at_once_is_one(accounts: Accounts, sara: str, reza: str) -> None:
    def ask() -> None:
        accounts.friends.request(sara, "Reza")

    with in_between(accounts.friends._database, "FROM ties", ask):
        ask()
    assert [one.name for one in accounts.friends.circle(reza).asking] == ["Sara"]


def test_refreshing_forgets_the_tokens_that_have_ended(
    accounts: Accounts, database: Database, sara: str
) -> None:
    pair = accounts.tokens.open(sara)
    with database.writing() as session:
        old = RefreshToken(sha256="old", family_id="login_old", owner_id=sara)
        old.expires_at = now() - timedelta(seconds=1)
        session.add(old)
    accounts.tokens.refresh(pair.refresh_token)
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(RefreshToken)) == 2
