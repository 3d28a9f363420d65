"""A database of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from clearcast.accounts.accounts import Accounts, accounts_of
from clearcast.accounts.passwords import Passwords
from clearcast.settings import AccountSettings, Settings, StorageSettings
from clearcast.storage.database import Database

PASSWORD = "correct horse"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """On SQLite and, in a second run of the test, on PostgreSQL."""
    accounts = AccountSettings(sign_up=True, max_failed_logins=3, lock_out_s=60)
    return Settings(
        data_dir=tmp_path / "data",
        config_dir=tmp_path / "config",
        accounts=accounts,
        storage=StorageSettings(database_url=SecretStr(database_url)),
    )


@pytest.fixture
def accounts(settings: Settings) -> Iterator[Accounts]:
    with accounts_of(settings) as accounts:
        yield accounts


@pytest.fixture
def database(settings: Settings, accounts: Accounts) -> Iterator[Database]:
    database = Database(settings.database_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def passwords() -> Passwords:
    return Passwords()


@pytest.fixture
def admin(accounts: Accounts) -> str:
    return accounts.users.create("Admin").id


@pytest.fixture
def sara(accounts: Accounts, admin: str) -> str:
    return accounts.users.create("Sara", PASSWORD).id


@pytest.fixture
def reza(accounts: Accounts, admin: str) -> str:
    return accounts.users.create("Reza", PASSWORD).id
