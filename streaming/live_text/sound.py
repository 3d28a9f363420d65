"""The sound of one live transcription: PCM in, a working copy on disk that grows.

What lives here: reading 16-bit PCM at any rate, and the file that recognisers read their stretches from.
What does not: finding speech (`utterances`).

Recognisers are other processes, which get a `Clip` and not samples. A working copy whose header says that
its length is unknown may be read while it is written (`clearcast.audio.recording`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, Clip, FloatAudio, write_header
from clearcast.audio.sinc import Resampler
from clearcast.errors import OptionInvalid

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 48_000
_UNKNOWN_BYTES = 0xFFFFFFFF
_HEADER_BYTES = len(write_header(0))
_FILE_S = 300.0  # so much sound lies on disk before a new file is begun and the old one goes


class PcmReader:
    """16-bit little-endian mono PCM at some rate, in pieces of any size, to float32 at 16 kHz.

    Attributes:
        received_samples: whole ones so far, at that rate.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        """Raises OptionInvalid for a rate outside 8 to 48 kHz."""
        if not LOWEST_RATE_HZ <= sample_rate_hz <= HIGHEST_RATE_HZ:
            raise OptionInvalid(
                f"The sample rate must lie between {LOWEST_RATE_HZ} and {HIGHEST_RATE_HZ} Hz.",
                option="sample_rate_hz",
            )
        self.received_samples = 0
        self._half = b""
        self._resampler = None
        if sample_rate_hz != SAMPLE_RATE_HZ:
            self._resampler = Resampler(sample_rate_hz, SAMPLE_RATE_HZ)

    def push(self, pcm: bytes) -> FloatAudio:
        """What is known now, shape (n,), in [−1, 1]; half a sample waits for its other half."""
        pcm = self._half + pcm
        whole = len(pcm) // 2 * 2
        self._half = pcm[whole:]
        self.received_samples += whole // 2
        samples = np.frombuffer(pcm[:whole], "<i2").astype(np.float32) / np.float32(32768.0)
        if self._resampler is None:
            return samples
        return self._resampler.push(samples[:, np.newaxis])[:, 0]

    def drop_half(self) -> None:
        """The other half of what was received last will not come: the sample is sent again."""
        self._half = b""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    first: int  # sample of the whole stream it begins with


class SoundTrail:
    """The latest minutes of a stream on disk. Not safe for threads.

    Attributes:
        num_samples: of the whole stream so far, at 16 kHz.
    """

    def __init__(self, folder: Path, first: int = 0) -> None:
        """Files are made in `folder`, which is the caller's; the stream is known from sample `first` on."""
        self.num_samples = first
        self._folder = folder
        self._number = 0
        self._begin()

    def _begin(self, known: bytes = b"") -> None:
        self._number += 1
        path = self._folder / f"{self._number:05d}.wav"
        self._out = path.open("xb", buffering=0)
        self._out.write(write_header(_UNKNOWN_BYTES) + known)
        self._file = _File(path, self.num_samples - len(known) // 2)

    @property
    def duration_s(self) -> float:
        return self.num_samples / SAMPLE_RATE_HZ

    def append(self, samples: FloatAudio) -> None:
        """float32 mono at 16 kHz. Raises OSError."""
        whole = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")
        self._out.write(whole.tobytes())
        self.num_samples += len(samples)

    def forget(self, before: int) -> None:
        """No sample before that one will be asked for, and no clip is being read. Raises OSError."""
        if before - self._file.first < _FILE_S * SAMPLE_RATE_HZ:
            return
        old = self._file
        with old.path.open("rb") as file:
            file.seek(_HEADER_BYTES + 2 * (before - old.first))
            known = file.read()
        self._out.close()
        self._begin(known)
        old.path.unlink()

    def clip(self, start: int, end: int) -> tuple[Clip, float]:
        """Samples [start, end), as far as they are still there, and the second of the stream that the
        clip's file begins with."""
        first = self._file.first
        start_s, end_s = (max(0, one - first) / SAMPLE_RATE_HZ for one in (start, end))
        return Clip(self._file.path.resolve().as_uri(), start_s, end_s), first / SAMPLE_RATE_HZ

    def close(self) -> None:
        """Remove what lies on disk."""
        self._out.close()
        self._file.path.unlink(missing_ok=True)
