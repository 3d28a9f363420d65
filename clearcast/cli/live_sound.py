"""Sound for a live transcription: a microphone, or a recording as if it were spoken now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.audio.sandbox import prepare
from clearcast.cli.session import Session
from clearcast.cli.workers import temporary_folder
from clearcast.errors import NotFound

__all__ = ["PIECE_BYTES", "SAMPLE_RATE_HZ", "file_sound", "microphone"]

_PIECE_SAMPLES = SAMPLE_RATE_HZ // 10
PIECE_BYTES = 2 * _PIECE_SAMPLES
_WAITING_PIECES = 600  # a minute; then the oldest are lost


async def microphone(device: str | None) -> AsyncGenerator[bytes, None]:
    """16-bit PCM, mono, 16 kHz, in pieces of 100 ms. Raises NotFound where there is no microphone."""
    try:
        import sounddevice  # type: ignore[import-untyped]
    except OSError as error:  # PortAudio, which it stands on, is not on this machine
        raise _no_microphone(str(error)) from error
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_PIECES)

    def put(piece: bytes) -> None:
        if pieces.full():
            pieces.get_nowait()
        pieces.put_nowait(piece)

    def heard(samples: Any, *_: object) -> None:
        loop.call_soon_threadsafe(put, bytes(samples))

    try:
        stream = sounddevice.RawInputStream(
            samplerate=SAMPLE_RATE_HZ,
            channels=1,
            dtype="int16",
            blocksize=_PIECE_SAMPLES,
            device=int(device) if device is not None and device.isdigit() else device,
            callback=heard,
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise _no_microphone(str(error)) from error
    with stream:
        while True:
            yield await pieces.get()


def _no_microphone(reason: str) -> NotFound:
    return NotFound(
        f"There is no microphone to listen to: {reason}.",
        hint="Choose one with --device, or transcribe a recording: clearcast live --file talk.wav",
    )


async def file_sound(session: Session, path: Path, *, is_paced: bool) -> AsyncGenerator[bytes, None]:
    """The same of a recording, as fast as it was spoken or as fast as it goes. Raises the audio errors."""
    loop = asyncio.get_running_loop()
    with temporary_folder() as folder:
        prepared = await prepare(path, folder / "live.wav", session.settings.audio)
        with Recording.open(prepared.path) as recording:
            began_s = loop.time()
            for start, samples in recording.windows(_PIECE_SAMPLES / SAMPLE_RATE_HZ):
                if is_paced:
                    await asyncio.sleep(max(0.0, began_s + start / SAMPLE_RATE_HZ - loop.time()))
                yield (samples * 32768.0).astype("<i2").tobytes()
