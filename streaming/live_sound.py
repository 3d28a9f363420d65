"""The sound of a room's participants: their lines, muting, denoising, levels.

What lives here: offers and answers for people who are in a room. What does not: who is in it (`live_room`),
the way of the sound (`room`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable

from aiortc import RTCPeerConnection

from clearcast.errors import Conflict, SdpRefused
from clearcast.storage.rooms import RoomRecord
from streaming.messages import Levels
from streaming.participant import Line, Participant
from streaming.peers import answer, offer, take_answer
from streaming.room import Room
from streaming.sdp import OpusWishes, audio_directions
from streaming.udp_ports import UdpPorts

CONNECT_S = 20.0  # so long a line may take to stand
GRACE_S = 30.0  # so long a voice without a line stays, and a participant without a socket
_AUDIBLE_DBFS = -60.0
_SILENT_S = 0.6  # without packets, even DTX's, so long: the meter shows the past


class LiveSound:
    def __init__(
        self,
        media: Room,
        new_peer: Callable[[], RTCPeerConnection],
        wishes: OpusWishes,
        ports: UdpPorts | None,
        on_change: Callable[[Participant], None],
    ) -> None:
        """`on_change` is called when a line of somebody has come or gone by itself."""
        self.media = media
        self._new_peer = new_peer
        self._wishes = wishes
        self._ports = ports
        self._on_change = on_change
        self._tasks: set[asyncio.Task[None]] = set()
        self._were_levels = False

    async def publish(self, who: Participant, offer_sdp: str) -> str:
        """Hear this participant over a new line; a voice that was there goes on. Raises SdpRefused."""
        if "recvonly" in audio_directions(offer_sdp):
            raise SdpRefused("The offer sends no sound.")
        async with who.negotiation:
            line = Line(self._new_peer())
            is_new = who.id not in self.media.voices
            try:
                if is_new:
                    self.media.add_broadcaster(who.id, line.peer)
                    self._prepare(who)
                else:
                    self.media.resume_broadcaster(who.id, line.peer)
                sdp = await self._answer(who, line, offer_sdp)
                line.peer.on("connectionstatechange", lambda: self._look(who, line))
            except BaseException:
                if is_new and who.id in self.media.voices:
                    await self.media.remove_broadcaster(who.id)
                raise
            old, who.voice, who.voice_lost_s = who.voice, line, None
            self._drop(old)
            self._reseat(who)
        return sdp

    async def listen(self, who: Participant, offer_sdp: str) -> str:
        """Let this participant hear the room, without himself where he speaks. Raises SdpRefused."""
        if "sendonly" in audio_directions(offer_sdp):
            raise SdpRefused("The offer receives no sound.")
        async with who.negotiation:
            line = Line(self._new_peer())
            line.track = self.media.add_listener(line.peer)
            sdp = await self._answer(who, line, offer_sdp)
            self._take_ear(who, line)
        return sdp

    async def offer_listening(self, who: Participant) -> str:
        """Our offer to hear the room, for clients that answer."""
        async with who.negotiation:
            line = Line(self._new_peer())
            line.track = self.media.add_listener(line.peer)
            try:
                sdp = await offer(line.peer, self._wishes, self._ports)
            except BaseException:
                self._drop(line)
                raise
            self._take_ear(who, line)
        return sdp

    async def answer_listening(self, who: Participant, answer_sdp: str) -> None:
        """The other side's answer. Raises SdpRefused; Conflict where nothing was offered."""
        async with who.negotiation:
            if who.ear is None or who.ear.peer.signalingState != "have-local-offer":
                raise Conflict("Nothing was offered.")
            await take_answer(who.ear.peer, answer_sdp)

    def _take_ear(self, who: Participant, line: Line) -> None:
        line.peer.on("connectionstatechange", lambda: self._look(who, line))
        old, who.ear = who.ear, line
        self._drop(old)
        self._reseat(who)

    async def _answer(self, who: Participant, line: Line, offer_sdp: str) -> str:
        """The line's answer; without one it is closed."""
        try:
            sdp = await answer(line.peer, offer_sdp, self._wishes, self._ports)
            if who.is_gone:
                raise Conflict("The participant has left.")
        except BaseException:
            self._drop(line)
            raise
        return sdp

    def _look(self, who: Participant, line: Line) -> None:
        """A line has changed its state."""
        if line.is_up or not (line is who.voice or line is who.ear):
            return
        self._give_up(who, line)
        self._on_change(who)

    async def stop_publishing(self, who: Participant) -> None:
        """Does nothing where there is no voice."""
        old, who.voice, who.voice_lost_s = who.voice, None, None
        self._drop(old)
        if who.id in self.media.voices:
            await self.media.remove_broadcaster(who.id)  # which gives who listens back to the common sound

    def stop_listening(self, who: Participant) -> None:
        old, who.ear = who.ear, None
        self._drop(old)

    def mute(self, by: Participant, who: Participant, is_on: bool) -> None:
        """Raises Forbidden."""
        if by is not who:
            by.need("moderate")
        if not is_on and who.is_silenced:
            by.need("moderate")
        who.is_muted = is_on
        who.is_silenced = is_on and (who.is_silenced or by is not who)
        if who.id in self.media.voices:
            self.media.mute(who.id, is_on)

    def denoise(self, by: Participant, who: Participant, is_on: bool) -> None:
        """Raises Forbidden; Conflict in a room without denoising; NotFound for who does not speak."""
        if by is not who:
            by.need("moderate")
        self.media.switch_denoise(who.id, is_on)
        who.is_denoised = is_on

    def levels(self, people: Iterable[Participant]) -> Levels | None:
        """Of who is heard now; None while there is nothing to tell."""
        found = {}
        for who in people:
            voice = self.media.voices.get(who.id)
            if voice is None or voice.silent_for_s is None or voice.silent_for_s > _SILENT_S:
                continue
            if voice.meter.level_dbfs > _AUDIBLE_DBFS:
                found[who.id] = round(voice.meter.level_dbfs, 1)
        told, self._were_levels = self._were_levels, bool(found)
        return Levels(levels=found) if found or told else None

    def look_after(self, who: Participant, now_s: float) -> bool:
        """Give up a line that does not stand, and notice failed denoising. Whether anything changed."""
        has_changed = False
        for line in (who.voice, who.ear):
            if line is not None and line.is_waiting and now_s - line.opened_s > CONNECT_S:
                self._give_up(who, line)
                has_changed = True
        voice = self.media.voices.get(who.id)
        failed = voice is not None and voice.stage is not None and voice.stage.on and voice.stage.failed
        if failed != who.denoise_failed:
            who.denoise_failed = failed
            has_changed = True
        return has_changed

    def _give_up(self, who: Participant, line: Line) -> None:
        """A voice stays for a while, for a line to come."""
        if line is who.voice:
            who.voice_lost_s = time.monotonic()
            who.voice = None
        else:
            who.ear = None
        self._drop(line)

    def _prepare(self, who: Participant) -> None:
        """A new voice begins as its participant is, and denoised where that can be."""
        voice = self.media.voice(who.id)
        voice.mute(who.is_muted)
        who.is_denoised = voice.stage is not None
        if who.is_denoised:
            self.media.switch_denoise(who.id, True)

    def _reseat(self, who: Participant) -> None:
        """Who speaks does not hear himself; who does not is given what is encoded once for all."""
        if who.ear is not None and who.ear.track is not None:
            self.media.move_listener(who.ear.track, without=who.id if who.id in self.media.voices else None)

    def _drop(self, line: Line | None) -> None:
        if line is not None:
            self._own(line.peer.close())

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Every line must have been stopped."""
        await self.media.close()
        if self._tasks:
            await asyncio.wait(self._tasks)


def wishes_of(record: RoomRecord) -> OpusWishes:
    """What is asked of those who send sound to this room."""
    is_music = record.sound == "music"
    return OpusWishes(
        max_average_bitrate_bps=192_000 if is_music else 64_000, frame_ms=record.frame_ms, stereo=is_music
    )
