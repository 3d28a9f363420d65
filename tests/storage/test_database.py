"""The schema on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from clearcast.errors import OptionInvalid, ServiceUnavailable, SettingsInvalid
from clearcast.storage.database import Database
from clearcast.storage.tables import Table, User
from tests import servers
from tests.storage.people import add_user


def is_made_by_hand(name: str) -> bool:
    """The search's own tables, columns and indexes: 0002_search.py."""
    return name.startswith("transcript_search") or name == "transcript_lines_search"


def test_the_migrations_make_what_the_tables_say(database: Database) -> None:
    def is_compared(_thing: object, name: str | None, kind: str, *_: object) -> bool:
        return not is_made_by_hand(name or "") and (kind, name) != ("column", "search")

    with database.engine.connect() as connection:
        options = {"include_object": is_compared, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Table.metadata) == []


def test_migrating_again_and_from_several_places_changes_nothing(database: Database) -> None:
    add_user(database, "anna")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: database.migrate(), range(8)))
    with database.reading() as session:
        assert session.scalars(sa.select(User.id)).all() == ["anna"]


def test_several_processes_may_make_the_schema_at_once_on_postgresql(postgresql_server: str) -> None:
    with servers.database_on(postgresql_server, "migrated_at_once") as url:
        databases = [Database(url) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda database: database.migrate(), databases))
        for database in databases:
            database.close()


def test_a_failed_block_changes_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.writing() as session:
        session.add(User(id="anna", name="Anna", name_key="anna", password_hash=None))
        session.flush()
        raise RuntimeError
    with database.reading() as session:
        assert session.scalars(sa.select(User.id)).all() == []


def test_writers_at_the_same_time_lose_nothing(database: Database) -> None:
    add_user(database, "anna", quota_bytes=0)

    def add_one(_: int) -> None:
        with database.writing() as session:
            user = session.get_one(User, "anna", with_for_update=True)
            assert user.quota_bytes is not None
            user.quota_bytes += 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add_one, range(60)))
    with database.reading() as session:
        assert session.get_one(User, "anna").quota_bytes == 60


def test_a_server_that_is_away_is_unavailable() -> None:
    database = Database("postgresql://nobody@127.0.0.1:9/none?connect_timeout=2")
    with pytest.raises(ServiceUnavailable), database.reading() as session:
        session.execute(sa.text("SELECT 1"))
    database.close()


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite:relative.sqlite", "nonsense"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(SettingsInvalid):
        Database(url)


def test_the_file_of_records_stands_in_a_folder_of_its_users_own(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'data' / 'records.sqlite'}")
    database.migrate()
    database.close()
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_nobody_else_reads_the_records_though_their_folder_is_open_to_all(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    database = Database(f"sqlite:///{tmp_path / 'records.sqlite'}")
    database.migrate()
    add_user(database, "anna")
    modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("records.sqlite*")}
    database.close()
    assert modes == {"records.sqlite": 0, "records.sqlite-wal": 0, "records.sqlite-shm": 0}


def test_what_a_database_cannot_hold_is_the_askers_mistake(database: Database) -> None:
    def look() -> None:
        with database.reading() as session:
            assert session.scalar(sa.select(User.id).where(User.name == "a\0b")) is None

    if database.is_sqlite:
        look()  # it can
    else:
        with pytest.raises(OptionInvalid):
            look()
