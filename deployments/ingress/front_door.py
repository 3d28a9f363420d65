"""The outermost layer of every request: its id, its line in the log, its count, its security headers.

What lives here: one plain ASGI middleware. What does not: who may enter (`access.py`) and what an error
looks like (`problems.py`).

The log and the metrics name a route by its template ("/v1/voices/{name}"), never by its address, because
addresses hold people's names; query strings, headers and bodies are not looked at.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.ingress.log_lines import log_fields
from deployments.ingress.metrics import Metrics
from deployments.ingress.problems import PROBLEM_CODE, REQUEST_ID, problem_response

logger = logging.getLogger("clearcast.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT_LEFT = 499  # as in the error tree: the client closed the request
_NO_ROUTE = "(none)"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class FrontDoor:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = _Visit(scope, receive, send)
        with self.metrics.in_flight.track_inprogress(), log_fields(request_id=visit.request_id):
            try:
                await self.app(scope, visit.receive, visit.send)
            except asyncio.CancelledError:
                visit.status = _CLIENT_LEFT
                raise
            except Exception as error:
                if visit.answered:
                    raise  # half an answer is out: the server can only break the connection
                await problem_response(scope, error)(scope, visit.receive, visit.send)
            finally:
                self._record(visit)

    def _record(self, visit: _Visit) -> None:
        method = visit.method
        route = visit.route
        seconds = time.monotonic() - visit.started_s
        self.metrics.requests.labels(method, route, visit.status).inc()
        self.metrics.request_seconds.labels(method, route).observe(seconds)
        if visit.received_bytes:
            self.metrics.received_bytes.labels(route).inc(visit.received_bytes)
        if visit.problem_code is not None:
            self.metrics.count_problem(visit.problem_code)
        quiet = route.startswith(("/health/", "/metrics"))
        logger.log(
            logging.DEBUG if quiet else logging.INFO,
            "request",
            extra={
                "request_id": visit.request_id,
                "method": method,
                "route": route,
                "status": visit.status,
                "seconds": round(seconds, 4),
                "code": visit.problem_code,
            },
        )


class _Visit:
    """One request on its way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request_id = _request_id(Headers(scope=scope).get("x-request-id"))
        self.started_s = time.monotonic()
        self.status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        self.answered = False
        self.received_bytes = 0
        self._scope = scope
        self._receive = receive
        self._send = send
        scope.setdefault("state", {})[REQUEST_ID] = self.request_id

    @property
    def method(self) -> str:
        return self._scope["method"] if self._scope["method"] in _METHODS else "OTHER"

    @property
    def route(self) -> str:
        return getattr(self._scope.get("route"), "path", _NO_ROUTE)

    @property
    def problem_code(self) -> str | None:
        code: Any = self._scope["state"].get(PROBLEM_CODE)
        return code if isinstance(code, str) else None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received_bytes += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.answered = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _request_id(given: str | None) -> str:
    """The caller's own id when it is short and plain, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return f"req_{secrets.token_hex(12)}"
