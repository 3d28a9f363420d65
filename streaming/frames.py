"""Decoded sound on a broadcaster's own timeline, and the receiver that makes it from packets.

What lives here: `Frame`; decoding with FEC and concealment, and what gaps become. What does not: the order
of packets (`packet_tap`), processing, encoding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clearcast.errors import OpusRefused
from streaming.opus import MAX_FRAME_SAMPLES, SAMPLE_RATE_HZ, Decoder, Sound, packet_samples
from streaming.packet_tap import AudioPacket

# Up to here a gap is filled with made-up sound. Beyond, concealment has faded to nothing anyway, and
# filling it would send a burst of packets that are all late: time jumps instead, as it does with DTX.
MAX_CONCEALED_SAMPLES = SAMPLE_RATE_HZ * 120 // 1000

_LONGEST_JUMP_SLACK_S = 2.0  # a sender's clock may be ahead of its packets' arrival by this, no more


@dataclass(frozen=True, slots=True)
class Frame:
    """Attributes:
    position: of its first sample, in samples at 48 kHz since the broadcaster's first; it may jump ahead
        between frames, never back.
    samples: float32 (n, channels) within about ±1.
    concealed: True where it is made up or recovered, because its packet was lost.
    """

    position: int
    samples: Sound
    concealed: bool = False


@dataclass(slots=True)
class ReceiverCounts:
    """Packets: `received` and `lost`; of the lost, `concealed` ones became sound, the rest a jump in time;
    `damaged` ones came but were no Opus, and count as lost too."""

    received: int = 0
    lost: int = 0
    concealed: int = 0
    damaged: int = 0


class OpusReceiver:
    """Packets in order to frames on one timeline. Synchronous: at most 0.2 ms of work for each packet."""

    def __init__(self, channels: int = 1) -> None:
        self.counts = ReceiverCounts()
        self._decoder = Decoder(channels)
        self._origin = 0  # timestamp minus position
        self._end = 0  # position where the next frame is due
        self._last_samples = SAMPLE_RATE_HZ // 50
        self._last_arrived_s: float | None = None

    def push(self, packet: AudioPacket) -> list[Frame]:
        """The frames of one packet: those lost before it that can be filled in, then its own."""
        try:
            samples = packet_samples(packet.payload)
        except OpusRefused:
            self.counts.damaged += 1
            self.counts.lost += 1
            return []
        start = self._place(packet)
        self._last_arrived_s = packet.arrived_s
        frames = self._fill(packet, start)
        try:
            sound = self._decoder.decode(packet.payload)
        except OpusRefused:
            self.counts.damaged += 1
            self.counts.lost += 1
            sound = self._decoder.conceal(samples)
        self.counts.received += 1
        self._last_samples = samples
        start = max(start, self._end)
        self._end = start + len(sound)
        return [*frames, Frame(start, sound)]

    def close(self) -> None:
        self._decoder.close()

    def _place(self, packet: AudioPacket) -> int:
        """Position of the packet's first sample. A new count goes on where the wall clock has got to."""
        position = packet.timestamp - self._origin
        last_s = packet.arrived_s if self._last_arrived_s is None else self._last_arrived_s
        elapsed_s = packet.arrived_s - last_s
        if packet.restarted or position - self._end > (elapsed_s + _LONGEST_JUMP_SLACK_S) * SAMPLE_RATE_HZ:
            away = max(0, round(elapsed_s * SAMPLE_RATE_HZ) - self._last_samples)
            position = self._end + away // self._last_samples * self._last_samples
            self._origin = packet.timestamp - position
            if packet.restarted:
                self._decoder.reset()
        return position

    def _fill(self, packet: AudioPacket, start: int) -> list[Frame]:
        """Sound for the packets lost right before this one: concealed, the last one recovered by FEC."""
        self.counts.lost += packet.lost_before
        gap = start - self._end
        if packet.restarted or not packet.lost_before or not 0 < gap <= MAX_CONCEALED_SAMPLES:
            return []
        frames = []
        while (gap := start - self._end) > 0:
            samples = min(gap, self._last_samples, MAX_FRAME_SAMPLES)
            try:
                last = gap == samples
                sound = (
                    self._decoder.recover(packet.payload, samples)
                    if last
                    else self._decoder.conceal(samples)
                )
            except OpusRefused:  # an odd length that no decoder makes up
                sound = np.zeros((samples, self._decoder.channels), np.float32)
            frames.append(Frame(self._end, sound, concealed=True))
            self._end += samples
        self.counts.concealed += packet.lost_before
        return frames


class Framer:
    """Frames of any length to frames of one length, each with the position of its first sample."""

    def __init__(self, frame_samples: int) -> None:
        self._size = frame_samples
        self._parts: list[Frame] = []
        self._count = 0

    def push(self, frame: Frame) -> list[Frame]:
        """Those that became whole. Where time jumps within one of them, silence fills it up."""
        out = []
        if self._parts:
            end = self._parts[0].position + self._count
            missing = min(frame.position - end, self._size - self._count)
            if missing > 0:
                out += self._add(Frame(end, np.zeros((missing, frame.samples.shape[1]), np.float32)))
        return out + self._add(frame)

    def _add(self, frame: Frame) -> list[Frame]:
        if not self._parts and len(frame.samples) == self._size:
            return [frame]
        self._parts.append(frame)
        self._count += len(frame.samples)
        if self._count < self._size:
            return []
        start = self._parts[0].position
        joined = np.concatenate([part.samples for part in self._parts])
        concealed = any(part.concealed for part in self._parts)
        whole = self._count // self._size * self._size
        rest = joined[whole:]
        self._parts = [Frame(start + whole, rest, frame.concealed)] if len(rest) else []
        self._count = len(rest)
        return [
            Frame(start + at, joined[at : at + self._size], concealed) for at in range(0, whole, self._size)
        ]
