"""The working copy of a recording: mono, 16 kHz, 16-bit WAV on disk, read by windows.

What lives here: `Recording`, which every engine gets, and `Clip`, the small thing that travels between
processes in its place. What does not: decoding (see `sandbox`), which makes the working copy.

Reads use plain file reads and not a memory map, because mapped pages count as the process's memory and a
two-hour file would show as 230 MB in every replica that walks over it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt

from clearcast.errors import AudioUnrecognised, NotFound

SAMPLE_RATE_HZ = 16_000
FloatAudio = npt.NDArray[np.float32]

_HEADER_BYTES = 44  # RIFF/WAVE with one 16-byte fmt chunk, as `write_header` makes it
_UNKNOWN_BYTES = 0xFFFFFFFF  # data size of a file past 4 GiB: length is then taken from the file itself


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of a working copy, as it travels between deployments instead of the samples.

    `uri` is `file://…`; `end_s` None means to the end.
    """

    uri: str
    start_s: float = 0.0
    end_s: float | None = None


class Recording:
    """Mono 16 kHz sound with a known length, read by windows.

    Made by `Recording.open(path)` from a working copy or `Recording.from_array(samples)` in memory.
    Reading is safe from several threads.
    """

    def __init__(self, num_samples: int, *, path: Path | None, array: FloatAudio | None) -> None:
        self.num_samples = num_samples
        self.path = path
        self._array = array
        self._first = 0  # in the file, where this recording begins
        self._file = None if path is None else path.open("rb")

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a working copy. Raises NotFound, or AudioUnrecognised when the file is not one."""
        try:
            with path.open("rb") as file:
                header = file.read(_HEADER_BYTES)
                size_bytes = os.fstat(file.fileno()).st_size - _HEADER_BYTES
        except FileNotFoundError as error:
            raise NotFound("The recording is not there any more.") from error
        if len(header) < _HEADER_BYTES or header != _header(_data_bytes(header)):
            raise AudioUnrecognised("Not a ClearCast working copy (mono 16 kHz 16-bit WAV).")
        return cls(size_bytes // 2, path=path, array=None)

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Open the working copy that a `Clip` names. Raises NotFound."""
        return cls.open(path_of(uri))

    @classmethod
    def from_array(cls, samples: FloatAudio) -> Self:
        """Wrap float32 mono samples at 16 kHz, range [-1, 1], shape (n,)."""
        if samples.ndim != 1 or samples.dtype != np.float32:
            raise ValueError("a recording is float32 with shape (n,)")
        return cls(len(samples), path=None, array=samples)

    @property
    def uri(self) -> str | None:
        """Where the working copy lies, or None when it is only in memory."""
        return None if self.path is None else self.path.resolve().as_uri()

    @property
    def duration_s(self) -> float:
        return self.num_samples / SAMPLE_RATE_HZ

    def read_samples(self, start: int, stop: int) -> FloatAudio:
        """Samples [start, stop) as float32 in [-1, 1]; a range past the ends is cut to what is there."""
        start, stop = max(0, start), min(self.num_samples, stop)
        if start >= stop:
            return np.zeros(0, np.float32)
        if self._array is not None:
            return self._array[start:stop]
        assert self._file is not None
        offset_bytes = _HEADER_BYTES + (self._first + start) * 2
        raw = os.pread(self._file.fileno(), (stop - start) * 2, offset_bytes)
        return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768.0)

    def read(self, start_s: float = 0.0, end_s: float | None = None) -> FloatAudio:
        """The sound from `start_s` to `end_s` (None: the end), rounded to whole samples."""
        stop = self.num_samples if end_s is None else round(end_s * SAMPLE_RATE_HZ)
        return self.read_samples(round(start_s * SAMPLE_RATE_HZ), stop)

    def windows(self, window_s: float) -> Iterator[tuple[int, FloatAudio]]:
        """(first sample, samples) for each window in turn, without gaps or overlap."""
        step = max(1, round(window_s * SAMPLE_RATE_HZ))
        for start in range(0, self.num_samples, step):
            yield start, self.read_samples(start, start + step)

    def section(self, start_s: float, end_s: float | None = None) -> Recording:
        """A stretch of this recording as one of its own; its times count from `start_s`."""
        last = self.num_samples if end_s is None else min(self.num_samples, round(end_s * SAMPLE_RATE_HZ))
        first = min(round(start_s * SAMPLE_RATE_HZ), last)
        if self._array is not None:
            return Recording.from_array(self._array[first:last])
        part = Recording(last - first, path=self.path, array=None)
        part._first = self._first + first
        return part

    def clip(self, start_s: float = 0.0, end_s: float | None = None) -> Clip:
        """This stretch as a `Clip`. Raises ValueError for a recording that is only in memory."""
        if self.uri is None:
            raise ValueError("a recording in memory has no address")
        return Clip(self.uri, start_s, end_s)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def path_of(uri: str) -> Path:
    """Where the working copy of that address lies. Only `file://` is known. Raises NotFound."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise NotFound(f"Recordings cannot be read from {parts.scheme}:// addresses.")
    return Path(unquote(parts.path))


def write_header(data_bytes: int) -> bytes:
    """The 44-byte WAV header of a working copy holding `data_bytes` bytes of samples."""
    return _header(min(data_bytes, _UNKNOWN_BYTES))


def _header(data_bytes: int) -> bytes:
    riff_bytes = min(data_bytes + _HEADER_BYTES - 8, _UNKNOWN_BYTES)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16, 1, 1),
        *(SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * 2, 2, 16, b"data", data_bytes),
    )


def _data_bytes(header: bytes) -> int:
    return int(struct.unpack("<I", header[40:44])[0]) if len(header) >= _HEADER_BYTES else 0
