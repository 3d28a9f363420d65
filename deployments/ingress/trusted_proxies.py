"""Requests through a reverse proxy: who sent them, and whether over HTTPS, as the proxy says.

What lives here: believing `X-Forwarded-For` and `X-Forwarded-Proto`, from the addresses in
`http.trusted_proxies` and from nobody else, since anybody can write them. What does not: what is made of
the address (`access.py`) and of the scheme (`auth.py`).

The server inside Ray Serve's own proxy is uvicorn, which believes both headers from loopback before a
request comes here, unless the environment it was started in says `FORWARDED_ALLOW_IPS=`, as
`deployments/server.py` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware


class TrustedProxies:
    """ASGI middleware that puts the sender's address and scheme in the place of a trusted proxy's.

    The sender is the right-most address in `X-Forwarded-For` that is no trusted proxy itself: those to the
    left of it are only what the sender says.
    """

    def __init__(self, app: ASGIApp, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self.app = app
        if networks:
            trusted = [name for network in networks for name in _names(network)]
            self.app = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, app), trusted))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def _names(network: IPv4Network | IPv6Network) -> list[str]:
    """The network and, of IPv4, how a server that listens on IPv6 sees it (RFC 4291 §2.5.5.2)."""
    if isinstance(network, IPv4Network):
        return [str(network), f"::ffff:{network.network_address}/{96 + network.prefixlen}"]
    return [str(network)]
