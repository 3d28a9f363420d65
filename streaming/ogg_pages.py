"""Pages of Ogg (RFC 3533 §6): made, and read back with doubt.

What lives here: one page to bytes, and a file to its whole pages. What does not: Opus, files over time
(`ogg_writer`), several files (`ogg_parts`).

A page here ends where a packet ends, as our writer's do.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

MAX_SEGMENTS = 255  # lacing values of one page
FIRST_PAGE, LAST_PAGE = 0x02, 0x04  # header_type flags
_HEADER = struct.Struct("<4sBBqIIIB")
_CHECKSUM_AT = 22


@dataclass(frozen=True, slots=True)
class Page:
    """Attributes:
    packets: whole ones.
    granule: position of the end of the last packet that ends here.
    flags: `FIRST_PAGE`, `LAST_PAGE` or 0.
    serial: of the stream.
    number: of the page in it, from 0.
    """

    packets: Sequence[bytes]
    granule: int
    flags: int
    serial: int
    number: int

    def pack(self) -> bytes:
        """The page as it stands in a file. Raises ValueError when its packets need too many segments."""
        lacing = b"".join(
            b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in self.packets
        )
        if len(lacing) > MAX_SEGMENTS:
            raise ValueError("too many packets for one page")
        header = _HEADER.pack(
            b"OggS", 0, self.flags, self.granule, self.serial, self.number, 0, len(lacing)
        )
        page = bytearray(header + lacing + b"".join(self.packets))
        struct.pack_into("<I", page, _CHECKSUM_AT, _checksum(page))
        return bytes(page)


def segments(packet: bytes) -> int:
    """Lacing values that a packet takes."""
    return len(packet) // 255 + 1


def read_pages(file: BinaryIO) -> Iterator[Page]:
    """The whole pages from here on; ends before the first that is torn, damaged or none of ours.

    The file then stands behind the last whole page.
    """
    while True:
        start = file.tell()
        page = _read_page(file)
        if page is None:
            file.seek(start)
            return
        yield page


def _read_page(file: BinaryIO) -> Page | None:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    magic, version, flags, granule, serial, number, checksum, count = _HEADER.unpack(header)
    if (magic, version) != (b"OggS", 0):
        return None
    lacing = file.read(count)
    size = sum(lacing)
    body = file.read(size)
    if len(lacing) < count or len(body) < size or lacing[-1:] == b"\xff":
        return None
    blank = header[:_CHECKSUM_AT] + bytes(4) + header[_CHECKSUM_AT + 4 :]
    if _checksum(blank + lacing + body) != checksum:
        return None
    return Page(_packets(lacing, body), granule, flags, serial, number)


def _packets(lacing: bytes, body: bytes) -> list[bytes]:
    packets, start, end = [], 0, 0
    for value in lacing:
        end += value
        if value < 255:
            packets.append(body[start:end])
            start = end
    return packets


def _reversed_bits(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


_REVERSED_BYTES = bytes(_reversed_bits(value, 8) for value in range(256))


def _checksum(page: bytes | bytearray) -> int:
    """Ogg's CRC-32: polynomial 0x04c11db7, no reflection, starting from 0.

    zlib's has the same polynomial, with bits in the other order and all ones at both ends.
    """
    reflected = zlib.crc32(page.translate(_REVERSED_BYTES), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return _reversed_bits(reflected, 32)
