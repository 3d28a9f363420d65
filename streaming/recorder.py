"""Recording beside a live room: packets in without waiting, files out by a thread.

What lives here: the thread, its bounded queue, and what happens when the disk is slow or full. What does
not: the file's format (`ogg_writer`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from streaming.listeners import EncodedFrame
from streaming.ogg_writer import OggOpusWriter
from streaming.packet_tap import AudioPacket

logger = logging.getLogger(__name__)

# 10 s of 20 ms packets: a disk that is slower than that has lost the newest; their time stays as silence.
QUEUE_PACKETS = 500


class Recorder:
    """Writes to one `OggOpusWriter`, which it owns from now on.

    Attributes:
        lost: packets that found the queue full, or came after the disk had failed.
        failure: what the disk said when it failed, or None.
    """

    def __init__(self, writer: OggOpusWriter, lead_samples: Callable[[], int] = lambda: 0) -> None:
        """`lead_samples` is asked when the first packet comes: so much silence goes before it."""
        self.lost = 0
        self.failure: Exception | None = None
        self._writer = writer
        self._lead_samples = lead_samples
        self._origin: int | None = None  # on the packets' timeline, of the writer's
        writer.begin(0)
        self._queue: queue.Queue[tuple[bytes, int] | None] = queue.Queue(QUEUE_PACKETS)
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def put_encoded(self, frame: EncodedFrame) -> None:
        """A tap of a `Programme`. Never waits."""
        self._put(frame.payload, frame.position)

    def put_packet(self, packet: AudioPacket, position: int) -> None:
        """A packet sink of a `Broadcast`: the original, as it was received. Never waits."""
        self._put(packet.payload, position)

    @property
    def written_samples(self) -> int:
        """Of sound and silence on the disk."""
        return self._writer.written_samples

    def _put(self, payload: bytes, position: int) -> None:
        if self._origin is None:
            self._origin = position - max(0, self._lead_samples())
        try:
            if self.failure is None:
                self._queue.put_nowait((payload, position - self._origin))
                return
        except queue.Full:
            pass
        self.lost += 1

    def _run(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                self._writer.write(*item)
            self._writer.close()
        except Exception as error:
            logger.exception("a recording could not be written on")
            self.failure = error
            with contextlib.suppress(Exception):  # the file is given back even so
                self._writer.close()

    async def close(self) -> list[Path]:
        """The finished files. What was written before a failure is among them."""
        await asyncio.to_thread(self._end)
        return self._writer.paths

    def _end(self) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        self._thread.join()
