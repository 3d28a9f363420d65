"""The packets of a received track, before aiortc delays and decodes them.

What lives here: the one place that touches private attributes of aiortc, and the order of packets. What
does not: what is inside the packets, and which are worth waiting for (`retransmission`).

aiortc holds packets in a jitter buffer of four frames (80 ms) and stalls for 320 ms when one is lost. Its
`RTCRtpReceiver` keeps that buffer in a private attribute; an object of our own in its place sees every
packet as it comes. It has missing packets asked for again (NACK), which aiortc does for pictures only.
`PacketTap` refuses, and a test fails, when another aiortc has moved either.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiortc
from aiortc import MediaStreamTrack, RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtpPacket

from clearcast.errors import PacketTapBroken
from streaming.retransmission import Retransmission

logger = logging.getLogger(__name__)

_JITTER_BUFFER, _ASK_AGAIN = "_RTCRtpReceiver__jitter_buffer", "_send_rtcp_nack"

# Packets overtake one another by a few ms; who comes later than this counts as lost, unless it was asked
# for again and is known to come soon. One loss never delays what follows by more than either.
REORDER_WAIT_S = 0.010
REORDER_PACKETS = 4

_SEQUENCES, _TIMESTAMPS = 1 << 16, 1 << 32
_RESTART_PACKETS = (
    1000  # 20 s of 20 ms: a jump this far is a new count, not a loss (RFC 3550, appendix A.1)
)


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One packet in its order. Attributes:
    sequence, timestamp: as in RTP, but never wrapping; the timestamp in samples at 48 kHz.
    payload: the Opus packet.
    lost_before: how many packets before this one never came.
    restarted: True where the counts begin anew: the first packet, another source, a far jump.
    arrived_s: on the clock of `time.monotonic`.
    """

    sequence: int
    timestamp: int
    payload: bytes
    lost_before: int
    restarted: bool
    arrived_s: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A packet of which only the order is not settled yet."""

    timestamp: int
    payload: bytes
    arrived_s: float


class PacketOrder:
    """Puts packets in order. What it holds back is bounded in number and time.

    Attributes:
        late: packets that came after they had been counted as lost, and duplicates.
        retransmission: what was asked for again; `to_ask` is to be asked for now.
    """

    def __init__(self, wait_s: float = REORDER_WAIT_S, packets: int = REORDER_PACKETS) -> None:
        self.late = 0
        self.retransmission = Retransmission()
        self.to_ask: list[int] = []
        self._seen = 0  # the highest number so far, and one more
        self._wait_s, self._packets = wait_s, packets
        self._source: int | None = None
        self._next = 0
        self._timestamp = 0
        self._restarted = True
        self._waiting: dict[int, _Waiting] = {}

    def push(
        self, source: int, sequence: int, timestamp: int, payload: bytes, now_s: float
    ) -> list[AudioPacket]:
        """One packet in, as RTP has it (`source` is its SSRC); those whose turn has come out."""
        ready: list[AudioPacket] = []
        ahead = (sequence - self._next + _SEQUENCES // 2) % _SEQUENCES - _SEQUENCES // 2
        if source != self._source or abs(ahead) >= _RESTART_PACKETS:
            ready = self._release(all_of_them=True)
            self._source, self._next, self._timestamp = source, sequence, timestamp
            self._restarted, ahead, self._seen = True, 0, sequence
        number = self._next + ahead
        self._ask_for(number, now_s)
        if ahead < 0 or number in self._waiting:
            self.late += 1
            return ready
        step = (timestamp - self._timestamp + _TIMESTAMPS // 2) % _TIMESTAMPS - _TIMESTAMPS // 2
        self._waiting[number] = _Waiting(self._timestamp + step, payload, now_s)
        return ready + self._release() + self.expire(now_s)

    def _ask_for(self, number: int, now_s: float) -> None:
        if number < self._seen:
            self.retransmission.arrived(number, now_s)
        elif number > self._seen:
            self.to_ask += self.retransmission.missing(range(self._seen, number), now_s)
        self._seen = max(self._seen, number + 1)

    def expire(self, now_s: float) -> list[AudioPacket]:
        """What is out at once because it, or what it waits for, has waited long enough."""
        ready: list[AudioPacket] = []
        while self._waiting:
            expires_s = self.expires_s
            if len(self._waiting) < self._packets and expires_s is not None and now_s < expires_s:
                break
            ready += self._release(skip=True)
        return ready

    @property
    def expires_s(self) -> float | None:
        """When `expire` will have something, or None."""
        if not self._waiting:
            return None
        wait_s = max(self._wait_s, self.retransmission.wait_s)
        return min(waiting.arrived_s for waiting in self._waiting.values()) + wait_s

    def _release(self, *, skip: bool = False, all_of_them: bool = False) -> list[AudioPacket]:
        """Those that follow without a gap; `skip` gives up the first gap, `all_of_them` every gap."""
        ready: list[AudioPacket] = []
        while self._waiting:
            lost = 0
            if self._next not in self._waiting:
                if not (skip or all_of_them):
                    break
                lost = min(self._waiting) - self._next
            skip = False
            ready.append(self._take(self._next + lost, lost))
        return ready

    def _take(self, number: int, lost: int) -> AudioPacket:
        waiting = self._waiting.pop(number)
        packet = AudioPacket(
            number, waiting.timestamp, waiting.payload, lost, self._restarted, waiting.arrived_s
        )
        self._next, self._timestamp, self._restarted = number + 1, waiting.timestamp, False
        return packet


class PacketTap:
    """Stands where aiortc's jitter buffer stood, and hands every packet on in its order.

    The original track is awaited as long as the tap lives, so that its end is noticed; nothing else may
    read it, for nothing comes out of it any more.
    """

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        track: MediaStreamTrack,
        on_packet: Callable[[AudioPacket], None],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Call it on the event loop, before the first packet. Raises PacketTapBroken."""
        known = isinstance(getattr(receiver, _JITTER_BUFFER, None), JitterBuffer)
        if not known or not asyncio.iscoroutinefunction(getattr(receiver, _ASK_AGAIN, None)):
            raise PacketTapBroken(
                f"aiortc {aiortc.__version__} has other insides than live rooms know.",
                hint="Use the version of aiortc that requirements.lock names.",
            )
        self._order = PacketOrder()
        self._on_packet, self._on_end = on_packet, on_end
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._receiver = receiver
        self._asking: set[asyncio.Task[None]] = set()
        setattr(receiver, _JITTER_BUFFER, self)
        self._watching = asyncio.ensure_future(self._watch(track))

    @property
    def late(self) -> int:
        """Packets that came too late or twice."""
        return self._order.late

    @property
    def retransmission(self) -> Retransmission:
        """What was asked for again, and what came of it."""
        return self._order.retransmission

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """What aiortc calls for every packet: no picture is asked for, no frame comes out."""
        if not self._closed and packet.payload:
            now_s = time.monotonic()
            ready = self._order.push(
                packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload, now_s
            )
            self._ask_again(packet.ssrc)
            self._hand_on(ready)
        return False, None

    def _ask_again(self, source: int) -> None:
        if self._order.to_ask:
            numbers = [number % _SEQUENCES for number in self._order.to_ask]
            self._order.to_ask.clear()
            asking = asyncio.ensure_future(self._receiver._send_rtcp_nack(source, numbers))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)

    def _hand_on(self, packets: list[AudioPacket]) -> None:
        for packet in packets:
            try:
                self._on_packet(packet)
            except Exception:  # it would end aiortc's loop and with it the connection
                logger.exception("a packet of live sound could not be handled")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        expires_s = self._order.expires_s
        if expires_s is not None and not self._closed:
            self._timer = self._loop.call_later(max(0.0, expires_s - time.monotonic()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        # A timer may fire a clock's tick early; what is due then is due now.
        self._hand_on(self._order.expire(time.monotonic() + 0.001))

    async def _watch(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                await track.recv()
        except MediaStreamError:
            self._stop()
            self._on_end()

    def _stop(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        """Hand nothing on any more; the receiver stays silent."""
        self._stop()
        self._watching.cancel()
        await asyncio.wait([self._watching, *self._asking])
