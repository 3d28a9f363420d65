"""One encoded stream, handed to any number of listeners.

What lives here: the track a listener's connection sends from, and the programme that encodes once and hands
the same packet to all of them. What does not: whose sound it is (`broadcast`, `mixer`).
"""

from __future__ import annotations

import asyncio
import fractions
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.packet import Packet

from streaming.frames import Frame, Framer
from streaming.opus import SAMPLE_RATE_HZ, Encoder, EncoderOptions, says_nothing

AnyPacket: TypeAlias = "Packet[Any]"  # generic for type checkers only

TIME_BASE = fractions.Fraction(1, SAMPLE_RATE_HZ)

# 100 ms of 20 ms packets: who is further behind hears the present, not the past.
QUEUE_PACKETS = 5


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """Attributes:
    position: of the first sample that went into it, in samples at 48 kHz on the programme's timeline.
    samples: how many samples went into it.
    payload: the Opus packet.
    """

    position: int
    samples: int
    payload: bytes


class OutTrack(MediaStreamTrack):
    """What a listener's connection sends: packets that were encoded for all.

    Its queue holds `QUEUE_PACKETS`. When a packet finds it full, all that waits is dropped for the new one.

    Attributes:
        dropped: packets this listener never got.
    """

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        self._queue: deque[AnyPacket] = deque()
        self._wanted: asyncio.Future[None] | None = None
        self._feeders: set[OutTrack] | None = None  # the tracks of the programme that feeds it

    def join(self, tracks: set[OutTrack]) -> None:
        """Be one of a programme's tracks, until `leave` or the end."""
        self._feeders = tracks
        if self.readyState == "live":
            tracks.add(self)

    def leave(self) -> None:
        if self._feeders is not None:
            self._feeders.discard(self)
            self._feeders = None

    def put(self, packet: AnyPacket) -> None:
        """Never waits. The packet is shared and must not be changed."""
        if len(self._queue) >= QUEUE_PACKETS:
            self.dropped += len(self._queue)
            self._queue.clear()
        self._queue.append(packet)
        self._wake()

    async def recv(self) -> AnyPacket:
        """The next packet, its pts in samples at 48 kHz. One caller at a time. Raises MediaStreamError."""
        while not self._queue:
            if self.readyState != "live":
                raise MediaStreamError
            self._wanted = asyncio.get_running_loop().create_future()
            await self._wanted
        return self._queue.popleft()

    def stop(self) -> None:
        self.leave()
        super().stop()
        self._queue.clear()
        self._wake()

    def _wake(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)


class Programme:
    """Frames in, one encoder, every listener and tap out. Synchronous, on the event loop.

    Attributes:
        options: of its encoder.
    """

    def __init__(self, options: EncoderOptions = EncoderOptions()) -> None:
        self.options = options
        self._encoder = Encoder(options)
        self._framer = Framer(options.frame_samples)
        self._tracks: set[OutTrack] = set()
        self._taps: list[Callable[[EncodedFrame], None]] = []

    @property
    def lookahead_samples(self) -> int:
        """A file's pre-skip."""
        return self._encoder.lookahead_samples

    @property
    def listeners(self) -> int:
        """How many tracks there are."""
        return len(self._tracks)

    def new_track(self) -> OutTrack:
        """A track for one more listener; aiortc stops it with its connection, and then it goes."""
        track = OutTrack()
        track.join(self._tracks)
        return track

    def take_track(self, track: OutTrack) -> None:
        """A track of another programme of the same room is fed from here on."""
        track.leave()
        track.join(self._tracks)

    def hand_over(self, other: Programme) -> None:
        """Have `other` feed all tracks of this one."""
        for track in tuple(self._tracks):
            other.take_track(track)

    def add_tap(self, tap: Callable[[EncodedFrame], None]) -> None:
        """Called with every packet; it must neither wait nor raise."""
        self._taps.append(tap)

    def remove_tap(self, tap: Callable[[EncodedFrame], None]) -> None:
        self._taps.remove(tap)

    def put(self, frame: Frame) -> None:
        """A frame of any length, with as many channels as the encoder has. Raises OpusRefused."""
        for whole in self._framer.push(frame):
            if not self._tracks and not self._taps:
                continue  # nobody hears it: an encoder that starts anew is cheaper than one that runs
            payload = self._encoder.encode(whole.samples)
            encoded = EncodedFrame(whole.position, len(whole.samples), payload)
            for tap in self._taps:
                tap(encoded)
            if self.options.dtx and says_nothing(payload):
                continue
            self._send(encoded)

    def _send(self, encoded: EncodedFrame) -> None:
        packet = Packet(encoded.payload)
        packet.pts, packet.time_base = encoded.position, TIME_BASE
        for track in self._tracks:
            track.put(packet)

    def close(self) -> None:
        """Stops every track."""
        for track in tuple(self._tracks):
            track.stop()
        self._taps.clear()
        self._encoder.close()
