"""Two requests about the same person at the same moment, on PostgreSQL, which lets them interleave."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
import sqlalchemy as sa

from clearcast.accounts.accounts import Accounts
from clearcast.accounts.friends import are_friends
from clearcast.errors import NotFound, Unauthenticated
from clearcast.storage.database import Database
from clearcast.storage.tables import RefreshToken, now
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
