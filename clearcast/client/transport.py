"""The connections of the Python client: sending calls, holding conversations, reading streams.

What lives here: httpx, blocking and asynchronous; its errors as ours; waiting for a busy server. What does
not: what is said (`wire`, `flow`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from clearcast.client.flow import Flow, Patience, Pause
from clearcast.client.wire import Call, error_of
from clearcast.errors import ClearCastError, Overloaded, ServiceTimeout, ServiceUnavailable

T = TypeVar("T")

_CONNECT_TIMEOUT_S = 10.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class _Base:
    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = 3600.0,
        busy_wait_s: float = 120.0,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.busy_wait_s = busy_wait_s
        self._settings: dict[str, Any] = {
            "base_url": self.base_url,
            "headers": {} if api_key is None else {"Authorization": f"Bearer {api_key}"},
            "timeout": httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S),
            # A proxy of the environment stands elsewhere and cannot reach this machine's loopback.
            "trust_env": urlsplit(base_url).hostname not in _LOOPBACK,
        }

    def _translated(self, error: httpx.HTTPError | httpx.InvalidURL) -> ServiceTimeout | ServiceUnavailable:
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return ServiceTimeout(f"{self.base_url} did not answer in time.")
        return ServiceUnavailable(
            f"No ClearCast server can be reached at {self.base_url} ({error or type(error).__name__}).",
            hint="Start one with `clearcast serve`, or check the address.",
        )


class Transport(_Base):
    """Blocking."""

    def __init__(self, base_url: str, api_key: str | None = None, **options: float) -> None:
        super().__init__(base_url, api_key, **options)
        self._http = httpx.Client(**self._settings)

    def close(self) -> None:
        self._http.close()

    def send(self, call: Call) -> httpx.Response:
        """The answer. Raises what the server reports, ServiceUnavailable, ServiceTimeout."""
        patience = Patience(self.busy_wait_s)
        while True:
            try:
                with ExitStack() as stack:
                    response = self._http.request(**call.arguments(stack))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._translated(error) from error
            if response.is_success:
                return response
            problem = error_of(response)
            if not isinstance(problem, Overloaded):
                raise problem
            time.sleep(patience.wait_s(problem))

    def run(self, flow: Flow[T]) -> T:
        """Hold a conversation to its end."""
        turn = flow.send
        value: Any = None
        try:
            while True:
                step = turn(value)
                turn = flow.send
                try:
                    if isinstance(step, Pause):
                        time.sleep(step.seconds)
                    value = None if isinstance(step, Pause) else self.send(step)
                except ClearCastError as error:
                    turn, value = flow.throw, error  # type: ignore[assignment]
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    @contextmanager
    def stream(self, call: Call) -> Iterator[httpx.Response]:
        """The answer, its body still to be read. Raises as `send`, also while it is read."""
        try:
            with ExitStack() as stack:
                response = stack.enter_context(self._http.stream(**call.arguments(stack)))
                if not response.is_success:
                    response.read()
                    raise error_of(response)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._translated(error) from error


class AsyncTransport(_Base):
    """The same for asynchronous code."""

    def __init__(self, base_url: str, api_key: str | None = None, **options: float) -> None:
        super().__init__(base_url, api_key, **options)
        self._http = httpx.AsyncClient(**self._settings)

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, call: Call) -> httpx.Response:
        patience = Patience(self.busy_wait_s)
        while True:
            try:
                with ExitStack() as stack:
                    response = await self._http.request(**call.arguments(stack))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._translated(error) from error
            if response.is_success:
                return response
            problem = error_of(response)
            if not isinstance(problem, Overloaded):
                raise problem
            await asyncio.sleep(patience.wait_s(problem))

    async def run(self, flow: Flow[T]) -> T:
        turn = flow.send
        value: Any = None
        try:
            while True:
                step = turn(value)
                turn = flow.send
                try:
                    if isinstance(step, Pause):
                        await asyncio.sleep(step.seconds)
                    value = None if isinstance(step, Pause) else await self.send(step)
                except ClearCastError as error:
                    turn, value = flow.throw, error  # type: ignore[assignment]
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[httpx.Response]:
        try:
            async with AsyncExitStack() as stack:
                with ExitStack() as files:
                    response = await stack.enter_async_context(self._http.stream(**call.arguments(files)))
                    if not response.is_success:
                        await response.aread()
                        raise error_of(response)
                    yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._translated(error) from error
