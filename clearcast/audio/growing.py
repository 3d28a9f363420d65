"""Foreign sound that is decoded while it comes.

What lives here: feeding the limited process (`limited`) with a file that grows, and reading the working
copy that grows with it. What does not: where the bytes come from, what is done with the sound.

The bytes lie on disk, not in memory, so that nobody who sends faster than we decode is held up. Formats
that can only be read with their end at hand are decoded after the last byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from clearcast.audio.limited import Run
from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording, write_header
from clearcast.audio.sandbox import Prepared, ignore_progress, in_thread, order_for, validated
from clearcast.audio.signature import HEAD_BYTES, MP4, container_name
from clearcast.errors import StorageFull, UploadTooLarge
from clearcast.settings import AudioSettings

# What demuxers read from front to back. Of the others some have their index at the end, and some can only
# be told by reading them.
_FRONT_TO_BACK = frozenset(
    {"WAV or AVI", "WAV", "FLAC", "Ogg", "Matroska or WebM", "AU", "AMR", "FLV", "MP3 or AAC"}
)
_LOOK_EVERY_S = 0.05
_READ_SAMPLES = 10 * SAMPLE_RATE_HZ
_HEADER_BYTES = len(write_header(0))


def can_be_decoded_early(head: bytes) -> bool:
    """Whether a file that begins like this can be decoded while it comes: its first 4 KiB at least."""
    name = container_name(head, 10 if head.startswith(b"ID3") else 0)
    return _index_comes_first(head) if name == MP4 else name in _FRONT_TO_BACK


def _index_comes_first(head: bytes) -> bool:
    """Whether an MP4's `moov` box stands before its `mdat` (ISO 14496-12 §6.2.3)."""
    at = 0
    while at + 8 <= len(head):
        kind, size = head[at + 4 : at + 8], int.from_bytes(head[at : at + 4], "big")
        if kind in (b"moov", b"mdat"):
            return kind == b"moov"
        if size < 8:  # to the end of the file, or a size of 64 bits
            return False
        at += size
    return False


class GrowingSound:
    """A foreign file that comes piece by piece, as sound. For one event loop.

    Attributes:
        working_copy: mono 16 kHz 16-bit WAV, which grows; `Recording.open` reads what is there.
        received_bytes: of the foreign file so far.
        prepared: what is known at the end; None before `sound` has ended.
    """

    def __init__(self, folder: Path, limits: AudioSettings) -> None:
        """Both files are made in `folder`, which is the caller's to remove."""
        self.working_copy = folder / "sound.wav"
        self.received_bytes = 0
        self.prepared: Prepared | None = None
        self._limits = limits
        self._spool_path = folder / "received"
        self._spool = self._spool_path.open("xb", buffering=0)
        self._head = b""
        self._is_whole = False
        self._changed = asyncio.Event()
        self._news: int | None = None

    def push(self, piece: bytes) -> None:
        """The next bytes of the file. Raises UploadTooLarge, StorageFull."""
        self.received_bytes += len(piece)
        if self.received_bytes > self._limits.max_upload_bytes:
            raise UploadTooLarge(f"A file has at most {self._limits.max_upload_bytes} bytes.")
        try:
            self._spool.write(piece)
        except OSError as error:
            raise StorageFull("The disk is full.", hint="Try again later.") from error
        if len(self._head) < HEAD_BYTES:
            self._head += piece[: HEAD_BYTES - len(self._head)]
        self._tell_news()

    def end(self) -> None:
        """No more bytes come."""
        self._is_whole = True
        self._tell_news()
        self._close_news()
        self._spool.close()

    def _tell_news(self) -> None:
        self._changed.set()
        if self._news is not None:
            # A full pipe is news enough; without a reader the process has ended.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._news, b"+")

    def _close_news(self) -> None:
        if self._news is not None:
            os.close(self._news)
            self._news = None

    async def is_decoded_early(self) -> bool:
        """Whether it is decoded while it comes. Waits for its first 4 KiB, or its end."""
        while len(self._head) < HEAD_BYTES and not self._is_whole:
            self._changed.clear()
            await self._changed.wait()
        return can_be_decoded_early(self._head)

    async def sound(self) -> AsyncGenerator[FloatAudio, None]:
        """float32 mono at 16 kHz, as it is decoded, in pieces of any length.

        Leaving it early ends the process. Raises what `sandbox.prepare` raises.
        """
        if not await self.is_decoded_early():
            while not self._is_whole:
                self._changed.clear()
                await self._changed.wait()
        decoding = asyncio.create_task(self._decode())
        try:
            at = 0
            while True:
                is_last = decoding.done()
                while len(samples := self._read_from(at)):
                    at += len(samples)
                    yield samples
                if is_last:
                    break
                await asyncio.wait([decoding], timeout=_LOOK_EVERY_S)
            self.prepared = decoding.result()
        finally:
            decoding.cancel()
            await asyncio.gather(decoding, return_exceptions=True)
            self._close_news()

    def _read_from(self, at: int) -> FloatAudio:
        """What was decoded since, at most ten seconds of it."""
        if not self.working_copy.exists() or self.working_copy.stat().st_size <= _HEADER_BYTES + 2 * at:
            return np.zeros(0, np.float32)
        with Recording.open(self.working_copy) as recording:
            return recording.read_samples(at, at + _READ_SAMPLES)

    async def _decode(self) -> Prepared:
        reading: int | None = None
        if not self._is_whole:
            reading, self._news = os.pipe()
            os.set_blocking(self._news, False)
        try:
            # A thread of its own: it waits as long as somebody speaks, and the loop's own threads are few.
            with ThreadPoolExecutor(1, "growing-sound") as thread:
                return await in_thread(lambda run: self._carry_out(run, reading), thread)
        finally:
            if reading is not None:
                os.close(reading)

    def _carry_out(self, run: Run, reading: int | None) -> Prepared:
        limits = self._limits
        order = replace(order_for(limits, self.working_copy), news=reading)
        # Who sends slowly takes as long as he speaks; the processor time is limited as ever.
        timeout_s = limits.decode_timeout_s + (0.0 if reading is None else limits.max_duration_s)
        answer = run.carry_out(order, self._spool_path, timeout_s, ignore_progress)
        facts = answer.get("prepared", {}) | {"info": answer.get("info"), "path": self.working_copy}
        return validated(Prepared, facts)

    def close(self) -> None:
        """Nothing more is wanted; `sound` has been left."""
        self._close_news()
        self._spool.close()
