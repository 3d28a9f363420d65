"""Ogg Opus files that are whole at every moment (RFC 3533, RFC 7845), from encoded packets.

What lives here: pages, gaps, rotation. What does not: encoding, and writing off the event loop
(`recorder`).

Libraries keep the last seconds, or the whole file, in memory; whatever kills the process takes them along.
Here a page is at most half a second and goes to the system as soon as it is full.
"""

from __future__ import annotations

import os
import secrets
import struct
import zlib
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from streaming.opus import SAMPLE_RATE_HZ, packet_samples

PAGE_SAMPLES = SAMPLE_RATE_HZ // 2
_MAX_SEGMENTS = 255  # lacing values of one page: RFC 3533 §6
_FIRST_PAGE, _LAST_PAGE = 0x02, 0x04  # header_type flags
_PRE_ROLL_SAMPLES = SAMPLE_RATE_HZ * 80 // 1000  # until a decoder has converged: RFC 7845 §4.6
_MAX_FILE_BYTES = 1 << 31


def _reversed_bits(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


_REVERSED_BYTES = bytes(_reversed_bits(value, 8) for value in range(256))


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: polynomial 0x04c11db7, no reflection, starting from 0 (RFC 3533 §6).

    zlib's has the same polynomial, with bits in the other order and all ones at both ends.
    """
    reflected = zlib.crc32(page.translate(_REVERSED_BYTES), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return _reversed_bits(reflected, 32)


def _page(packets: list[bytes], granule: int, flags: int, serial: int, number: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    header = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, number, 0, len(lacing)) + lacing
    body = b"".join(packets)
    return header[:22] + struct.pack("<I", _checksum(header + body)) + header[26:] + body


def _segments(packet: bytes) -> int:
    return len(packet) // 255 + 1


def silence_packets(like: bytes, samples: int) -> list[tuple[bytes, int]]:
    """(packet, its samples) for a gap: frames of no bytes, which make a decoder conceal (RFC 7845 §4.1).

    They have the mode and frame length of `like`, as that section asks for; what is left of the gap when it
    is no multiple of that frame is not filled.
    """
    toc = like[0] & 0xFC  # configuration and channels: RFC 6716 §3.1
    frame = packet_samples(bytes([toc]))
    most = 5760 // frame  # 120 ms in one packet
    packets = []
    count = samples // frame
    while count > 0:
        now = min(count, most)
        # Code 0 is one frame; code 3 says how many: RFC 6716 §3.2.
        packets.append((bytes([toc]) if now == 1 else bytes([toc | 3, now]), now * frame))
        count -= now
    return packets


@dataclass(slots=True)
class _Part:
    """One file. `granule` counts all its samples, those to be skipped at the start included."""

    handle: int
    serial: int
    pages: int = 0
    granule: int = 0
    written_bytes: int = 0
    packets: list[bytes] = field(default_factory=list)
    page_samples: int = 0
    segments: int = 0


class OggOpusWriter:
    """One recording, in one file or, by size, in several that play on from one another.

    Attributes:
        paths: of the files so far: `name.opus`, `name-2.opus`, …
    """

    def __init__(
        self,
        path: Path,
        *,
        channels: int = 1,
        pre_skip_samples: int = 312,
        tags: dict[str, str] | None = None,
        max_file_bytes: int = _MAX_FILE_BYTES,
    ) -> None:
        """Makes the file, which must not be there yet. Raises OSError.

        pre_skip_samples: the encoder's look-ahead; 312 is libopus's at 48 kHz.
        tags: comments by name, such as TITLE or DATE (RFC 7845 §5.2).
        """
        self.paths: list[Path] = []
        self._path = path
        self._channels, self._tags, self._max_file_bytes = channels, tags or {}, max_file_bytes
        self._end: int | None = None  # on the timeline of positions
        self._recent: deque[tuple[bytes, int]] = deque()
        self._recent_samples = 0
        self._part: _Part | None = self._open_part(pre_skip_samples)

    def write(self, packet: bytes, position: int, samples: int | None = None) -> None:
        """A packet whose sound begins at `position`, in samples at 48 kHz on any timeline.

        What is missing since the packet before is filled with silence, by whole frames: less than a frame
        is made up for by a later gap. What lies before the end already is put right after it. Raises
        OSError, OpusRefused, ValueError after `close`.
        """
        samples = packet_samples(packet) if samples is None else samples
        end = position if self._end is None else self._end
        for filler, length in silence_packets(packet, position - end):
            self._add(filler, length)
            end += length
        self._add(packet, samples)
        self._end = end + samples

    @property
    def duration_s(self) -> float:
        """Of what is in the last file, pages not yet full left out."""
        return 0.0 if self._part is None else self._part.granule / SAMPLE_RATE_HZ

    def close(self) -> None:
        """Mark the end and make sure it is on the disk. Raises OSError."""
        part, self._part = self._part, None
        if part is not None:
            self._finish(part)

    def _add(self, packet: bytes, samples: int) -> None:
        part = self._part
        if part is None:
            raise ValueError("the recording is closed")
        full = part.segments + _segments(packet) > _MAX_SEGMENTS
        if part.packets and (full or part.page_samples + samples > PAGE_SAMPLES):
            self._write_page(part)
        self._append(part, packet, samples)
        self._recent.append((packet, samples))
        self._recent_samples += samples
        while self._recent_samples - self._recent[0][1] >= _PRE_ROLL_SAMPLES:
            self._recent_samples -= self._recent.popleft()[1]
        if part.page_samples >= PAGE_SAMPLES:
            self._write_page(part)
            if part.written_bytes >= self._max_file_bytes:
                self._rotate(part)

    @staticmethod
    def _append(part: _Part, packet: bytes, samples: int) -> None:
        part.packets.append(packet)
        part.segments += _segments(packet)
        part.page_samples += samples

    def _rotate(self, part: _Part) -> None:
        """The next file begins with the last packets of this one, unheard: it goes on exactly here."""
        self._finish(part)
        self._part = self._open_part(self._recent_samples)
        for packet, samples in self._recent:
            self._append(self._part, packet, samples)

    def _open_part(self, pre_skip_samples: int) -> _Part:
        number = len(self.paths) + 1
        path = self._path if number == 1 else self._path.with_stem(f"{self._path.stem}-{number}")
        # Unbuffered: what `os.write` has taken survives this process.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        self.paths.append(path)
        part = _Part(handle, secrets.randbits(32))
        head = struct.pack(
            "<8sBBHIhB", b"OpusHead", 1, self._channels, pre_skip_samples, SAMPLE_RATE_HZ, 0, 0
        )
        self._write(part, [head], _FIRST_PAGE)
        self._write(part, [self._comments()], 0)
        return part

    def _comments(self) -> bytes:
        texts = [f"{name}={value}".encode() for name, value in self._tags.items()]
        vendor = b"ClearCast"
        packed = struct.pack("<8sI", b"OpusTags", len(vendor)) + vendor + struct.pack("<I", len(texts))
        return packed + b"".join(struct.pack("<I", len(text)) + text for text in texts)

    def _write_page(self, part: _Part, flags: int = 0) -> None:
        part.granule += part.page_samples
        packets, part.packets, part.page_samples, part.segments = part.packets, [], 0, 0
        self._write(part, packets, flags)

    @staticmethod
    def _write(part: _Part, packets: list[bytes], flags: int) -> None:
        page = _page(packets, part.granule, flags, part.serial, part.pages)
        part.pages += 1
        part.written_bytes += len(page)
        while page:
            page = page[os.write(part.handle, page) :]

    def _finish(self, part: _Part) -> None:
        try:
            self._write_page(part, _LAST_PAGE)
            os.fsync(part.handle)
        finally:
            os.close(part.handle)
