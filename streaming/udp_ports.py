"""Which UDP ports the media of live rooms uses, so that a firewall can let in those and no others.

What lives here: the range, and the one place where aioice is made to keep to it. What does not: addresses
and servers (`peers`).

aioice binds its sockets to any free port, `local_addr=(address, 0)` on the running loop, and has no setting
for it. While an answer is made within a range, the loop's `create_datagram_endpoint` picks the port;
sockets that others open meanwhile are not touched. Should another aioice open its own in another way,
`check` refuses their ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clearcast.errors import LiveError, Overloaded

_HOST_CANDIDATE = re.compile(r"(?m)^a=candidate:\S+ \d+ udp \d+ \S+ (\d+) typ host", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UdpPorts:
    """Attributes:
    first, last: both included. A connection takes one port on every address of this machine.
    """

    first: int
    last: int

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """ICE sockets that are opened by what runs in here lie in the range."""
        _wrap(asyncio.get_running_loop())
        token = _wanted.set(self)
        try:
            yield
        finally:
            _wanted.reset(token)

    def check(self, sdp: str) -> None:
        """Raises Overloaded when a description has no address because all ports are taken, LiveError when
        one lies outside."""
        ports = [int(port) for port in _HOST_CANDIDATE.findall(sdp)]
        if not ports:
            raise Overloaded(
                "All UDP ports for live sound are taken.", hint="Widen the range of ports for live rooms."
            )
        if any(not self.first <= port <= self.last for port in ports):
            raise LiveError(
                "This version of aioice opens its sockets in a way that live rooms do not know.",
                hint="Use the version of aioice that requirements.lock names.",
            )

    def shuffled(self) -> Iterator[int]:
        """Every port once, from a random one on."""
        count = self.last - self.first + 1
        start = secrets.randbelow(count)
        return (self.first + (start + step) % count for step in range(count))


_wanted: contextvars.ContextVar[UdpPorts | None] = contextvars.ContextVar("wanted_udp_ports", default=None)


def _wrap(loop: asyncio.AbstractEventLoop) -> None:
    """Have this loop ask for the range that is in use where a socket is opened. Once is enough."""
    opened = loop.create_datagram_endpoint
    if getattr(opened, "picks_ports", False):
        return

    async def open_in_range(factory: Any, local_addr: Any = None, **options: Any) -> Any:
        ports = _wanted.get()
        if ports is None or local_addr is None or local_addr[1] != 0:
            return await opened(factory, local_addr=local_addr, **options)
        for port in ports.shuffled():
            try:
                return await opened(factory, local_addr=(local_addr[0], port), **options)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, "every port of the range is taken")

    open_in_range.picks_ports = True  # type: ignore[attr-defined]
    loop.create_datagram_endpoint = open_in_range  # type: ignore[method-assign, assignment]
