from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import MediaStreamTrack
from hypothesis import given
from hypothesis import strategies as st

from clearcast.errors import PacketTapBroken
from streaming.packet_tap import (
    REORDER_PACKETS,
    REORDER_WAIT_S,
    AudioPacket,
    PacketOrder,
    PacketTap,
)
from streaming.peers import new_peer
from streaming.testing.peers import Ear


def push(order: PacketOrder, number: int, now_s: float, source: int = 7) -> list[AudioPacket]:
    """Packet `number` of a count that begins right before both RTP counters wrap."""
    sequence, timestamp = (65_530 + number) % 65_536, (2**32 - 1920 + 960 * number) % 2**32
    return order.push(source, sequence, timestamp, bytes([number % 256]), now_s)


def numbers(packets: list[AudioPacket]) -> list[int]:
    return [packet.sequence - 65_530 for packet in packets]


async def test_this_aiortc_has_its_jitter_buffer_where_the_tap_stands() -> None:
    """Fails when another version has moved it. Then `packet_tap.py`, and nothing else, has to follow."""
    peer = new_peer()
    receiver = peer.addTransceiver("audio", direction="recvonly").receiver
    buffer = vars(receiver)["_RTCRtpReceiver__jitter_buffer"]
    assert type(buffer).__name__ == "JitterBuffer"
    assert buffer.add.__code__.co_varnames[:2] == ("self", "packet")
    ask_again = type(receiver)._send_rtcp_nack
    assert ask_again.__code__.co_varnames[:3] == ("self", "media_ssrc", "lost")
    await peer.close()


async def test_a_receiver_of_another_shape_is_refused() -> None:
    strange: Any = SimpleNamespace()
    track: Any = MediaStreamTrack
    with pytest.raises(PacketTapBroken, match="aiortc"):
        PacketTap(strange, track, Ear().push)


def test_packets_in_order_pass_at_once_across_both_wraps() -> None:
    order = PacketOrder()
    out = [packet for number in range(12) for packet in push(order, number, number * 0.02)]
    assert numbers(out) == list(range(12))
    assert [packet.timestamp for packet in out] == [2**32 - 1920 + 960 * number for number in range(12)]
    assert [packet.restarted for packet in out] == [True] + [False] * 11


def test_a_packet_that_was_overtaken_gets_its_place() -> None:
    order = PacketOrder()
    assert numbers(push(order, 0, 0.0)) == [0]
    assert push(order, 2, 0.020) == []
    assert numbers(push(order, 1, 0.022)) == [1, 2]
    assert order.late == 0


def test_a_lost_packet_delays_no_longer_than_promised() -> None:
    order = PacketOrder()
    push(order, 0, 0.0)
    assert push(order, 3, 0.060) == []
    assert order.expires_s == 0.060 + REORDER_WAIT_S
    assert order.expire(0.060 + REORDER_WAIT_S / 2) == []
    (packet,) = order.expire(0.060 + REORDER_WAIT_S)
    assert (packet.lost_before, packet.sequence - 65_530) == (2, 3)
    assert order.expires_s is None
    assert push(order, 2, 0.075) == []
    assert order.late == 1


def test_a_burst_is_not_held_back_beyond_its_bound() -> None:
    order = PacketOrder()
    push(order, 0, 0.0)
    held = [push(order, number, 0.0) for number in range(2, 2 + REORDER_PACKETS)]
    assert numbers(held[-1]) == list(range(2, 2 + REORDER_PACKETS))
    assert held[-1][0].lost_before == 1


def test_another_source_begins_anew_and_what_waited_comes_first() -> None:
    order = PacketOrder()
    push(order, 0, 0.0)
    push(order, 2, 0.02)
    out = push(order, 5, 0.03, source=8)
    assert [(packet.lost_before, packet.restarted) for packet in out] == [(1, False), (0, True)]


@given(st.lists(st.integers(0, 60), max_size=120))
def test_whatever_comes_leaves_in_order_once_and_every_gap_is_told(arrivals: list[int]) -> None:
    order = PacketOrder()
    out: list[AudioPacket] = []
    for step, number in enumerate(arrivals):
        out += push(order, number, step * 0.003)
    out += order.expire(1e9)
    assert all(later.sequence > earlier.sequence for earlier, later in pairwise(out))
    assert all(
        later.lost_before == later.sequence - earlier.sequence - 1 for earlier, later in pairwise(out)
    )
    assert len(out) + order.late == len(arrivals)


async def test_a_timer_gives_up_on_a_lost_packet() -> None:
    peer = new_peer()
    transceiver = peer.addTransceiver("audio", direction="recvonly")
    got: list[AudioPacket] = []
    tap = PacketTap(transceiver.receiver, transceiver.receiver.track or Waiting(), got.append)
    for sequence in (1, 3):
        packet: Any = SimpleNamespace(
            ssrc=1, sequence_number=sequence, timestamp=960 * sequence, payload=b"x"
        )
        assert tap.add(packet) == (False, None)
    assert len(got) == 1
    await asyncio.sleep(0.1)
    assert [packet.lost_before for packet in got] == [0, 1]
    await tap.close()
    await peer.close()


class Waiting(MediaStreamTrack):
    """A track on which nothing comes."""

    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.Event().wait()
