"""A mouth that speaks into a peer connection in real time, an ear at the end of another.

What lives here: both, and their negotiation with a room in the same process. What does not: many ears in a
process of their own (`crowd`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av.packet import Packet

from streaming.frames import OpusReceiver
from streaming.listeners import TIME_BASE, AnyPacket
from streaming.opus import SAMPLE_RATE_HZ, Encoder, EncoderOptions, Sound, says_nothing
from streaming.packet_tap import AudioPacket, PacketTap
from streaming.peers import answer, new_peer
from streaming.retransmission import Retransmission
from streaming.room import Room
from streaming.sdp import OpusWishes
from streaming.testing.chirps import CHIRP_PERIOD_S, onsets
from streaming.udp_ports import UdpPorts


class Mouth(MediaStreamTrack):
    """Says a sound in real time, over and over; a frame leaves when its last sample was spoken.

    With DTX, one that says nothing does not leave.

    Attributes:
        started_s: when its first sample was spoken, on the clock of `time.monotonic`.
        said: frames so far.
    """

    kind = "audio"

    def __init__(self, sound: Sound, options: EncoderOptions = EncoderOptions()) -> None:
        super().__init__()
        self.started_s: float | None = None
        self.said = 0
        self._encoder = Encoder(options)
        size = options.frame_samples
        self._frames = [sound[at : at + size] for at in range(0, len(sound) - size + 1, size)]
        self._size = size

    async def recv(self) -> AnyPacket:
        if self.readyState != "live":
            raise MediaStreamError
        if self.started_s is None:
            self.started_s = time.monotonic()
        while True:
            position = self.said * self._size
            due_s = self.started_s + (position + self._size) / SAMPLE_RATE_HZ
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            payload = self._encoder.encode(self._frames[self.said % len(self._frames)])
            self.said += 1
            if not (self._encoder.options.dtx and says_nothing(payload)):
                packet = Packet(payload)
                packet.pts, packet.time_base = position, TIME_BASE
                return packet

    def chirp_times_s(self) -> list[float]:
        """When its chirps began, if it says `chirps` of whole periods."""
        if self.started_s is None:
            return []
        count = int(self.said * self._size / SAMPLE_RATE_HZ / CHIRP_PERIOD_S) + 1
        return [self.started_s + index * CHIRP_PERIOD_S for index in range(count)]


class Ear:
    """Decodes packets at once, as a listener without any buffer would, and notes when each was there."""

    def __init__(self) -> None:
        self.packets: list[AudioPacket] = []
        self.receiver = OpusReceiver()
        self._blocks: list[npt.NDArray[np.float32]] = []
        self._times_s: list[float] = []

    def push(self, packet: AudioPacket) -> None:
        self.packets.append(packet)
        for frame in self.receiver.push(packet):
            self._blocks.append(frame.samples[:, 0])
            self._times_s.append(packet.arrived_s)

    def heard(self) -> npt.NDArray[np.float32]:
        """All so far, mono."""
        return np.concatenate([np.zeros(0, np.float32), *self._blocks])

    def chirp_times_s(self) -> list[float]:
        """When chirps were heard, each packet being played from the moment it came."""
        ends = np.cumsum([len(block) for block in self._blocks])
        times = []
        for onset in onsets(self.heard()):
            block = int(np.searchsorted(ends, onset, side="right"))
            start = ends[block] - len(self._blocks[block])
            times.append(self._times_s[block] + (onset - int(start)) / SAMPLE_RATE_HZ)
        return times


class Guest:
    """A peer outside the room, and the room's own end of its connection."""

    def __init__(self, ice_servers: Sequence[RTCIceServer] = ()) -> None:
        """`ice_servers` are for the room's end."""
        self.outside = new_peer()
        self.inside = new_peer(ice_servers)
        self._taps: list[PacketTap] = []

    def listen(self, on_packet: Callable[[AudioPacket], None]) -> None:
        """Hand the packets that come back to this function."""

        def on_track(track: MediaStreamTrack) -> None:
            receiver = next(
                one.receiver for one in self.outside.getTransceivers() if one.receiver.track is track
            )
            self._taps.append(PacketTap(receiver, track, on_packet))

        self.outside.on("track", on_track)

    @property
    def retransmissions(self) -> list[Retransmission]:
        """What was asked for again by each tap of `listen`."""
        return [tap.retransmission for tap in self._taps]

    async def negotiate(self, wishes: OpusWishes = OpusWishes(), ports: UdpPorts | None = None) -> None:
        """The offer comes from outside, as it does with browsers; `ports` are for the room's end."""
        await self.outside.setLocalDescription()
        text = await answer(self.inside, self.outside.localDescription.sdp, wishes, ports)
        await self.outside.setRemoteDescription(RTCSessionDescription(text, "answer"))
        await connected(self.outside)

    async def close(self) -> None:
        for tap in self._taps:
            await tap.close()
        await self.outside.close()
        await self.inside.close()


async def speak(room: Room, name: str, mouth: Mouth) -> Guest:
    """Join the room as a broadcaster."""
    guest = Guest()
    guest.outside.addTrack(mouth)
    room.add_broadcaster(name, guest.inside)
    await guest.negotiate()
    return guest


async def listen(room: Room, ear: Ear, without: str | None = None) -> Guest:
    """Join the room as a listener."""
    guest = Guest()
    guest.outside.addTransceiver("audio", direction="recvonly")
    guest.listen(ear.push)
    room.add_listener(guest.inside, without=without)
    await guest.negotiate()
    return guest


async def connected(peer: RTCPeerConnection, timeout_s: float = 10.0) -> None:
    """Raises TimeoutError."""
    done = asyncio.Event()

    def look() -> None:
        if peer.connectionState == "connected":
            done.set()

    peer.on("connectionstatechange", look)
    look()
    async with asyncio.timeout(timeout_s):
        await done.wait()
