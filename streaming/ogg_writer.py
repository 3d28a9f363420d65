"""Ogg Opus files that are whole at every moment (RFC 3533, RFC 7845), from encoded packets.

What lives here: when a page is full, gaps, rotation. What does not: pages themselves (`ogg_pages`), files
whose writer has gone (`ogg_parts`), encoding, and writing off the event loop (`recorder`).

Libraries keep the last seconds, or the whole file, in memory; whatever kills the process takes them along.
Here a page is at most half a second and goes to the system as soon as it is full.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from streaming.ogg_pages import FIRST_PAGE, LAST_PAGE, MAX_SEGMENTS, Page, segments
from streaming.opus import SAMPLE_RATE_HZ, packet_samples

PAGE_SAMPLES = SAMPLE_RATE_HZ // 2
LOOKAHEAD_SAMPLES = 312  # of libopus at 48 kHz, and with it of browsers
_PRE_ROLL_SAMPLES = SAMPLE_RATE_HZ * 80 // 1000  # until a decoder has converged: RFC 7845 §4.6


@dataclass(frozen=True, slots=True)
class PartLimits:
    """When a file is ended and the next one begun. Attributes:
    max_bytes: of one file; the last page may reach beyond.
    max_duration_s: of one file; the last page may reach beyond.
    """

    max_bytes: int = 1 << 31
    max_duration_s: float = 8 * 3600.0


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """Attributes:
    channels: 1 or 2.
    pre_skip_samples: the encoder's look-ahead.
    tags: comments by name, such as TITLE or DATE (RFC 7845 §5.2).
    limits: of each file.
    first_part: the number of the first file.
    """

    channels: int = 1
    pre_skip_samples: int = LOOKAHEAD_SAMPLES
    tags: dict[str, str] = field(default_factory=dict)
    limits: PartLimits = PartLimits()
    first_part: int = 1


def part_path(path: Path, number: int) -> Path:
    """Where the part of this number of the recording `name.opus` lies: `name-001.opus`."""
    return path.with_stem(f"{path.stem}-{number:03d}")


def silence_packets(like: bytes, samples: int) -> Iterator[tuple[bytes, int]]:
    """(packet, its samples) for a gap: frames of no bytes, which make a decoder conceal (RFC 7845 §4.1).

    They have the mode and frame length of `like`, as that section asks for; what is left of the gap when it
    is no multiple of that frame is not filled.
    """
    toc = like[0] & 0xFC  # configuration and channels: RFC 6716 §3.1
    frame = packet_samples(bytes([toc]))
    most = 5760 // frame  # 120 ms in one packet
    count = samples // frame
    while count > 0:
        now = min(count, most)
        # Code 0 is one frame; code 3 says how many: RFC 6716 §3.2.
        yield bytes([toc]) if now == 1 else bytes([toc | 3, now]), now * frame
        count -= now


@dataclass(slots=True)
class _Part:
    """One file. `granule` counts all its samples, those to be skipped at the start included."""

    handle: int
    serial: int
    pre_skip_samples: int
    pages: int = 0
    granule: int = 0
    written_bytes: int = 0
    packets: list[bytes] = field(default_factory=list)
    page_samples: int = 0
    segments: int = 0


class OggOpusWriter:
    """One recording, in one file or, by size and length, in several that play on from one another.

    Attributes:
        paths: of the files so far: `name-001.opus`, `name-002.opus`, …
    """

    def __init__(self, path: Path, options: WriterOptions = WriterOptions()) -> None:
        """Makes the first file of the recording `path`, which must not be there yet. Raises OSError."""
        self.paths: list[Path] = []
        self._path, self._options = path, options
        self._end: int | None = None  # on the timeline of positions
        self._recent: deque[tuple[bytes, int]] = deque()
        self._recent_samples = 0
        self._finished_samples = 0
        self._part: _Part | None = self._open_part(options.pre_skip_samples)

    def begin(self, position: int) -> None:
        """Before the first packet: what lies between `position` and it becomes silence."""
        self._end = position

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
    def written_samples(self) -> int:
        """To be heard in all files, pages not yet full left out."""
        part = self._part
        now = 0 if part is None else max(0, part.granule - part.pre_skip_samples)
        return self._finished_samples + now

    def close(self) -> None:
        """Mark the end and make sure it is on the disk. Raises OSError."""
        part, self._part = self._part, None
        if part is not None:
            self._finish(part)

    def _add(self, packet: bytes, samples: int) -> None:
        part = self._part
        if part is None:
            raise ValueError("the recording is closed")
        full = part.segments + segments(packet) > MAX_SEGMENTS
        if part.packets and (full or part.page_samples + samples > PAGE_SAMPLES):
            self._write_page(part)
        self._append(part, packet, samples)
        self._recent.append((packet, samples))
        self._recent_samples += samples
        while self._recent_samples - self._recent[0][1] >= _PRE_ROLL_SAMPLES:
            self._recent_samples -= self._recent.popleft()[1]
        if part.page_samples >= PAGE_SAMPLES:
            self._write_page(part)
            limits = self._options.limits
            is_long = part.granule >= limits.max_duration_s * SAMPLE_RATE_HZ
            if is_long or part.written_bytes >= limits.max_bytes:
                self._rotate(part)

    @staticmethod
    def _append(part: _Part, packet: bytes, samples: int) -> None:
        part.packets.append(packet)
        part.segments += segments(packet)
        part.page_samples += samples

    def _rotate(self, part: _Part) -> None:
        """The next file begins with the last packets of this one, unheard: it goes on exactly here."""
        self._finish(part)
        self._part = self._open_part(self._recent_samples)
        for packet, samples in self._recent:
            self._append(self._part, packet, samples)

    def _open_part(self, pre_skip_samples: int) -> _Part:
        path = part_path(self._path, self._options.first_part + len(self.paths))
        # Unbuffered: what `os.write` has taken survives this process.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.paths.append(path)
        part = _Part(handle, secrets.randbits(32), pre_skip_samples)
        head = struct.pack(
            "<8sBBHIhB", b"OpusHead", 1, self._options.channels, pre_skip_samples, SAMPLE_RATE_HZ, 0, 0
        )
        self._write(part, [head], FIRST_PAGE)
        self._write(part, [self._comments()], 0)
        return part

    def _comments(self) -> bytes:
        texts = [f"{name}={value}".encode() for name, value in self._options.tags.items()]
        vendor = b"ClearCast"
        packed = struct.pack("<8sI", b"OpusTags", len(vendor)) + vendor + struct.pack("<I", len(texts))
        return packed + b"".join(struct.pack("<I", len(text)) + text for text in texts)

    def _write_page(self, part: _Part, flags: int = 0) -> None:
        part.granule += part.page_samples
        packets, part.packets, part.page_samples, part.segments = part.packets, [], 0, 0
        self._write(part, packets, flags)

    @staticmethod
    def _write(part: _Part, packets: list[bytes], flags: int) -> None:
        page = Page(packets, part.granule, flags, part.serial, part.pages).pack()
        part.pages += 1
        part.written_bytes += len(page)
        while page:
            page = page[os.write(part.handle, page) :]

    def _finish(self, part: _Part) -> None:
        try:
            self._write_page(part, LAST_PAGE)
            os.fsync(part.handle)
        finally:
            os.close(part.handle)
            self._finished_samples += max(0, part.granule - part.pre_skip_samples)
