"""What the live rooms' process and its denoising workers say to one another, over a socket pair.

What lives here: messages to bytes and back, for both ends. What does not: who says what when (`workers` in
the rooms' process, `denoise_worker` in the other).

A message is a header of 13 bytes, little-endian, and a body:

    kind    u8    as in `Kind`
    voice   u32   whose stream; 0 for the worker itself
    number  u32   OPEN: channels; FRAME, SOUND, FAILED: which frame; READY: the streams' delay in samples
    size    u32   bytes of the body

The body of FRAME and SOUND is float32, (n, channels) as it lies in memory, which both ends read alike; that
of FAILED is JSON, {"code", "message", "hint"}; the others have none. Every FRAME has exactly one answer,
SOUND or FAILED, in the order of the frames; OPEN and CLOSE have none. A FAILED of voice 0 says that the
engine could not be loaded.
"""

from __future__ import annotations

import enum
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clearcast.errors import ClearCastError
from streaming.opus import Sound

_HEADER = struct.Struct("<BIII")


class Kind(enum.IntEnum):
    """The first three go to the worker, the others come from it."""

    OPEN = 1
    FRAME = 2
    CLOSE = 3
    READY = 4
    SOUND = 5
    FAILED = 6


@dataclass(frozen=True, slots=True)
class Message:
    """Attributes: see the module."""

    kind: Kind
    voice: int = 0
    number: int = 0
    body: bytes = b""

    def packed(self) -> bytes:
        """As it goes over the socket."""
        return _HEADER.pack(self.kind, self.voice, self.number, len(self.body)) + self.body

    def sound(self, channels: int) -> Sound:
        """The body of FRAME or SOUND, float32 (n, channels)."""
        return np.frombuffer(self.body, np.float32).reshape(-1, channels)


def sound_body(samples: Sound) -> bytes:
    """float32 (n, channels) as a body."""
    return samples.astype(np.float32, copy=False).tobytes()


def error_body(error: Exception) -> bytes:
    """What went wrong, as a body; of strangers' errors only the name, for their text may quote anything."""
    if isinstance(error, ClearCastError):
        told = {"code": error.code, "message": error.message, "hint": error.hint}
    else:
        told = {"code": "", "message": f"A denoising worker failed: {type(error).__name__}.", "hint": None}
    return json.dumps(told).encode()


class Inbox:
    """Bytes, cut anywhere, to whole messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def push(self, data: bytes) -> Iterator[Message]:
        """Those that became whole. Raises ValueError where a kind is none."""
        self._bytes += data
        while len(self._bytes) >= _HEADER.size:
            kind, voice, number, size = _HEADER.unpack_from(self._bytes)
            end = _HEADER.size + size
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_HEADER.size : end])
            del self._bytes[:end]
            yield Message(Kind(kind), voice, number, body)
