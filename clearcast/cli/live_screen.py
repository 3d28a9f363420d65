"""What a live command shows: what is certain line by line, what may still change below it.

What lives here: the place below the lines, and the gateway's messages as JSON. What does not: what a
message looks like (`live.py`, `keywords.py`).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

import click
from rich.live import Live
from rich.text import Text

from clearcast.cli.session import Session


class LiveScreen(ABC):
    """As a context; on a terminal there is a place below the lines, for what may still change."""

    def __init__(self, session: Session, *, as_json: bool, refresh_per_second: float) -> None:
        self._session, self._as_json = session, as_json
        self._below: Live | None = None
        if not as_json and session.results.is_terminal:
            self._below = Live(
                Text(), console=session.results, transient=True, refresh_per_second=refresh_per_second
            )

    def __enter__(self) -> None:
        if self._below is not None:
            self._below.start()

    def __exit__(self, *_: object) -> None:
        if self._below is not None:
            self._below.stop()

    def show(self, message: dict[str, Any]) -> None:
        """A message of the gateway's."""
        if self._as_json:
            click.echo(json.dumps(message, ensure_ascii=False))
        else:
            self._show(message)

    @abstractmethod
    def _show(self, message: dict[str, Any]) -> None:
        """For people."""

    def _put_below(self, text: Text) -> None:
        if self._below is not None:
            self._below.update(text)
