"""Full-band sound on disk: any rate, any number of channels, 32-bit floats, read and written by windows.

What lives here: `SoundReader` and `SoundWriter`, `prepare_sound`, which makes such a file from a foreign
one, and `encode_sound`, which turns it into a format people use. What does not: the mono working copy that
speech engines hear (`recording`), and the bytes of the header (`rf64`).

Every stage that changes sound reads one such file and writes another; nothing is rounded or clipped in
between.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from clearcast.audio.atomic import whole_or_absent
from clearcast.audio.encode import AudioFormat, format_of, open_encoder
from clearcast.audio.limited import Progress, Run
from clearcast.audio.probe import AudioInfo
from clearcast.audio.rf64 import HEADER_BYTES, SoundHeader
from clearcast.audio.sandbox import ignore_progress, in_thread, order_for, validated
from clearcast.errors import AudioUnrecognised, NotFound, ServiceUnavailable, StorageFull
from clearcast.settings import AudioSettings

SoundArray = npt.NDArray[np.float32]

_COPY_BYTES = 1 << 20  # read at a time when a whole file is walked through


class SoundReader:
    """A sound file, read by windows; safe from several threads.

    Attributes:
        num_samples: its length in frames, one sample of every channel.
    """

    def __init__(self, path: Path, descriptor: int, header: SoundHeader) -> None:
        self.path = path
        self.sample_rate_hz = header.sample_rate_hz
        self.channels = header.channels
        self.num_samples = header.num_samples
        self._frame_bytes = header.frame_bytes
        self._file = os.fdopen(descriptor, "rb", buffering=0)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file that `SoundWriter` or `prepare_sound` wrote. Raises NotFound, AudioUnrecognised."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound("The sound file is not there any more.") from error
        header = SoundHeader.parse(os.pread(descriptor, HEADER_BYTES, 0), os.fstat(descriptor).st_size)
        if header is None:
            os.close(descriptor)
            raise AudioUnrecognised("Not a ClearCast sound file (WAV of 32-bit floats with our header).")
        return cls(path, descriptor, header)

    @property
    def duration_s(self) -> float:
        return self.num_samples / self.sample_rate_hz

    def read(self, start: int = 0, stop: int | None = None) -> SoundArray:
        """Frames [start, stop) as float32 of shape (n, channels), nominally in [-1, 1]; more where the
        recording itself goes beyond. A range past the ends is cut to what is there.
        """
        start = max(0, start)
        stop = self.num_samples if stop is None else min(self.num_samples, stop)
        parts: list[bytes] = []
        at, left = HEADER_BYTES + start * self._frame_bytes, max(0, stop - start) * self._frame_bytes
        while left:  # one call gives at most 2 GiB
            part = os.pread(self._file.fileno(), left, at)
            if not part:
                raise AudioUnrecognised("The sound file became shorter while it was read.")
            parts.append(part)
            at, left = at + len(part), left - len(part)
        samples = np.frombuffer(b"".join(parts) if len(parts) != 1 else parts[0], "<f4")
        return samples.reshape(-1, self.channels)

    def blocks(self, block_samples: int | None = None) -> Iterator[SoundArray]:
        """The whole sound in turn, without gaps or overlap; None takes about 1 MiB at a time."""
        step = block_samples or max(1, _COPY_BYTES // self._frame_bytes)
        for start in range(0, self.num_samples, step):
            yield self.read(start, start + step)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SoundWriter:
    """Writes a sound file, which appears at `path` on `close` and not at all after an error.

    As a context manager it closes at the end of the block, and discards when the block raises. Raises
    NotFound when the folder does not exist.
    """

    def __init__(self, path: Path, sample_rate_hz: int, channels: int) -> None:
        if sample_rate_hz < 1 or not 1 <= channels < 1 << 16:
            raise ValueError(f"no sound has {channels} channels at {sample_rate_hz} Hz")
        if not path.parent.is_dir():
            raise NotFound(f"There is no folder {str(path.parent)!r} to write the sound to.")
        self.path = path
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.num_samples = 0
        self._stack = ExitStack()
        temporary = self._stack.enter_context(whole_or_absent(path))
        self._file = self._stack.enter_context(temporary.open("wb"))
        self._file.write(self._header())

    def write(self, samples: SoundArray) -> None:
        """Append float32 samples of shape (n, channels), or (n,) for one channel. Raises StorageFull;
        ValueError for another shape or type.
        """
        frames = samples[:, np.newaxis] if samples.ndim == 1 else samples
        if frames.ndim != 2 or frames.shape[1] != self.channels or frames.dtype != np.float32:
            raise ValueError(f"expected float32 (n, {self.channels}), not {samples.dtype} {samples.shape}")
        with _room_on_disk():
            self._file.write(np.ascontiguousarray(frames, dtype="<f4").data)
        self.num_samples += len(frames)

    def close(self) -> None:
        """Complete the file and put it in its place; a second call does nothing."""
        if self._file.closed:
            return
        with self._stack, _room_on_disk():
            self._file.seek(0)
            self._file.write(self._header())
            self._file.flush()

    def discard(self) -> None:
        """Leave nothing behind."""
        error = _Discarded()
        self.__exit__(_Discarded, error, None)

    def _header(self) -> bytes:
        return SoundHeader(self.sample_rate_hz, self.channels, self.num_samples).pack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        elif not self._file.closed:
            self._stack.__exit__(kind, error, traceback)


class _Discarded(Exception):
    """Makes the writer's contexts end as after any other error; never leaves this file."""


@dataclass(frozen=True, slots=True)
class PreparedSound:
    """A full-band sound file, and what was learned while making it.

    Attributes:
        info: what the foreign file says about itself.
        path: the sound file; `SoundReader.open` reads it.
        duration_s, sample_rate_hz, channels, num_samples: of the sound file; rate and channels are those
            of the recording.
        peak_dbfs, rms_dbfs: level over all channels, the peak at most 0; None when every sample is zero.
        clipped_samples: at or beyond full scale, over all channels.
        truncated: the file ends before the end that it claims, or reading stopped at damage.
        silent: nothing in it rises above `level.SILENCE_PEAK_DBFS`.
    """

    info: AudioInfo
    path: Path
    duration_s: float
    sample_rate_hz: int
    channels: int
    num_samples: int
    peak_dbfs: float | None
    rms_dbfs: float | None
    clipped_samples: int
    truncated: bool
    silent: bool


async def prepare_sound(
    source: Path, target: Path, limits: AudioSettings, progress: Progress = ignore_progress
) -> PreparedSound:
    """Decode a foreign file into a sound file at `target`, which is there whole or not at all.

    Cancelling ends the decoding process at once. Progress, a fraction in [0, 1], is told on the event loop.
    Raises what `sandbox.prepare` raises.
    """
    loop = asyncio.get_running_loop()

    def report(fraction: float) -> None:
        loop.call_soon_threadsafe(progress, fraction)

    return await in_thread(lambda run: _prepare(run, source, target, limits, report))


def prepare_sound_sync(
    source: Path, target: Path, limits: AudioSettings, progress: Progress = ignore_progress
) -> PreparedSound:
    """`prepare_sound` for code without an event loop. Raising from `progress` ends the process."""
    return _prepare(Run(), source, target, limits, progress)


def _prepare(
    run: Run, source: Path, target: Path, limits: AudioSettings, progress: Progress
) -> PreparedSound:
    if not target.parent.is_dir():
        raise NotFound(f"There is no folder {str(target.parent)!r} to write the sound to.")
    with whole_or_absent(target) as temporary:
        order = replace(order_for(limits, temporary), full_band=True)
        answer = run.carry_out(order, source, limits.decode_timeout_s, progress)
        facts = answer.get("prepared", {}) | {"info": answer.get("info"), "path": target}
        prepared = validated(PreparedSound, facts)
        with SoundReader.open(temporary) as sound:
            found = (sound.sample_rate_hz, sound.channels, sound.num_samples)
        if found != (prepared.sample_rate_hz, prepared.channels, prepared.num_samples):
            raise ServiceUnavailable("The decoding process wrote something else than it says.")
    progress(1.0)
    return prepared


def encode_sound(
    source: Path,
    target: Path,
    format_name: str | None = None,
    bits: int | None = None,
    *,
    bit_rate_bps: int | None = None,
    progress: Progress = ignore_progress,
) -> AudioFormat:
    """A sound file to a format people use, by windows; whole at `target` or absent.

    The rate stays where the format has it. More channels than it holds are mixed equally into one. Samples
    beyond [-1, 1] are clipped where the format holds integers.

    Args:
        format_name: a key of `encode.FORMATS`; None takes the ending of the target's name.
        bits: 16 or 24 for WAV and FLAC, 32 for WAV with floats; None is 16.
        progress: told a fraction in [0, 1]; may raise to stop.

    Raises NotFound, AudioUnrecognised, OptionInvalid, StorageFull.
    """
    form = format_of(target, format_name)
    with SoundReader.open(source) as sound, _room_on_disk():
        mixed = sound.channels > form.most_channels
        with open_encoder(
            target,
            sample_rate_hz=sound.sample_rate_hz,
            channels=1 if mixed else sound.channels,
            format_name=form.name,
            bits=bits,
            bit_rate_bps=bit_rate_bps,
        ) as encoder:
            for block in sound.blocks():
                encoder.write(block.mean(axis=1, dtype=np.float32) if mixed else block)
                progress(encoder.num_samples / sound.num_samples)
    return form


@contextmanager
def _room_on_disk() -> Iterator[None]:
    """Turns "no space left" into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull("The disk is full.", hint="Free some space and try again.") from error
