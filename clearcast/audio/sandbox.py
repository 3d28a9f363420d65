"""Foreign files, decoded in a process that can do no harm: what callers get.

What lives here: `prepare`, which makes the working copy of a recording, `transcode`, which writes it in
another format, and `probe_safely`. What does not: the process itself (`child`), its handling (`limited`),
and full-band sound (`sound`).

The process is a fresh Python that imports PyAV and little else, or the fork of one that has read nothing
(`nursery`), never a fork of this one. It gets the file as its standard input, an empty environment, and
limits that the kernel keeps: address space, processor time, file size, and no opening of anything once it
has begun. This side adds a limit on time and checks what it answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from clearcast.audio.atomic import whole_or_absent
from clearcast.audio.child import Order
from clearcast.audio.encode import format_of
from clearcast.audio.limited import Progress, Run
from clearcast.audio.probe import AudioInfo
from clearcast.audio.recording import Recording
from clearcast.errors import NotFound, ServiceUnavailable
from clearcast.settings import AudioSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A working copy, and what was learned while making it.

    Attributes:
        info: what the file says about itself.
        path: the working copy, mono 16 kHz 16-bit WAV; `Recording.open` reads it.
        duration_s: its length, counted.
        peak_dbfs, rms_dbfs: level of the working copy; None when every sample is zero.
        clipped_samples: samples of the working copy at full scale.
        truncated: the file ends before the end that it claims, or reading stopped at damage.
        silent: nothing in it rises above `level.SILENCE_PEAK_DBFS`.
    """

    info: AudioInfo
    path: Path
    duration_s: float
    peak_dbfs: float | None
    rms_dbfs: float | None
    clipped_samples: int
    truncated: bool
    silent: bool


def ignore_progress(_fraction: float) -> None:
    """The progress listener of those who do not listen."""


async def prepare(
    source: Path, target: Path, limits: AudioSettings, progress: Progress = ignore_progress
) -> Prepared:
    """Decode a foreign file into a working copy at `target`, which is there whole or not at all.

    Cancelling ends the process at once. Progress, a fraction in [0, 1], is told on the event loop.

    Raises NotFound, Forbidden, AudioEmpty, AudioUnrecognised, AudioTruncated, AudioForbidden, AudioTooLong,
    DecodeLimitExceeded, StorageFull, ServiceUnavailable.
    """
    loop = asyncio.get_running_loop()

    def report(fraction: float) -> None:
        loop.call_soon_threadsafe(progress, fraction)

    return await in_thread(lambda run: _prepare(run, source, target, limits, report))


def prepare_sync(
    source: Path, target: Path, limits: AudioSettings, progress: Progress = ignore_progress
) -> Prepared:
    """`prepare` for code without an event loop. Ctrl-C, or raising from `progress`, ends the process."""
    return _prepare(Run(), source, target, limits, progress)


@dataclass(frozen=True, slots=True)
class Written:
    """What `transcode` wrote."""

    duration_s: float
    sample_rate_hz: int
    channels: int


async def transcode(
    source: Path,
    target: Path,
    format_name: str,
    limits: AudioSettings,
    progress: Progress = ignore_progress,
) -> Written:
    """Write the sound of a foreign file to `target` in the format of that name (a key of `encode.FORMATS`).

    The rate stays where the format has it, and so do the channels; too many for the format are mixed into
    one. Cancelling ends the process at once. Raises what `prepare` raises, and OptionInvalid.
    """
    form = format_of(target, format_name)
    loop = asyncio.get_running_loop()

    def report(fraction: float) -> None:
        loop.call_soon_threadsafe(progress, fraction)

    return await in_thread(lambda run: _transcode(run, source, target, form.name, limits, report))


async def probe_safely(source: Path, limits: AudioSettings) -> AudioInfo:
    """Describe a foreign file without decoding its sound. Raises what `prepare` raises."""
    return await in_thread(lambda run: _probe(run, source, limits))


def probe_safely_sync(source: Path, limits: AudioSettings) -> AudioInfo:
    """`probe_safely` for code without an event loop."""
    return _probe(Run(), source, limits)


def _prepare(run: Run, source: Path, target: Path, limits: AudioSettings, progress: Progress) -> Prepared:
    if not target.parent.is_dir():
        raise NotFound(f"There is no folder {str(target.parent)!r} to write the working copy to.")
    with whole_or_absent(target) as temporary:
        order = order_for(limits, temporary)
        answer = run.carry_out(order, source, limits.decode_timeout_s, progress)
        facts = answer.get("prepared", {}) | {"info": answer.get("info"), "path": target}
        prepared = validated(Prepared, facts)
        with Recording.open(temporary) as recording:
            if recording.duration_s != prepared.duration_s:
                raise ServiceUnavailable("The decoding process wrote less than it says.")
    progress(1.0)
    return prepared


def _transcode(
    run: Run, source: Path, target: Path, format_name: str, limits: AudioSettings, progress: Progress
) -> Written:
    with whole_or_absent(target) as temporary:
        order = replace(order_for(limits, temporary), format_name=format_name)
        answer = run.carry_out(order, source, limits.decode_timeout_s, progress)
        written = validated(Written, answer.get("written"))
    progress(1.0)
    return written


def _probe(run: Run, source: Path, limits: AudioSettings) -> AudioInfo:
    answer = run.carry_out(order_for(limits, None), source, limits.decode_timeout_s, ignore_progress)
    return validated(AudioInfo, answer.get("info"))


def order_for(limits: AudioSettings, target: Path | None) -> Order:
    """The order to make a working copy at `target`, or to describe the file when that is None."""
    return Order(
        target=None if target is None else str(target.resolve()),
        max_duration_s=limits.max_duration_s,
        cpu_s=limits.decode_timeout_s,
        memory_bytes=limits.decode_memory_bytes,
    )


def validated(kind: type[T], values: object) -> T:
    """`values` as `kind`. What a process says that has read foreign bytes is foreign itself."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ServiceUnavailable("The decoding process gave no usable answer.") from error


async def in_thread(work: Callable[[Run], T], threads: Executor | None = None) -> T:
    """Run `work` in one of these threads, or of the loop's own; when the caller is cancelled, end its
    process and wait for that."""
    run = Run()
    job = asyncio.get_running_loop().run_in_executor(threads, work, run)
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        run.stop()
        await asyncio.wait([job])
        if not job.cancelled():
            job.exception()  # taken notice of: the reason is the cancellation
        raise
