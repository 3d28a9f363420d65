"""Two transactions in an order that a test chooses: what READ COMMITTED lets happen, made to happen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from clearcast.storage.database import Database

_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@contextmanager
def in_between(database: Database, statement: str, act: Callable[[], object]) -> Iterator[None]:
    """Once `database`, on PostgreSQL, has executed SQL that contains `statement`, run `act` elsewhere.

    The transaction goes on when `act` has ended, or waits for a lock. Raises what `act` raises.
    """
    observer = sa.create_engine(database.engine.url, isolation_level="AUTOCOMMIT")
    errors: list[BaseException] = []

    def body() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    seen: list[str] = []

    def heard(_c: Any, _cursor: Any, text: str, *_more: Any) -> None:
        if statement not in text or seen or threading.current_thread() is thread:
            return
        seen.append(text)
        thread.start()
        with observer.connect() as connection:
            while thread.is_alive() and not connection.scalar(sa.text(_WAITING)):
                thread.join(0.01)

    sa.event.listen(database.engine, "after_cursor_execute", heard)
    try:
        yield
    finally:
        sa.event.remove(database.engine, "after_cursor_execute", heard)
        observer.dispose()
    assert seen, f"nothing like {statement!r} was executed"
    thread.join()
    if errors:
        raise errors[0]
