"""One broadcaster: packets in, frames out, by way of the processing that is switched on.

What lives here: the way from the tap to processed frames, and who gets what on it. What does not: encoding
(`listeners`), mixing, peer connections' making.

    packets ──► order ──► Opus decode, FEC, PLC ──► processing, if there is any ──► meter ──► frames
       └► recorder of the original        └► raw listeners (live transcription)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from aiortc import MediaStreamTrack, RTCRtpReceiver

from streaming.frames import Frame, Framer, OpusReceiver, ReceiverCounts
from streaming.meter import LiveMeter
from streaming.packet_tap import AudioPacket, PacketTap
from streaming.processing import ProcessingStage
from streaming.retransmission import Retransmission

logger = logging.getLogger(__name__)

# 200 ms of 20 ms frames: when processing falls further behind, the oldest are dropped.
QUEUE_FRAMES = 10

PacketSink = Callable[[AudioPacket, int], None]
FrameSink = Callable[[Frame], None]


@dataclass(frozen=True, slots=True)
class BroadcastOptions:
    """Attributes:
    channels: of decoded sound: 1 for speech, 2 for music.
    frame_samples: of what processing is given: 960, or 480 for low delay.
    """

    channels: int = 1
    frame_samples: int = 960


class Broadcast:
    """One voice in a room, over any number of connections one after another.

    Sinks are called on the event loop and must neither wait nor raise:
        raw_sinks: decoded frames before processing.
        frame_sinks: frames after processing.
        packet_sinks: packets as received, each with its position on the timeline.

    Attributes:
        meter: level after processing.
        overrun_frames: dropped because processing could not keep up.
    """

    def __init__(
        self, options: BroadcastOptions = BroadcastOptions(), stage: ProcessingStage | None = None
    ) -> None:
        """`stage` costs its delay even while it is off; None costs nothing."""
        self.options = options
        self.meter = LiveMeter()
        self.raw_sinks: list[FrameSink] = []
        self.frame_sinks: list[FrameSink] = []
        self.packet_sinks: list[PacketSink] = []
        self.overrun_frames = 0
        self.stage = stage
        self._receiver = OpusReceiver(options.channels)
        self._framer = Framer(options.frame_samples)
        self._tap: PacketTap | None = None
        self._last_packet_s: float | None = None
        self._queue: deque[Frame] = deque(maxlen=QUEUE_FRAMES)
        self._filled = asyncio.Event()
        self._is_muted = False
        self._gain = 1.0  # of what comes in; on its way to 0 while muted
        self._processing = None if stage is None else asyncio.ensure_future(self._process(stage))

    @property
    def counts(self) -> ReceiverCounts:
        """What came and what was lost."""
        return self._receiver.counts

    @property
    def retransmission(self) -> Retransmission:
        """What was asked for again over the connection there is; empty without one."""
        return Retransmission() if self._tap is None else self._tap.retransmission

    @property
    def silent_for_s(self) -> float | None:
        """Seconds since the last packet; None before the first. With DTX one comes every 0.4 s."""
        return None if self._last_packet_s is None else time.monotonic() - self._last_packet_s

    @property
    def is_muted(self) -> bool:
        """Whether nobody hears it, no raw listener and no recording either."""
        return self._is_muted

    def mute(self, is_on: bool) -> None:
        """Take the sound away before anything is done with it; time goes on. Faded over one frame."""
        self._is_muted = is_on
        if self._last_packet_s is None:
            self._gain = 0.0 if is_on else 1.0

    async def connect(
        self, receiver: RTCRtpReceiver, track: MediaStreamTrack, on_end: Callable[[], None] = lambda: None
    ) -> None:
        """Hear this track from now on, instead of the one before. Raises PacketTapBroken."""
        await self.disconnect()
        self._tap = PacketTap(receiver, track, self.push, on_end)

    async def disconnect(self) -> None:
        """Hear nothing; the timeline stays, for a connection to come."""
        tap, self._tap = self._tap, None
        if tap is not None:
            await tap.close()

    def push(self, packet: AudioPacket) -> None:
        """What the tap calls for every packet; tests may stand in front of it."""
        self._last_packet_s = packet.arrived_s
        frames = self._receiver.push(packet)
        if frames and not self._is_muted:
            for packet_sink in self.packet_sinks:
                packet_sink(packet, frames[-1].position)
        for frame in map(self._faded, frames):
            for sink in self.raw_sinks:
                sink(frame)
            if self.stage is None:
                self._give(frame)
            else:
                self._enqueue(frame)

    def _faded(self, frame: Frame) -> Frame:
        """As loud as it may be."""
        before, self._gain = self._gain, 0.0 if self._is_muted else 1.0
        if before == self._gain == 1.0:
            return frame
        ramp = np.linspace(before, self._gain, len(frame.samples), dtype=np.float32)[:, np.newaxis]
        return Frame(frame.position, frame.samples * ramp, frame.concealed)

    def _enqueue(self, frame: Frame) -> None:
        for whole in self._framer.push(frame):
            if len(self._queue) == QUEUE_FRAMES:
                self.overrun_frames += 1
            self._queue.append(whole)
            self._filled.set()

    async def _process(self, stage: ProcessingStage) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                try:
                    frames = tuple(self._queue)
                    self._queue.clear()
                    for frame in await stage.push(*frames):
                        self._give(frame)
                        # After a stall several leave at once: listeners' senders must come in between, or
                        # their queues overflow.
                        await asyncio.sleep(0)
                except Exception:  # one frame, not the show
                    logger.exception("a frame of live sound could not be handed on")

    def _give(self, frame: Frame) -> None:
        self.meter.add(frame.samples)
        for sink in self.frame_sinks:
            sink(frame)

    async def close(self) -> None:
        """No sink is called any more."""
        await self.disconnect()
        if self._processing is not None and self.stage is not None:
            self._processing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._processing
            await self.stage.close()
        self._receiver.close()
