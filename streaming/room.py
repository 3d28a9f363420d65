"""A live room in one process: voices in, listeners out, and what is recorded of it.

What lives here: which parts belong together and how long they live. What does not: who may do what, names
and chat, where connections come from.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TypeVar

from aiortc import MediaStreamTrack, RTCPeerConnection

from clearcast.errors import Conflict, NotFound, OptionInvalid
from streaming.broadcast import Broadcast, BroadcastOptions, FrameSink
from streaming.desk import Desk
from streaming.listeners import OutTrack, Programme
from streaming.ogg_writer import LOOKAHEAD_SAMPLES
from streaming.opus import EncoderOptions
from streaming.processing import Denoising, ProcessingStage
from streaming.recorder import Recorder
from streaming.recording_folder import RecordingFolder, Track

logger = logging.getLogger(__name__)

Sink = TypeVar("Sink")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True)
class _Recording:
    """Recorders that run, and how each is let go of its source."""

    folder: RecordingFolder
    recorders: dict[Track, Recorder] = field(default_factory=dict)
    detach: dict[Track, Callable[[], None]] = field(default_factory=dict)


class Room:
    """Attributes:
    encoding: of what listeners get; its channels and frame length are the whole room's.
    """

    def __init__(
        self, encoding: EncoderOptions = EncoderOptions(), denoising: Denoising | None = None
    ) -> None:
        """With `denoising`, every voice comes later by its delay, so that it can be switched at any time;
        leave it out for music."""
        self.encoding = encoding
        self._denoising = denoising
        self._desk = Desk(encoding)
        self._voices: dict[str, Broadcast] = {}
        self._recording: _Recording | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def programme(self) -> Programme:
        """What everybody hears."""
        return self._desk.programme

    @property
    def voices(self) -> dict[str, Broadcast]:
        """The broadcasters by name."""
        return dict(self._voices)

    def add_broadcaster(
        self, name: str, peer: RTCPeerConnection, on_end: Callable[[], None] = lambda: None
    ) -> Broadcast:
        """The first audio track of this connection becomes a voice. Call it before the negotiation.

        `name` becomes part of file names: letters, digits, `_` and `-`, 64 at most. `on_end` is called when
        the track ends; the voice stays until it is removed. Raises Conflict, OptionInvalid.
        """
        if not _NAME.fullmatch(name):
            raise OptionInvalid("A voice's name has letters, digits, _ and - only.", option="name")
        if name in self._voices:
            raise Conflict("Somebody of that name speaks in this room already.")
        channels, frame_samples = self.encoding.channels, self.encoding.frame_samples
        stage = None
        if self._denoising is not None:
            open_processor = functools.partial(self._denoising.open, channels)
            stage = ProcessingStage(open_processor, self._denoising.delay_samples, frame_samples)
        voice = Broadcast(BroadcastOptions(channels, frame_samples), stage)
        self._voices[name] = voice
        self._desk.join(name)
        voice.frame_sinks.append(functools.partial(self._desk.put, name))
        if self._recording is not None:
            try:
                self._record_voice(self._recording, name)
            except OSError:  # the show is worth more than its recording
                logger.exception("a voice cannot be recorded")
        self._hear(name, peer, on_end)
        return voice

    def resume_broadcaster(
        self, name: str, peer: RTCPeerConnection, on_end: Callable[[], None] = lambda: None
    ) -> None:
        """The same voice over a new connection: its recording goes on, with the pause as long as it was.

        Raises NotFound.
        """
        self.voice(name)
        self._hear(name, peer, on_end)

    def voice(self, name: str) -> Broadcast:
        """Raises NotFound."""
        try:
            return self._voices[name]
        except KeyError:
            raise NotFound("Nobody of that name speaks in this room.") from None

    def _hear(self, name: str, peer: RTCPeerConnection, on_end: Callable[[], None]) -> None:
        def on_track(track: MediaStreamTrack) -> None:
            voice = self._voices.get(name)
            if track.kind != "audio" or voice is None:
                return
            receivers = [one.receiver for one in peer.getTransceivers() if one.receiver.track is track]
            self._own(voice.connect(receivers[0], track, on_end))

        peer.on("track", on_track)

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def remove_broadcaster(self, name: str) -> None:
        """Its connection is the caller's to close. Raises NotFound."""
        voice = self.voice(name)
        del self._voices[name]
        await voice.close()
        self._desk.leave(name)
        recording = self._recording  # it may end meanwhile
        if recording is not None:
            for track in (Track("original", name), Track("cleaned", name)):
                await self._stop_recorder(recording, track)

    def add_listener(self, peer: RTCPeerConnection, *, without: str | None = None) -> OutTrack:
        """Let this connection hear the room, or all of it but the voice `without`. Call it before the
        negotiation; it ends with the connection, or by `stop` of the track."""
        programme = self._desk.programme if without is None else self._desk.without(without)
        track = programme.new_track()
        peer.addTrack(track)
        return track

    def move_listener(self, track: OutTrack, *, without: str | None) -> None:
        """The same listener hears all of the room from now on, or all of it but this voice."""
        self._desk.move(track, without)

    def mute(self, name: str, is_on: bool) -> None:
        """Have nobody hear this voice, nor a recording. Raises NotFound."""
        self.voice(name).mute(is_on)

    def add_raw_listener(self, name: str, sink: FrameSink) -> Callable[[], None]:
        """Give `sink` the frames of a voice before any processing, as live transcription wants them.

        Returns what ends it. Raises NotFound.
        """
        sinks = self.voice(name).raw_sinks
        sinks.append(sink)
        return functools.partial(_leave, sinks, sink)

    def switch_denoise(self, name: str, on: bool) -> None:
        """Raises NotFound; Conflict in a room without denoising."""
        stage = self.voice(name).stage
        if stage is None:
            raise Conflict("This room was opened without denoising.")
        stage.switch(on)

    @property
    def recording(self) -> bool:
        """Whether a recording runs."""
        return self._recording is not None

    async def start_recording(self, folder: RecordingFolder) -> None:
        """Record what everybody hears as the track "mix", each voice as received as "original" and, in a
        room with denoising, as it left that as "cleaned"; those of voices to come included.

        Raises Conflict while one runs; OSError, and then none runs.
        """
        if self._recording is not None:
            raise Conflict("This room is being recorded already.")
        self._recording = _Recording(folder)
        try:
            self._record_programme(self._recording, Track("mix"), self._desk.programme)
            for name in self._voices:
                self._record_voice(self._recording, name)
        except OSError:
            await self.stop_recording()
            raise

    def _record_voice(self, recording: _Recording, name: str) -> None:
        voice = self._voices[name]
        original, cleaned = Track("original", name), Track("cleaned", name)
        # RTP does not tell how far the sender's encoder looks ahead; browsers use libopus.
        recorder = self._new_recorder(recording, original, LOOKAHEAD_SAMPLES)
        voice.packet_sinks.append(recorder.put_packet)
        recording.detach[original] = functools.partial(_leave, voice.packet_sinks, recorder.put_packet)
        if voice.stage is not None:
            programme = Programme(self.encoding)
            self._record_programme(recording, cleaned, programme)
            voice.frame_sinks.append(programme.put)
            untap = recording.detach[cleaned]

            def detach() -> None:
                _leave(voice.frame_sinks, programme.put)
                untap()
                programme.close()

            recording.detach[cleaned] = detach

    def _record_programme(self, recording: _Recording, track: Track, programme: Programme) -> None:
        recorder = self._new_recorder(recording, track, programme.lookahead_samples)
        programme.add_tap(recorder.put_encoded)
        recording.detach[track] = functools.partial(programme.remove_tap, recorder.put_encoded)

    def _new_recorder(self, recording: _Recording, track: Track, pre_skip_samples: int) -> Recorder:
        recorder = recording.folder.open_track(track, self.encoding.channels, pre_skip_samples)
        recording.recorders[track] = recorder
        return recorder

    @staticmethod
    async def _stop_recorder(recording: _Recording, track: Track) -> None:
        recorder = recording.recorders.pop(track, None)
        if recorder is not None:
            recording.detach.pop(track)()
            await recorder.close()

    async def stop_recording(self) -> None:
        """Every file is finished. Raises Conflict where none runs."""
        recording, self._recording = self._recording, None
        if recording is None:
            raise Conflict("This room is not being recorded.")
        for track in tuple(recording.recorders):
            await self._stop_recorder(recording, track)

    async def close(self) -> None:
        """Voices and tracks end, a recording is finished; the connections are the caller's to close."""
        for name in tuple(self._voices):
            await self.remove_broadcaster(name)
        if self._recording is not None:
            await self.stop_recording()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._desk.close()


def _leave(sinks: list[Sink], sink: Sink) -> None:
    if sink in sinks:
        sinks.remove(sink)
