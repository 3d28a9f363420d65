"""Log records as JSON, one line each: a static message and its fields.

What lives here: the form of a line, where lines go, and the fields that all lines of one request or job
share. What does not: what is logged; by the house's rule that is never a name, a text or a key.

The messages of exceptions may hold all of these (a file's name, a parameter of a query), so of an exception
only its kind and its way through the code are written, and of ours and the system's the reason, which comes
from a fixed list.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from clearcast.errors import ClearCastError

OURS = ("clearcast", "pipelines", "streaming", "deployments")
"""The top loggers of our packages; other people's libraries log as they please, elsewhere."""

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


_shared: ContextVar[dict[str, str]] = ContextVar("log_fields", default={})  # noqa: B039 - never changed


@contextmanager
def log_fields(**fields: str) -> Iterator[None]:
    """Every line logged within, also in tasks and threads started there, has these fields.

    For ids only: `request_id`, `job_id`.
    """
    token = _shared.set({**_shared.get(), **fields})
    try:
        yield
    finally:
        _shared.reset(token)


class JsonLines(logging.Formatter):
    """{"time": …, "level": …, "logger": …, "message": …, <fields>, "exception": …}"""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(_shared.get())
        line.update({name: value for name, value in record.__dict__.items() if name not in _STANDARD})
        if record.exc_info:
            line["exception"] = _exception(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def _exception(error: BaseException | None) -> list[str]:
    """The exception and those it came from, the first cause first: each its kind, then where it was."""
    found: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = traceback.extract_tb(error.__traceback__)
        found[:0] = [_kind(error), *(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found


def _kind(error: BaseException) -> str:
    name = type(error).__qualname__
    if isinstance(error, ClearCastError):
        return f"{name}: {error.code}"
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{name}: {error.strerror}"
    return name


def write_logs(stream: TextIO, level: str) -> None:
    """From now on write what our packages log, from `level` up, to `stream`; a later call replaces this."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    handler.set_name("clearcast-json-lines")
    for name in OURS:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        for old in [one for one in logger.handlers if one.name == handler.name]:
            logger.removeHandler(old)
        logger.addHandler(handler)
