"""Ogg Opus files after their writer has gone: how long they are, ending them, making one of several.

What lives here: parts that `ogg_writer` left, whole or torn by a kill. What does not: writing while sound
comes in.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from clearcast.errors import AudioUnrecognised
from streaming.ogg_pages import LAST_PAGE, Page, read_pages
from streaming.opus import SAMPLE_RATE_HZ, packet_samples

_HEAD = struct.Struct("<8sBBHIhB")  # RFC 7845 §5.1
_HEADER_PAGES = 2


@dataclass(frozen=True, slots=True)
class Part:
    """Attributes:
    samples: to be heard, at 48 kHz.
    size_bytes: of its whole pages.
    """

    path: Path
    samples: int
    size_bytes: int

    @property
    def duration_s(self) -> float:
        return self.samples / SAMPLE_RATE_HZ


def seal(path: Path) -> Part | None:
    """Cut off a torn last page and mark the end; None when there is no sound in the file.

    A disk without room for the mark does without it: readers do not need it. Doing it again changes
    nothing. Raises OSError.
    """
    with path.open("r+b") as file:
        pre_skip, last = 0, None
        for last in read_pages(file):
            pre_skip = _pre_skip(last.packets[0]) if last.number == 0 else pre_skip
        if last is None or last.number < _HEADER_PAGES or last.granule <= pre_skip:
            return None
        end = file.tell()
        os.ftruncate(file.fileno(), end)
        if not last.flags & LAST_PAGE:
            end += _mark_end(file.fileno(), end, last)
        os.fsync(file.fileno())
        return Part(path, last.granule - pre_skip, end)


def join(parts: Sequence[Path], target: Path) -> None:
    """One stream of several that play on from one another; the same parts give the same bytes.

    Packets that a part repeats only for decoders to settle are left out. Memory stays flat. Raises OSError,
    and AudioUnrecognised for a file that is no part of a recording.
    """
    with target.open("wb") as file:
        writer = _Joined(file)
        for path in parts:
            with path.open("rb") as source:
                writer.append(source)
        writer.end()
        file.flush()
        os.fsync(file.fileno())


class _Joined:
    """Pages of several streams, renumbered to one. The last is held back, to be marked as such."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._serial: int | None = None
        self._pages = 0
        self._granule = 0
        self._held: Page | None = None

    def append(self, source: BinaryIO) -> None:
        pages = read_pages(source)
        head, comments = next(pages, None), next(pages, None)
        if head is None or comments is None:
            raise AudioUnrecognised("A part of a recording has no header.")
        pre_skip = _pre_skip(head.packets[0])
        if self._serial is None:
            self._serial = head.serial
            self._put(head)
            self._put(comments)
            for page in pages:
                self._add(page, page.packets)
            return
        repeated = _repeated(source, pre_skip)
        for page in pages:
            new = page.packets[repeated:]
            repeated = max(0, repeated - len(page.packets))
            self._add(page, new)

    def _add(self, page: Page, packets: Sequence[bytes]) -> None:
        if packets:
            self._granule += sum(map(packet_samples, packets))
            self._put(replace(page, packets=packets, granule=self._granule, flags=0))

    def _put(self, page: Page) -> None:
        if self._held is not None:
            self._file.write(self._held.pack())
        assert self._serial is not None
        self._held = replace(page, serial=self._serial, number=self._pages)
        self._pages += 1

    def end(self) -> None:
        if self._held is not None:
            self._held = replace(self._held, flags=self._held.flags | LAST_PAGE)
            self._file.write(self._held.pack())


def _pre_skip(head: bytes) -> int:
    """Raises AudioUnrecognised for what is no OpusHead."""
    if len(head) < _HEAD.size or not head.startswith(b"OpusHead"):
        raise AudioUnrecognised("A part of a recording has no Opus header.")
    return int(_HEAD.unpack_from(head)[3])


def _repeated(source: BinaryIO, pre_skip: int) -> int:
    """How many packets at the start, from here on, are those before the cut once more.

    A rotation's pre-skip is as long as whole packets are, an encoder's look-ahead never is.
    """
    start, count, samples = source.tell(), 0, 0
    for packet in _packets(source):
        if samples >= pre_skip:
            break
        samples += packet_samples(packet)
        count += 1
    source.seek(start)
    return count if samples == pre_skip else 0


def _packets(source: BinaryIO) -> Iterator[bytes]:
    for page in read_pages(source):
        yield from page.packets


def _mark_end(handle: int, end: int, last: Page) -> int:
    """An empty last page (RFC 3533 §6 allows it); gives its length, 0 where it could not be written."""
    mark = Page((), last.granule, LAST_PAGE, last.serial, last.number + 1).pack()
    try:
        if os.pwrite(handle, mark, end) == len(mark):
            return len(mark)
    except OSError:
        pass
    os.ftruncate(handle, end)
    return 0
