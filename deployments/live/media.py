"""The media path as the settings want it: peers, encoders, denoising.

What lives here: from settings and records to `streaming`'s parts. What does not: those parts.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from aiortc import RTCPeerConnection

from clearcast.engines.denoise.contract import DenoiseEngine
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.settings import Settings
from clearcast.storage.rooms import RoomRecord
from streaming.opus import EncoderOptions
from streaming.peers import new_peer
from streaming.processing import denoise_threads
from streaming.room import Denoising, Room


class Media:
    """What all rooms of one node share."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads: ThreadPoolExecutor = denoise_threads()
        self._denoising: Denoising | None = None

    async def start(self) -> None:
        """Load what cleans voices. Raises EngineUnknown, ModelMissing."""
        choice = self._settings.live.denoise
        context = EngineContext(self._settings.models_path)
        engine = make_engine(DenoiseEngine, choice.engine, dict(choice.options), context)
        await asyncio.to_thread(engine.load)
        self._denoising = Denoising(engine, self._threads)

    def open_room(self, record: RoomRecord) -> Room:
        """The media path of a room; without denoising it has no stage and no delay."""
        is_denoised = record.denoise and record.sound == "speech"
        return Room(encoding(record), self._denoising if is_denoised else None)

    def new_peer(self) -> RTCPeerConnection:
        return new_peer()

    async def close(self) -> None:
        """Rooms must have been closed."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def encoding(record: RoomRecord) -> EncoderOptions:
    """What the listeners of a room get."""
    if record.sound == "music":
        return EncoderOptions(
            channels=2, frame_ms=record.frame_ms, bitrate_bps=192_000, application="music"
        )
    if record.frame_ms == 10:
        return EncoderOptions(frame_ms=10, application="low_delay", expected_loss_percent=0)
    return EncoderOptions()
