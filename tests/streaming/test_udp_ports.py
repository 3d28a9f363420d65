"""Media keeps to its range of ports, with real peers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket

import pytest

from clearcast.errors import LiveError, Overloaded
from streaming.room import Room
from streaming.testing.chirps import chirps
from streaming.testing.peers import Ear, Guest, Mouth
from streaming.udp_ports import UdpPorts


def free_ports(count: int) -> UdpPorts:
    """A range in which nothing is open just now."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.bind(("", 0))
            start = first.getsockname()[1]
        try:
            for port in range(start, start + count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                    other.bind(("", port))
        except OSError:
            continue
        if start + count < 1 << 16:
            return UdpPorts(start, start + count - 1)


def sockets_of(guest: Guest) -> set[tuple[str, int]]:
    """(address, port): every address has ports of its own."""
    found = re.findall(
        r"a=candidate:\S+ \d+ udp \d+ (\S+) (\d+) typ host", guest.inside.localDescription.sdp
    )
    return {(address, int(port)) for address, port in found}


async def heard_within(ports: UdpPorts) -> None:
    room, ear, speaker, listener = Room(), Ear(), Guest(), Guest()
    speaker.outside.addTrack(Mouth(chirps(1.0)))
    room.add_broadcaster("anna", speaker.inside)
    listener.outside.addTransceiver("audio", direction="recvonly")
    listener.listen(ear.push)
    room.add_listener(listener.inside)
    await speaker.negotiate(ports=ports)
    await listener.negotiate(ports=ports)
    async with asyncio.timeout(20):
        while len(ear.packets) < 10:
            await asyncio.sleep(0.02)
    for guest in (speaker, listener):
        assert sockets_of(guest)
        assert {port for _, port in sockets_of(guest)} <= set(range(ports.first, ports.last + 1))
        await guest.close()
    await room.close()


async def test_media_flows_over_the_ports_of_the_range() -> None:
    await heard_within(free_ports(4))


async def test_when_all_ports_are_taken_that_is_said_and_closing_frees_one() -> None:
    ports, guests = free_ports(2), [Guest(), Guest(), Guest(), Guest()]
    for guest in guests:
        guest.outside.addTransceiver("audio", direction="recvonly")
        Room().add_listener(guest.inside)
    await guests[0].negotiate(ports=ports)
    await guests[1].negotiate(ports=ports)
    assert sockets_of(guests[0]).isdisjoint(sockets_of(guests[1]))
    with pytest.raises(Overloaded):
        await guests[2].negotiate(ports=ports)
    await guests[0].close()
    await guests[3].negotiate(ports=ports)
    for guest in guests:
        await guest.close()


async def test_other_sockets_of_the_loop_are_left_alone() -> None:
    ports, loop = free_ports(1), asyncio.get_running_loop()
    with ports.in_use():
        pass
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    assert transport.get_extra_info("sockname")[1] != ports.first
    with ports.in_use():
        chosen, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
    assert chosen.get_extra_info("sockname")[1] == ports.first
    transport.close()
    chosen.close()


class Unheard(UdpPorts):
    """As with an aioice that opens its sockets without asking the loop."""

    def in_use(self) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()


async def test_an_aioice_that_opens_its_sockets_otherwise_is_refused() -> None:
    ports, guest = free_ports(1), Guest()
    guest.outside.addTransceiver("audio", direction="recvonly")
    Room().add_listener(guest.inside)
    with pytest.raises(LiveError, match="aioice"):
        await guest.negotiate(ports=Unheard(ports.first, ports.last))
    await guest.close()
