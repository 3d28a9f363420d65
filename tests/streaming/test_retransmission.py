"""Whether waiting for a packet pays, on a network whose time is counted and not waited for."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest

from streaming.packet_tap import REORDER_WAIT_S, AudioPacket, PacketOrder
from streaming.retransmission import LONGEST_WAIT_S, MOST_PACKETS, Retransmission

FRAME_S = 0.020


@dataclass
class Network:
    """A sender of 20 ms packets over a network that loses a share of everything both ways.

    Attributes:
        made_up: share of packets that never came in time.
        held_s: the longest that a packet was held back after it had come.
    """

    round_trip_s: float
    share: float = 0.05
    answers: bool = True
    packets: int = 5000
    order: PacketOrder = field(default_factory=PacketOrder)
    made_up: float = 0.0
    held_s: float = 0.0

    def run(self) -> Network:
        chance = random.Random(1)  # to be repeated, not to be secret
        one_way_s = self.round_trip_s / 2
        arrivals = [
            (number * FRAME_S + one_way_s + chance.uniform(0, 0.002), number)
            for number in range(self.packets)
            if number == 0 or chance.random() >= self.share
        ]
        heapq.heapify(arrivals)
        lost = 0
        while arrivals:
            now_s, number = heapq.heappop(arrivals)
            ready: list[tuple[float, AudioPacket]] = []
            while (expires_s := self.order.expires_s) is not None and expires_s <= now_s:
                ready += [(expires_s, packet) for packet in self.order.expire(expires_s + 1e-6)]
            came = self.order.push(7, number % 65_536, number * 960, b"x", now_s)
            ready += [(now_s, packet) for packet in came]
            for asked in self.order.to_ask:
                arrives = chance.random() >= self.share and chance.random() >= self.share
                if self.answers and arrives:
                    again_s = now_s + self.round_trip_s + chance.uniform(0, 0.004)
                    heapq.heappush(arrivals, (again_s, asked))
            self.order.to_ask.clear()
            for out_s, packet in ready:
                lost += packet.lost_before
                self.held_s = max(self.held_s, out_s - packet.arrived_s)
        self.made_up = lost / self.packets
        return self


@pytest.mark.parametrize("round_trip_ms", [2, 10, 20])
def test_a_sender_nearby_fills_most_gaps(round_trip_ms: int) -> None:
    network = Network(round_trip_ms / 1000).run()
    print(f"{round_trip_ms} ms: {network.made_up:.2%} made up, held {1000 * network.held_s:.0f} ms at most")
    assert network.made_up < 0.3 * network.share
    assert network.held_s < LONGEST_WAIT_S


@pytest.mark.parametrize(("round_trip_s", "answers"), [(0.060, True), (0.300, True), (0.010, False)])
def test_nobody_waits_for_what_will_not_come_in_time(round_trip_s: float, answers: bool) -> None:
    network = Network(round_trip_s, answers=answers).run()
    assert network.order.retransmission.asked > 200
    assert network.held_s <= REORDER_WAIT_S + 1e-3
    assert network.made_up == pytest.approx(network.share, rel=0.3)


def test_nothing_is_held_back_where_nothing_is_lost() -> None:
    network = Network(0.020, share=0.0).run()
    assert network.order.retransmission.asked == 0
    assert network.made_up == network.held_s == 0


def test_a_sender_that_stops_answering_is_not_waited_for_any_more() -> None:
    asking = Retransmission()
    for number in range(5):
        asking.missing(range(number, number + 1), float(number))
        asking.arrived(number, number + 0.015)
    assert 0.015 < asking.wait_s < LONGEST_WAIT_S
    for number in range(5, 10):
        asking.missing(range(number, number + 1), 2.0 * number)
    assert asking.wait_s == 0


def test_an_outage_is_not_asked_for() -> None:
    asking = Retransmission()
    assert asking.missing(range(MOST_PACKETS + 1), 0.0) == []
    assert asking.asked == 0
