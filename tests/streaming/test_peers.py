"""STUN and TURN servers given as arguments are asked, by a real server (coturn)."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiortc import RTCIceServer

from clearcast.ports import free_port
from streaming.room import Room
from streaming.testing.chirps import chirps
from streaming.testing.peers import Guest, Mouth

pytestmark = pytest.mark.alone


@pytest.fixture
def turn_server(tmp_path: Path) -> Iterator[str]:
    """host:port of a TURN server that knows the user `anna` with the password `secret`."""
    port = free_port()
    command = ["turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--lt-cred-mech"]
    command += ["--user=anna:secret", "--realm=clearcast", "--allow-loopback-peers"]
    command += ["--listening-ip=127.0.0.1", f"--listening-port={port}", f"--pidfile={tmp_path / 'pid'}"]
    command += ["--relay-ip=127.0.0.1", f"--userdb={tmp_path / 'users'}", "--log-file=stdout"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.kill()


async def answered(servers: list[RTCIceServer]) -> str:
    """Our answer's candidates, and sound that came by them."""
    guest, room = Guest(servers), Room()
    guest.outside.addTrack(Mouth(chirps(1.0)))
    voice = room.add_broadcaster("anna", guest.inside)
    await guest.negotiate()
    async with asyncio.timeout(20):
        while voice.counts.received < 5:
            await asyncio.sleep(0.02)
    sdp: str = guest.inside.localDescription.sdp
    await guest.close()
    await room.close()
    return sdp


async def test_a_turn_server_lends_an_address(turn_server: str) -> None:
    server = RTCIceServer(f"turn:{turn_server}", username="anna", credential="secret")
    assert " typ relay" in await answered([server])
    wrong = RTCIceServer(f"turn:{turn_server}", username="anna", credential="wrong")
    assert " typ relay" not in await answered([wrong])


async def test_a_stun_server_is_asked_and_nobody_without_one(turn_server: str) -> None:
    assert " typ srflx" in await answered([RTCIceServer(f"stun:{turn_server}")])
    assert " typ srflx" not in await answered([])
