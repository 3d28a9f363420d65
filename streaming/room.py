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
from pathlib import Path
from typing import TypeVar

from aiortc import MediaStreamTrack, RTCPeerConnection

from clearcast.errors import Conflict, NotFound, OptionInvalid
from streaming.broadcast import Broadcast, BroadcastOptions, FrameSink
from streaming.desk import Desk
from streaming.listeners import OutTrack, Programme
from streaming.ogg_writer import OggOpusWriter
from streaming.opus import EncoderOptions
from streaming.processing import Denoising, ProcessingStage
from streaming.recorder import Recorder

logger = logging.getLogger(__name__)

Sink = TypeVar("Sink")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

# What libopus looks ahead at 48 kHz, and with it browsers; RTP does not tell.
_BROWSER_PRE_SKIP_SAMPLES = 312


@dataclass(slots=True)
class _Recording:
    """Recorders that run, and how each is let go of its source."""

    folder: Path
    recorders: dict[str, Recorder] = field(default_factory=dict)
    detach: dict[str, Callable[[], None]] = field(default_factory=dict)


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
        if self._recording is not None:
            for key in (f"original-{name}", f"cleaned-{name}"):
                await self._stop_recorder(self._recording, key)

    def add_listener(self, peer: RTCPeerConnection, *, without: str | None = None) -> OutTrack:
        """Let this connection hear the room, or all of it but the voice `without`. Call it before the
        negotiation; it ends with the connection, or by `stop` of the track."""
        programme = self._desk.programme if without is None else self._desk.without(without)
        track = programme.new_track()
        peer.addTrack(track)
        return track

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

    async def start_recording(self, folder: Path) -> None:
        """Record what everybody hears as `mix.opus`, each voice as received as `original-<name>.opus` and,
        in a room with denoising, as it left that as `cleaned-<name>.opus`.

        Raises Conflict while one runs; OSError, and then none runs.
        """
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        if self._recording is not None:
            raise Conflict("This room is being recorded already.")
        self._recording = _Recording(folder)
        try:
            self._record_programme(self._recording, "mix", self._desk.programme)
            for name in self._voices:
                self._record_voice(self._recording, name)
        except OSError:
            await self.stop_recording()
            raise

    def _record_voice(self, recording: _Recording, name: str) -> None:
        voice = self._voices[name]
        recorder = self._new_recorder(recording, f"original-{name}", _BROWSER_PRE_SKIP_SAMPLES)
        voice.packet_sinks.append(recorder.put_packet)
        recording.detach[f"original-{name}"] = functools.partial(
            _leave, voice.packet_sinks, recorder.put_packet
        )
        if voice.stage is not None:
            programme = Programme(self.encoding)
            self._record_programme(recording, f"cleaned-{name}", programme)
            voice.frame_sinks.append(programme.put)
            untap = recording.detach[f"cleaned-{name}"]

            def detach() -> None:
                _leave(voice.frame_sinks, programme.put)
                untap()
                programme.close()

            recording.detach[f"cleaned-{name}"] = detach

    def _record_programme(self, recording: _Recording, key: str, programme: Programme) -> None:
        recorder = self._new_recorder(recording, key, programme.lookahead_samples)
        programme.add_tap(recorder.put_encoded)
        recording.detach[key] = functools.partial(programme.remove_tap, recorder.put_encoded)

    def _new_recorder(self, recording: _Recording, key: str, pre_skip_samples: int) -> Recorder:
        path = recording.folder / f"{key}.opus"
        number = 1
        while path.exists():  # a voice that left and came back while the recording ran
            number += 1
            path = recording.folder / f"{key}-again-{number}.opus"
        channels = self.encoding.channels
        recorder = Recorder(OggOpusWriter(path, channels=channels, pre_skip_samples=pre_skip_samples))
        recording.recorders[key] = recorder
        return recorder

    async def _stop_recorder(self, recording: _Recording, key: str) -> list[Path]:
        recorder = recording.recorders.pop(key, None)
        if recorder is None:
            return []
        recording.detach.pop(key)()
        return await recorder.close()

    async def stop_recording(self) -> list[Path]:
        """The files that were still open, finished. Raises Conflict where none runs."""
        recording, self._recording = self._recording, None
        if recording is None:
            raise Conflict("This room is not being recorded.")
        paths: list[Path] = []
        for key in tuple(recording.recorders):
            paths += await self._stop_recorder(recording, key)
        return paths

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
