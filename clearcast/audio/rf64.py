"""The header of our full-band sound files: WAV with 32-bit floats that may grow past 4 GiB.

What lives here: writing and reading those 92 bytes. What does not: the samples (`sound`), and WAV files of
others, which FFmpeg reads. Only light imports: the limited process needs it too.

The layout is that of EBU Tech 3306: up to 4 GiB a plain RIFF file with a `JUNK` chunk in front, which any
program plays; beyond that the same bytes as RF64, with the sizes in a `ds64` chunk in the place of `JUNK`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

SAMPLE_BYTES = 4  # float32, little-endian

_HEADER = struct.Struct("<4sI4s4sIQQQI4sIHHIIHH4sII4sI")
HEADER_BYTES = _HEADER.size  # 92, a multiple of the sample's size
_DS64_BYTES = 28  # three sizes of 64 bits and an empty table
_IEEE_FLOAT = 3
_IN_DS64 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class SoundHeader:
    """What the header says; `num_samples` counts frames, one sample of every channel."""

    sample_rate_hz: int
    channels: int
    num_samples: int

    @property
    def frame_bytes(self) -> int:
        return self.channels * SAMPLE_BYTES

    def pack(self) -> bytes:
        data_bytes = self.num_samples * self.frame_bytes
        riff_bytes = data_bytes + HEADER_BYTES - 8
        large = riff_bytes >= _IN_DS64
        sizes = (riff_bytes, data_bytes, self.num_samples) if large else (0, 0, 0)
        return _HEADER.pack(
            *((b"RF64", _IN_DS64) if large else (b"RIFF", riff_bytes)),
            *(b"WAVE", b"ds64" if large else b"JUNK", _DS64_BYTES, *sizes, 0),
            *(b"fmt ", 16, _IEEE_FLOAT, self.channels, self.sample_rate_hz),
            *(self.sample_rate_hz * self.frame_bytes, self.frame_bytes, 8 * SAMPLE_BYTES),
            *(b"fact", 4, min(self.num_samples, _IN_DS64)),
            *(b"data", _IN_DS64 if large else data_bytes),
        )

    @classmethod
    def parse(cls, content: bytes, size_bytes: int) -> Self | None:
        """The header of a file of `size_bytes` that begins with `content`; None when it is not one of ours
        or does not fit the file.
        """
        if len(content) < HEADER_BYTES:
            return None
        fields = _HEADER.unpack_from(content)
        channels, sample_rate_hz = fields[12], fields[13]
        if channels < 1 or sample_rate_hz < 1:
            return None
        num_samples = (size_bytes - HEADER_BYTES) // (channels * SAMPLE_BYTES)
        header = cls(sample_rate_hz, channels, num_samples)
        return header if header.pack() == content[:HEADER_BYTES] else None
