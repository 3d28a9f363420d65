"""Log records as JSON, one line each: a static message and its fields.

What lives here: the form of a line and where lines go. What does not: what is logged; by the house's rule
that is never a name, a text or a key.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, TextIO

OURS = ("clearcast", "pipelines", "streaming", "deployments")
"""The top loggers of our packages; other people's libraries log as they please, elsewhere."""

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """{"time": …, "level": …, "logger": …, "message": …, <fields>, "exception": …}"""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: value for name, value in record.__dict__.items() if name not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


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
