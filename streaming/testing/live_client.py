"""A client of live rooms over a real WebSocket, with real peers: what a browser's page does, in Python.

What lives here: asking, waiting for messages, publishing, listening, coming back. What does not: sounds
(`chirps`), mouths and ears (`peers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable
from typing import Any

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from streaming.packet_tap import PacketTap
from streaming.peers import new_peer
from streaming.testing.peers import Ear, Mouth, connected

WAIT_S = 15.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0

Json = dict[str, Any]


class LiveClient:
    """Attributes:
    messages: all that came, oldest first, answers with a `ref` among them.
    joined: the answer to the last `join`.
    """

    def __init__(self, url: str, credential: str | None = None, **join: Any) -> None:
        """`url`: the room's WebSocket. `join`: further fields of that message."""
        self.url = url
        self.messages: list[Json] = []
        self.joined: Json = {}
        self._join = {"type": "join", "credential": credential, **join}
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._refs = itertools.count(1)
        self._peers: list[RTCPeerConnection] = []
        self._taps: list[PacketTap] = []

    @property
    def me(self) -> str:
        """One's own participant id."""
        return str(self.joined["you"]["id"])

    @property
    def socket(self) -> ClientConnection:
        assert self._socket is not None
        return self._socket

    async def join(self, *, resume: bool = False) -> Json:
        """Connect and join, with `resume` as the one from before. Gives the answer, be it an error."""
        await self._hang_up()
        self._socket = await connect(self.url, max_size=None, ping_interval=None)
        fields = {name: value for name, value in self._join.items() if value is not None}
        if resume and self.joined:
            fields["resume"] = self.joined["resume"]
        await self.socket.send(json.dumps(fields))
        first: Json = json.loads(await asyncio.wait_for(self.socket.recv(), WAIT_S))
        self.messages.append(first)
        if first["type"] == "joined":
            self.joined = first
        self._reading = asyncio.create_task(self._read(self.socket))
        return first

    async def _read(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                self.messages.append(json.loads(text))
                self._news.set()
        self._news.set()

    async def send(self, type: str, **fields: Any) -> None:  # noqa: A002 - the protocol's word
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def ask(self, type: str, **fields: Any) -> Json:  # noqa: A002
        """Send, and give what answers it."""
        ref = f"r{next(self._refs)}"
        await self.send(type, ref=ref, **fields)
        return await self.heard(lambda message: message.get("ref") == ref)

    async def heard(self, fits: Callable[[Json], bool], within_s: float = WAIT_S) -> Json:
        """The latest message that fits, as soon as there is one. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while True:
                for message in reversed(self.messages):
                    if fits(message):
                        return message
                self._news.clear()
                await self._news.wait()

    async def told(self, type: str, within_s: float = WAIT_S, **fields: Any) -> Json:  # noqa: A002
        """The latest message of this type with these fields. Raises TimeoutError."""
        wanted = {"type": type, **fields}
        return await self.heard(
            lambda message: all(message.get(name) == value for name, value in wanted.items()), within_s
        )

    async def closed(self, within_s: float = WAIT_S) -> int:
        """The code with which the server closes. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code

    async def publish(self, mouth: Mouth) -> Json:
        """Speak; the answer, be it an error."""
        peer = self._new_peer()
        peer.addTrack(mouth)
        return await self._offer(peer, "publish")

    async def listen(self, ear: Ear) -> Json:
        """Hear; the answer, be it an error."""
        peer = self._new_peer()
        peer.addTransceiver("audio", direction="recvonly")
        self.hear(peer, ear)
        return await self._offer(peer, "listen")

    def hear(self, peer: RTCPeerConnection, ear: Ear) -> None:
        """Have `ear` get what comes over this connection."""

        def on_track(track: MediaStreamTrack) -> None:
            receiver = next(one.receiver for one in peer.getTransceivers() if one.receiver.track is track)
            self._taps.append(PacketTap(receiver, track, ear.push))

        peer.on("track", on_track)

    async def _offer(self, peer: RTCPeerConnection, kind: str) -> Json:
        await peer.setLocalDescription()
        answer = await self.ask(kind, sdp=peer.localDescription.sdp)
        if "sdp" in answer:
            await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
            await connected(peer)
        return answer

    def _new_peer(self) -> RTCPeerConnection:
        peer = new_peer()
        self._peers.append(peer)
        return peer

    async def stay(self, new_mouth: Callable[[], Mouth] | None = None, ear: Ear | None = None) -> None:
        """Be in the room, speak and hear, and come back whenever that breaks, until cancelled: what the
        page does. The pauses between tries grow from 0.1 to 1 s."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self.drop_peers()
                first = await self.join(resume=True)
                if first["type"] == "joined":
                    pause_s = _FIRST_PAUSE_S
                    if new_mouth is not None:
                        await self.publish(new_mouth())
                    if ear is not None:
                        await self.listen(ear)
                await self.socket.wait_closed()
            except (OSError, TimeoutError, WebSocketException, ValueError):
                pass  # try again
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def break_off(self) -> None:
        """The network goes: no farewell. Peers stay."""
        self.socket.transport.abort()

    async def _hang_up(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._reading is not None:
            await self._reading
        self._socket = self._reading = None

    async def drop_peers(self) -> None:
        """End the connections of sound."""
        taps, self._taps = self._taps, []
        peers, self._peers = self._peers, []
        for tap in taps:
            await tap.close()
        for peer in peers:
            await peer.close()

    async def close(self) -> None:
        await self._hang_up()
        await self.drop_peers()
