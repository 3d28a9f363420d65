"""The live gateway as commands see it: its address, the key, WebSockets whose failures are our errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import click
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI

from clearcast.cli.options import ServerOptions
from clearcast.cli.session import Session
from clearcast.cli.workers import key_for
from clearcast.client.wire import error_of_document
from clearcast.errors import OptionInvalid, ServiceUnavailable

_ANY_STATUS = 500  # messages have a code; only for those of a server that is newer than this program

option = click.option(
    "--gateway",
    metavar="URL",
    help="The live gateway; without it the one of this machine, or port 8001 of --server's.",
)


@dataclass(frozen=True, slots=True)
class Gateway:
    """Attributes:
    url: ws(s)://HOST:PORT, without a slash at its end.
    """

    url: str
    api_key: str | None = field(repr=False)

    @asynccontextmanager
    async def connected(self, path: str) -> AsyncIterator[ClientConnection]:
        """Raises ServiceUnavailable, OptionInvalid."""
        try:
            socket = await connect(self.url + path, max_size=None)
        except InvalidURI as error:
            raise OptionInvalid(f"{self.url} is no address.") from error
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise ServiceUnavailable(
                f"There is no live gateway at {self.url}.", hint="Start one with: clearcast serve"
            ) from error
        try:
            yield socket
        finally:
            await socket.close()


def gateway_of(session: Session, server: ServerOptions, url: str | None) -> Gateway:
    """Raises SettingsInvalid."""
    http, live = session.settings.http, session.settings.live
    api = server.url or f"http://{http.host}:{http.port}"
    if url is None:
        parts = urlsplit(api)
        url = live.url if server.url is None else f"{parts.scheme}://{parts.hostname}:{live.port}"
    key = key_for(session, server, url) or key_for(session, server, api)
    return Gateway(url.rstrip("/").replace("http", "ws", 1), key)


def read_message(text: str | bytes) -> dict[str, Any]:
    """A message of the gateway. Raises the error that one of type `error` tells, OptionInvalid."""
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ServiceUnavailable("This is no live gateway.")
    if message.get("type") == "error":
        fields = {name: value for name, value in message.items() if name not in ("type", "ref")}
        raise error_of_document(fields, _ANY_STATUS)
    return message
