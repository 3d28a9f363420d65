"""People, passwords and lock-outs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from clearcast.accounts import audit
from clearcast.accounts.accounts import Accounts
from clearcast.accounts.passwords import Passwords
from clearcast.accounts.strangers import Strangers
from clearcast.accounts.users import Users
from clearcast.errors import AccountLocked, Conflict, Forbidden, LogInFailed, OptionInvalid
from clearcast.settings import AccountSettings, Settings
from clearcast.storage.database import Database
from clearcast.storage.tables import User, now
from tests.accounts.conftest import PASSWORD


def test_the_first_person_is_admin_and_is_never_a_stranger(accounts: Accounts) -> None:
    with pytest.raises(Forbidden):
        accounts.users.sign_up("Mallory", PASSWORD)
    assert accounts.users.create("Admin").is_admin
    assert not accounts.users.sign_up("Mallory", PASSWORD).is_admin


def test_the_person_without_keys_does_not_count_as_the_first(accounts: Accounts) -> None:
    accounts.users.ensure_local()
    accounts.users.ensure_local()
    assert accounts.users.create("Admin").is_admin
    with pytest.raises(Conflict):
        accounts.users.create("LOCAL")


def test_many_first_people_at_once_give_one_admin(accounts: Accounts) -> None:
    with ThreadPoolExecutor(8) as pool:
        people = list(pool.map(lambda number: accounts.users.create(f"p{number}"), range(16)))
    assert sum(person.is_admin for person in people) == 1


def test_sign_up_is_closed_unless_the_settings_open_it(database: Database, admin: str) -> None:
    with pytest.raises(Forbidden):
        Users(database, AccountSettings()).sign_up("Sara", PASSWORD)


@pytest.mark.parametrize(
    "name", ["", "  ", "a" * 65, "a/b", "a\nb", "\ud800", "user_" + "0" * 26, "\u2028"]
)
def test_names_that_cannot_be_are_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(OptionInvalid):
        accounts.users.create(name)


@pytest.mark.parametrize("other", ["SARA", " sara ", "Ｓａｒａ", "ſara"])
def test_a_name_is_taken_in_every_spelling_of_it(accounts: Accounts, sara: str, other: str) -> None:
    with pytest.raises(Conflict):
        accounts.users.create(other)
    assert accounts.users.find(other).id == sara


@pytest.mark.parametrize("password", ["short", "123456789", "x" * 1025])
def test_passwords_too_short_or_too_long_are_refused(accounts: Accounts, admin: str, password: str) -> None:
    with pytest.raises(OptionInvalid):
        accounts.users.create("Sara", password)


def test_log_in_takes_the_name_in_any_case_and_the_right_password(accounts: Accounts, sara: str) -> None:
    assert accounts.users.log_in("SARA", PASSWORD).id == sara
    for name, password in (
        ("Sara", "wrong horse"),
        ("nobody", PASSWORD),
        ("Admin", ""),
        ("Sara", ""),
        ("\0", PASSWORD),
        ("\ud800", "\ud800"),
    ):
        with pytest.raises(LogInFailed) as caught:
            accounts.users.log_in(name, password)
        assert str(caught.value) == "The name or the password is wrong."


def test_a_disabled_person_cannot_log_in(accounts: Accounts, sara: str) -> None:
    accounts.users.change(sara, is_disabled=True)
    with pytest.raises(LogInFailed):
        accounts.users.log_in("Sara", PASSWORD)


def test_a_password_typed_with_other_code_points_is_the_same(passwords: Passwords) -> None:
    composed = passwords.hash("caf\u00e9 caf\u00e9 caf\u00e9")
    assert composed.startswith("$argon2id$")
    assert passwords.matches(composed, "cafe\u0301 cafe\u0301 cafe\u0301")
    assert not passwords.matches(composed, "cafe cafe cafe")
    assert not passwords.matches(None, "the password of nobody")


def test_an_old_hash_is_renewed_at_the_log_in(accounts: Accounts, database: Database, sara: str) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    with database.writing() as session:
        session.execute(sa.update(User).values(password_hash=weak).where(User.id == sara))
    accounts.users.log_in("Sara", PASSWORD)
    with database.reading() as session:
        fresh = session.scalar(sa.select(User.password_hash).where(User.id == sara))
    assert fresh is not None and fresh != weak
    assert not Passwords().is_outdated(fresh)


@pytest.mark.parametrize("name", ["Sara", "nobody"])
def test_wrong_passwords_lock_known_and_unknown_names_alike(
    accounts: Accounts, sara: str, name: str
) -> None:
    for _ in range(3):
        with pytest.raises(LogInFailed):
            accounts.users.log_in(name, "wrong horse")
    with pytest.raises(AccountLocked) as caught:
        accounts.users.log_in(name, PASSWORD)
    assert 55 <= caught.value.fields["retry_after_s"] <= 60


def test_a_lock_out_ends_by_itself(accounts: Accounts, database: Database, sara: str) -> None:
    for _ in range(3):
        with pytest.raises(LogInFailed):
            accounts.users.log_in("Sara", "wrong horse")
    with database.writing() as session:
        past = now() - timedelta(seconds=1)
        session.execute(sa.update(User).values(locked_until=past).where(User.id == sara))
    assert accounts.users.log_in("Sara", PASSWORD).id == sara


def test_a_lock_out_of_a_stranger_ends_by_itself() -> None:
    time_s = 0.0
    strangers = Strangers(2, 60, clock_s=lambda: time_s)
    strangers.count("x")
    strangers.count("x")
    with pytest.raises(AccountLocked):
        strangers.count("x")
    time_s = 61
    strangers.count("x")


def test_a_right_password_starts_the_count_anew(accounts: Accounts, sara: str) -> None:
    for _ in range(4):
        for _ in range(2):
            with pytest.raises(LogInFailed):
                accounts.users.log_in("Sara", "wrong horse")
        accounts.users.log_in("Sara", PASSWORD)


def test_guesses_at_the_same_time_are_counted_one_by_one(accounts: Accounts, sara: str) -> None:
    def guess(number: int) -> str:
        try:
            accounts.users.log_in("Sara", f"wrong horse {number}")
        except (LogInFailed, AccountLocked) as error:
            return error.code
        raise AssertionError("a wrong password let somebody in")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(12)))
    assert answers.count("log_in_failed") == 3
    assert answers.count("account_locked") == 9


def test_the_last_admin_stays(accounts: Accounts, admin: str, sara: str) -> None:
    for change in ({"is_admin": False}, {"is_disabled": True}):
        with pytest.raises(Conflict):
            accounts.users.change(admin, **change)
    assert accounts.users.get(admin).is_admin and not accounts.users.get(admin).is_disabled
    accounts.users.change(sara, is_admin=True)
    assert not accounts.users.change(admin, is_admin=False).is_admin


def test_a_quota_can_be_set_and_given_back(accounts: Accounts, sara: str) -> None:
    assert accounts.users.change(sara, quota_bytes=5).quota_bytes == 5
    assert accounts.users.change(sara, is_disabled=False).quota_bytes == 5
    assert accounts.users.change(sara, has_own_quota=False).quota_bytes is None


def test_the_log_tells_what_happened_without_names(
    accounts: Accounts, settings: Settings, sara: str
) -> None:
    accounts.users.log_in("Sara", PASSWORD)
    for _ in range(3):
        with pytest.raises(LogInFailed):
            accounts.users.log_in("Sara", "wrong horse")
    with pytest.raises(AccountLocked):
        accounts.users.log_in("Sara", PASSWORD)
    lines = accounts.audit.page(sara)
    assert [line.event for line in reversed(lines)] == [
        audit.USER_MADE,
        audit.LOGGED_IN,
        *[audit.LOG_IN_FAILED] * 3,
        audit.LOG_IN_LOCKED,
    ]
    assert "sara" not in str(lines).casefold().replace(sara, "")
    older = accounts.audit.page(sara, before=lines[2].id, limit=2)
    assert older == lines[3:5]


def test_a_wrong_attempt_writes_as_often_for_a_name_that_nobody_has(accounts: Accounts, sara: str) -> None:
    """Each write waits for the disk: one more of them would tell which names there are."""
    commits: list[str] = []
    sa.event.listen(accounts.users._database.engine, "commit", lambda _connection: commits.append("write"))

    def writes_of(name: str) -> int:
        commits.clear()
        with pytest.raises((LogInFailed, AccountLocked)):
            accounts.users.log_in(name, "wrong horse")
        return len(commits)

    # Three wrong passwords, then a lock-out.
    assert [writes_of("Sara") for _ in range(5)] == [writes_of("nobody") for _ in range(5)]
