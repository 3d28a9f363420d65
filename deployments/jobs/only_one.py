"""One runner at a time: two would both go on with the same unfinished work.

Serve runs one replica, but makes the new one before the old one is gone when code or settings change.

In PostgreSQL the lock goes with its session, and the session with the server: after a restart of the server
the lock is free although its holder works on. So the holder looks after it all the time, takes it again at
once, and ends when another was quicker; and who gets a lock that somebody may still believe to hold waits
for longer than that takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Callable

import sqlalchemy as sa

from clearcast.settings import Settings
from clearcast.storage.database import Database, reachable
from deployments.jobs.patience import patiently

logger = logging.getLogger(__name__)

LOOK_S = 0.25
GRACE_S = 2.0
_LOCK = 0x72756E  # of PostgreSQL's advisory locks; any number that nothing else uses
_UPTIME = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())"


class OnlyOne:
    """A lock that goes with its process: of the kernel beside SQLite, of the session in PostgreSQL."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._path = settings.data_path / "jobs.lock"
        self._database = database
        self._held: int | sa.Connection | None = None

    async def wait(self) -> None:
        """Returns when this process is the one; waits for a database that is away, too."""
        is_first_look = True
        while True:
            while not await patiently(lambda: asyncio.to_thread(self._try)):
                is_first_look = False
                await asyncio.sleep(LOOK_S)
            if self._database.is_sqlite or (is_first_look and await asyncio.to_thread(self._is_settled)):
                return
            await asyncio.sleep(GRACE_S)
            if await asyncio.to_thread(self._is_held):
                return
            is_first_look = False

    async def guard(self, lost: Callable[[], None]) -> None:
        """Look after the lock until cancelled; calls `lost` and returns when another has it.

        While the database is away nobody can take it, and this process remains the one.
        """
        if self._database.is_sqlite:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(LOOK_S)
            if await asyncio.to_thread(self._is_held):
                continue
            logger.warning("the runner's lock went with its connection; taking it again")
            if not await patiently(lambda: asyncio.to_thread(self._try)):
                lost()
                return

    async def guard_process(self) -> None:
        """`guard` that ends this process at once, as a kill would: the other one goes on."""
        await self.guard(lambda: os._exit(1))

    def release(self) -> None:
        if isinstance(self._held, int):
            os.close(self._held)
        elif self._held is not None:
            self._drop(self._held)
        self._held = None

    def _try(self) -> bool:
        return self._try_file() if self._database.is_sqlite else self._try_session()

    def _try_file(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._held = descriptor
        return True

    def _try_session(self) -> bool:
        with reachable(), contextlib.ExitStack() as undo:
            connection = self._database.engine.connect()
            undo.callback(self._drop, connection)
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            if connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
                self._held = connection
                undo.pop_all()
                return True
            undo.pop_all()
            connection.close()
        return False

    def _is_held(self) -> bool:
        """Whether the session that has the lock still lives; lets go of a dead one."""
        held = self._held
        if not isinstance(held, sa.Connection):
            return held is not None
        try:
            held.execute(sa.text("SELECT 1"))
        except sa.exc.SQLAlchemyError:
            self._held = None
            self._drop(held)
            return False
        return True

    def _is_settled(self) -> bool:
        """Whether the server has been up for so long that an earlier holder would have the lock again."""
        assert isinstance(self._held, sa.Connection)
        try:
            return float(self._held.scalar(sa.text(_UPTIME)) or 0.0) > 2 * GRACE_S
        except sa.exc.SQLAlchemyError:
            return False

    @staticmethod
    def _drop(connection: sa.Connection) -> None:
        """Close it for good: given back to the pool, it would keep the lock."""
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            connection.invalidate()
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            connection.close()
