"""Many listeners in a process of their own, so that what they cost is not counted as the room's.

    python -m streaming.testing.crowd 100

What lives here: both ends. The child writes one JSON line of offers, reads one of answers, and then answers
every line with how many packets each of its listeners has got.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

from streaming.packet_tap import AudioPacket, PacketTap
from streaming.peers import new_peer
from streaming.testing.peers import connected

_LINE_BYTES = 1 << 24


class Crowd:
    """The parent's end."""

    def __init__(self, process: asyncio.subprocess.Process, offers: list[str]) -> None:
        self.offers = offers
        self._process = process

    async def take(self, answers: list[str]) -> None:
        """Returns when all are connected."""
        await self._ask(answers)

    async def counts(self) -> list[int]:
        """Packets of each listener so far."""
        counts: list[int] = await self._ask("count")
        return counts

    async def _ask(self, line: object) -> list[int]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        await self._process.stdin.drain()
        return await _read_line(self._process)


async def _read_line(process: asyncio.subprocess.Process) -> list[Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the crowd has left")
    return list(json.loads(line))


@asynccontextmanager
async def crowd(count: int) -> AsyncIterator[Crowd]:
    """So many listeners with their offers; they leave at the end."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "streaming.testing.crowd", str(count))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=_LINE_BYTES)
    try:
        yield Crowd(process, [str(offer) for offer in await _read_line(process)])
    finally:
        process.kill()
        await process.wait()


class _Listener:
    def __init__(self) -> None:
        self.peer: RTCPeerConnection = new_peer()
        self.count = 0
        self.peer.addTransceiver("audio", direction="recvonly")
        self.peer.on("track", self._on_track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        receiver = next(one.receiver for one in self.peer.getTransceivers() if one.receiver.track is track)
        self._tap = PacketTap(receiver, track, self._on_packet)

    def _on_packet(self, _packet: AudioPacket) -> None:
        self.count += 1


async def _child(count: int) -> None:
    listeners = [_Listener() for _ in range(count)]
    for listener in listeners:
        await listener.peer.setLocalDescription()
    print(json.dumps([listener.peer.localDescription.sdp for listener in listeners]), flush=True)
    answers = json.loads(await asyncio.to_thread(sys.stdin.readline))
    for listener, text in zip(listeners, answers, strict=True):
        await listener.peer.setRemoteDescription(RTCSessionDescription(text, "answer"))
    for listener in listeners:
        await connected(listener.peer, 30.0)
    print(json.dumps([0 for _ in listeners]), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps([listener.count for listener in listeners]), flush=True)


if __name__ == "__main__":
    asyncio.run(_child(int(sys.argv[1])))
