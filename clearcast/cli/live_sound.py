"""Sound for what listens live: a microphone, or a recording as if it were spoken now."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.audio.sandbox import prepare
from clearcast.cli.session import Session
from clearcast.cli.workers import temporary_folder
from clearcast.errors import NotFound

__all__ = ["PIECE_BYTES", "SAMPLE_RATE_HZ", "file_sound", "microphone", "pumped"]

_PIECE_S = 0.04
PIECE_BYTES = 2 * round(_PIECE_S * SAMPLE_RATE_HZ)
_WAITING_S = 60.0  # of sound; then the oldest is lost


async def microphone(device: str | None, piece_s: float = _PIECE_S) -> AsyncGenerator[bytes, None]:
    """16-bit PCM, mono, 16 kHz, in pieces of `piece_s`. Raises NotFound where there is no microphone."""
    try:
        import sounddevice  # type: ignore[import-untyped]
    except OSError as error:  # PortAudio, which it stands on, is not on this machine
        raise _no_microphone(str(error)) from error
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue(round(_WAITING_S / piece_s))

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
            blocksize=round(piece_s * SAMPLE_RATE_HZ),
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
        hint="Choose one with --device, or take a recording with --file.",
    )


async def file_sound(
    session: Session, path: Path, *, is_paced: bool, piece_s: float = _PIECE_S
) -> AsyncGenerator[bytes, None]:
    """The same of a recording, as fast as it was spoken or as fast as it goes. Raises the audio errors."""
    loop = asyncio.get_running_loop()
    with temporary_folder() as folder:
        prepared = await prepare(path, folder / "live.wav", session.settings.audio)
        with Recording.open(prepared.path) as recording:
            began_s = loop.time()
            for start, samples in recording.windows(piece_s):
                if is_paced:
                    await asyncio.sleep(max(0.0, began_s + start / SAMPLE_RATE_HZ - loop.time()))
                yield (samples * 32768.0).astype("<i2").tobytes()


async def pumped(
    sound: AsyncGenerator[bytes, None],
    pieces: asyncio.Queue[bytes | None],
    run: Callable[[], Awaitable[None]],
) -> None:
    """`run` to its end, with the sound put into `pieces` meanwhile, and None when the sound ends or at
    Ctrl-C. Raises what the sound raises, and what `run` does."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    async with aclosing(sound):
        first = await anext(sound, None)  # before anything else: there may be none
        pumping = asyncio.create_task(_pump(first, sound, pieces, stop))
        try:
            await run()
        finally:
            stop.set()
            pumping.cancel()
            await asyncio.gather(pumping, return_exceptions=True)
            loop.remove_signal_handler(signal.SIGINT)


async def _pump(
    first: bytes | None,
    sound: AsyncGenerator[bytes, None],
    pieces: asyncio.Queue[bytes | None],
    stop: asyncio.Event,
) -> None:
    """From a source that must not be broken off to a queue that may be left and taken up again."""
    piece = first
    while piece is not None and not stop.is_set():
        await pieces.put(piece)
        piece = await anext(sound, None)
    await pieces.put(None)
