"""WebSockets of the gateway: a room's, presence, and the older platform's.

What lives here: Starlette's sockets as `streaming.wire.Wire`, and the routes. What does not: what is said.

Any page may open these sockets, whatever its origin. No cookie is looked at: a credential is in the first
message or in the Authorization header, neither of which a browser adds by itself, so a foreign page can do
nothing that its author could not do without the visitor's browser.
"""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from clearcast.errors import MessageMalformed
from deployments.live.presence import PresenceSession
from deployments.live.state import live_state_of
from streaming.session import Session
from streaming.wire import WireClosed

router = APIRouter()

_CLOSE_WITHIN_S = 2.0


class SocketWire:
    """`streaming.wire.Wire` over an accepted WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> str:
        if self._socket.client_state is not WebSocketState.CONNECTED:
            raise WireClosed
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WireClosed
        text = message.get("text")
        if not isinstance(text, str):
            raise MessageMalformed("Messages are text.")
        return text

    async def send(self, text: str) -> None:
        try:
            await self._socket.send_text(text)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise WireClosed from error

    async def close(self, code: int) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                await self._socket.close(code)


@router.websocket("/v1/rooms/{room_id}/ws")
async def room_socket(socket: WebSocket, room_id: str) -> None:
    state = live_state_of(socket)
    await socket.accept()
    session = Session(SocketWire(socket), state.hall, state.doors, room_id, bearer_of(socket))
    await session.run()


@router.websocket("/v1/presence")
async def presence_socket(socket: WebSocket) -> None:
    state = live_state_of(socket)
    await socket.accept()
    await PresenceSession(SocketWire(socket), state, bearer_of(socket)).run()


def bearer_of(socket: WebSocket) -> str | None:
    """The credential in the Authorization header (RFC 6750 §2.1)."""
    scheme, _, credential = socket.headers.get("authorization", "").partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None
