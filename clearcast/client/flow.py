"""Conversations with a server, written once and held by the blocking and the asynchronous client alike.

What lives here: a `Flow`, a generator that yields requests and pauses and is sent the answers; patience.
What does not: the flows (`files`, `jobs`), and who runs them (`transport`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import httpx

from clearcast.client.wire import Call
from clearcast.errors import ClearCastError, Overloaded, ServiceTimeout, ServiceUnavailable

T = TypeVar("T")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
SHORT_PATIENCE_S = 3.0
BROKEN = (ServiceUnavailable, ServiceTimeout)
"""What a connection that broke, or a server that restarts, is raised as."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, then go on."""

    seconds: float


Flow: TypeAlias = Generator[Call | Pause, httpx.Response | None, T]


def ask(call: Call) -> Flow[httpx.Response]:
    """One request. Raises what the server reports, and `BROKEN`."""
    response = yield call
    assert response is not None
    return response


def ask_again(call: Call) -> Flow[httpx.Response]:
    """One request that may be repeated without harm, also when nobody knows whether it arrived."""
    backoff = Backoff(SHORT_PATIENCE_S)
    while True:
        try:
            return (yield from ask(call))
        except BROKEN as error:
            yield Pause(backoff.pause_s(error))


class Patience:
    """How long a busy server is waited for, over all attempts of one call."""

    def __init__(self, total_s: float) -> None:
        self.left_s = total_s

    def wait_s(self, busy: Overloaded) -> float:
        """Seconds to wait before the next attempt. Raises `busy` when patience ends before."""
        pause_s = max(0.1, float(busy.retry_after_s))
        if pause_s > self.left_s:
            raise busy
        self.left_s -= pause_s
        return pause_s


class Backoff:
    """Growing pauses between attempts, until they add up to `total_s` without any success."""

    def __init__(self, total_s: float) -> None:
        self._total_s = total_s
        self.succeeded()

    def succeeded(self) -> None:
        self._left_s, self._next_s = self._total_s, FIRST_PAUSE_S

    def pause_s(self, error: ClearCastError) -> float:
        """Seconds to wait before the next attempt. Raises `error` when that would be too long."""
        pause_s = self._next_s
        if pause_s > self._left_s:
            raise error
        self._left_s -= pause_s
        self._next_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s
