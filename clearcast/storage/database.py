"""The records in SQL: one engine, short sessions, schema by migrations.

What lives here: opening the database that a URL names and bringing its schema up to date. What does not:
the tables (`tables.py`) and the queries, which stand with their noun.

`sqlite:///path/to/file` is for one machine (in WAL mode: readers never wait for the writer);
`postgresql://user:password@host/name` for several. Everything here blocks; asynchronous callers use
`asyncio.to_thread`.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from clearcast.errors import OptionInvalid, ServiceUnavailable, SettingsInvalid

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 15.0  # a writer waits so long for the one before it
WAL_RETRY_S = 0.05
_MIGRATION_LOCK = 0x636C6561  # any number, the same in every process


class Database:
    """A pool of connections to the database at `url`. Raises SettingsInvalid for a URL of another kind."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session whose changes, if any, are dropped. Raises ServiceUnavailable."""
        with reachable(), self._sessions() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session in one transaction: all of its changes or, when the block raises, none.

        On SQLite it takes the write lock at its start, so that what it reads stays true until it ends.
        Raises ServiceUnavailable when the database cannot be reached.
        """
        with reachable(), self._sessions() as session, session.begin():
            if self.is_sqlite:
                session.execute(sa.text("BEGIN IMMEDIATE"))
            yield session

    def migrate(self) -> None:
        """Bring the schema up to date; safe to call from several processes at once."""
        from alembic import command

        with reachable(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.execute(sa.text("BEGIN IMMEDIATE"))
            else:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config = migration_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def close(self) -> None:
        """Close every connection; one that a thread still works with, when that comes to its end."""
        sa.event.listen(self.engine, "checkin", lambda connection, _record: connection.close())
        self.engine.dispose()


def migration_config() -> Any:
    """Alembic's configuration: our migrations, no ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _engine(url: str) -> sa.Engine:
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        path = Path(rest[1:]).expanduser()
        make_private(path)
        engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_S}, pool_size=8)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        return engine
    if scheme in {"postgresql", "postgres"}:
        # pre_ping: a connection that died with a restarted server is replaced, not handed out.
        return sa.create_engine(f"postgresql+psycopg://{rest}", pool_size=8, pool_pre_ping=True)
    raise SettingsInvalid(
        "The database must be sqlite:///… or postgresql://….", hint="See storage.database_url."
    )


def make_private(path: Path) -> None:
    """Make an empty file, unless there is one, that only this user may read, in whatever folder it is.

    SQLite gives the files beside it the same mode.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves; the driver's own guesses are off
    cursor = connection.cursor()
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous = FULL")  # a commit that was answered survives a power cut
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Only the first connection ever changes the file, but several processes may be that at once, and this
    one lock SQLite does not wait for."""
    for _ in range(int(BUSY_S / WAL_RETRY_S)):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            time.sleep(WAL_RETRY_S)
        else:
            return
    cursor.execute("PRAGMA journal_mode = WAL")


@contextmanager
def reachable() -> Iterator[None]:
    """A lost database is ServiceUnavailable, a value it cannot take OptionInvalid; all else stays."""
    try:
        yield
    except DataError as error:
        # What SQLite keeps and PostgreSQL does not: a NUL in a text, a number that is too large.
        raise OptionInvalid("A text or a number holds what cannot be kept.") from error
    except (DBAPIError, PoolTimeout) as error:
        if not is_away(error):
            raise
        raise ServiceUnavailable(
            "The database cannot be reached.", hint="Its operator finds the reason in the log."
        ) from error


def is_away(error: Exception) -> bool:
    """Whether it says that the database cannot be reached, or broke off."""
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        # SQLite says "operational" of a wrong query too, for which nobody should wait.
        cause = error.orig if isinstance(error, DBAPIError) else None
        return getattr(cause, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR
    return isinstance(error, DBAPIError) and error.connection_invalidated
