"""A connection that carries text messages, whatever it is made of.

What lives here: the contract, how fast a client may talk, which close code tells which error. What
does not: WebSockets (`deployments/live`), what is said (`messages`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from clearcast.errors import ClearCastError, InputError, RateLimited, RoomElsewhere
from streaming.messages import ErrorMessage

MESSAGES_PER_S = 20.0
BURST_MESSAGES = 60
SEND_WITHIN_S = 10.0  # who takes longer for one message is dropped

_CODES = {
    HTTPStatus.UNAUTHORIZED: 4401,
    HTTPStatus.FORBIDDEN: 4403,
    HTTPStatus.LOCKED: 4403,
    HTTPStatus.NOT_FOUND: 4404,
    HTTPStatus.GONE: 4404,
}


class WireClosed(Exception):
    """The other side has gone."""


class Wire(Protocol):
    async def receive(self) -> str:
        """The next message. Raises WireClosed; MessageMalformed for what is no text."""

    async def send(self, text: str) -> None:
        """Raises WireClosed. May take as long as the other side reads slowly."""

    async def close(self, code: int) -> None:
        """With a code of RFC 6455 §7.4. Does nothing when it is closed already, and never takes long."""


class TalkLimit:
    """A bucket of `BURST_MESSAGES` that fills at `MESSAGES_PER_S`."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._left = float(BURST_MESSAGES)
        self._since_s = clock_s()

    def take(self) -> None:
        """One message. Raises RateLimited."""
        now_s = self._clock_s()
        self._left = min(BURST_MESSAGES, self._left + (now_s - self._since_s) * MESSAGES_PER_S)
        self._since_s = now_s
        if self._left < 1:
            raise RateLimited("Too many messages.", retry_after_s=1, hint="20 a second are taken.")
        self._left -= 1


def close_code(error: ClearCastError) -> int:
    """What tells a client why it is sent away: see `docs/rooms.md`, "Close codes"."""
    if isinstance(error, RoomElsewhere):
        return 1000
    if error.http_status in _CODES:
        return _CODES[HTTPStatus(error.http_status)]
    if error.retryable:
        return 1013
    return 1008 if isinstance(error, InputError) else 1011


def unexpected() -> ClearCastError:
    """What a client is told of an error that is nobody's but ours, once it is in the log."""
    return ClearCastError("An unexpected error happened; it was logged.")


def error_message(error: ClearCastError, ref: str | None = None) -> ErrorMessage:
    """As a problem document says it."""
    fields = {name: value for name, value in error.fields.items() if name not in ErrorMessage.model_fields}
    return ErrorMessage(
        ref=ref,
        code=error.code,
        title=error.title,
        detail=error.message,
        hint=error.hint,
        retryable=error.retryable,
        **fields,
    )


def ref_of(error: ClearCastError) -> str | None:
    """Which message of the client's it is about, where that is known."""
    ref = error.fields.get("ref")
    return ref if isinstance(ref, str) else None
