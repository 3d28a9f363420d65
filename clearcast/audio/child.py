"""The limited process in which foreign files are probed and decoded.

What lives here: what this process may use, its tasks, and the lines of JSON in which it reports.
What does not: starting and stopping it (`sandbox`). Only light modules are imported here, since its start
is paid for by every file.

It is started with an order (JSON, first argument), the file as standard input and a pipe as standard
output. On the pipe it writes `{"fraction": 0.25}` any number of times, then one of `{"info": …}`,
`{"prepared": …}` or `{"error": …}`.
"""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import av

# PyAV imports these when it meets its first stream, which is too late here: nothing can be opened then.
import av.audio.stream
import av.subtitles.stream
import av.video.stream
import numpy as np

from clearcast.audio.decode import Decoder
from clearcast.audio.encode import FORMATS, Encoder
from clearcast.audio.growing_file import GrowingFile
from clearcast.audio.level import LevelMeter
from clearcast.audio.probe import AudioInfo, describe, track_duration_s
from clearcast.audio.recording import SAMPLE_RATE_HZ, write_header
from clearcast.audio.rf64 import SoundHeader
from clearcast.audio.source import FORMATS_HINT, Media, open_media
from clearcast.errors import (
    AudioEmpty,
    AudioTooLong,
    AudioTruncated,
    AudioUnrecognised,
    ClearCastError,
    DecodeLimitExceeded,
    InputError,
    StorageFull,
)

_REPORT_EVERY_S = 0.2
_BLOCK_SAMPLES = SAMPLE_RATE_HZ  # one second: limits are looked at this often
_SOON_SAMPLES = SAMPLE_RATE_HZ // 20  # of a file that grows: somebody waits for its text
# Sound this much shorter than the header claims has lost its end. Encoder delay, padding and rounding
# stay below it.
_MISSING_S = 0.5
_MOST_BYTES_PER_S = 8 * 2 * 192_000  # eight channels at the highest rate in use
_MOST_SOUND_BYTES_PER_S = 8 * 4 * 192_000  # the same in floats; 32 channels at 48 kHz
_LAST_WORDS_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Order:
    """What to do and how much may be used for it.

    Attributes:
        target: where to write the working copy; None only describes the file.
        format_name: a key of `encode.FORMATS`, to write that instead of a working copy.
        full_band: write a sound file (`rf64`) with the recording's own rate and channels instead.
        news: a pipe of this process's; the file grows until its other end is closed, and every byte in it
            says that more of the file is there. The working copy then grows as soon as it can.
        max_duration_s: decoded seconds after which decoding stops with AudioTooLong.
        cpu_s: processor seconds; the kernel ends the process after them.
        memory_bytes: address space.
    """

    target: str | None
    max_duration_s: float
    cpu_s: float
    memory_bytes: int
    format_name: str | None = None
    full_band: bool = False
    news: int | None = None


def main() -> None:
    """Carry out the order in the first argument. Exit status 0 means that an answer was written."""
    order = Order(**json.loads(sys.argv[1]))
    source = os.fdopen(0, "rb") if order.news is None else cast(BinaryIO, GrowingFile(0, order.news))
    target = None if order.target is None else Path(order.target).open("wb")  # noqa: SIM115
    # M4A is read once more at its end, to bring its index to the front.
    again = None if order.target is None else Path(order.target).open("rb")  # noqa: SIM115
    _limit(order)
    try:
        _report(_carry_out(order, source, target, again))
    except BrokenPipeError:
        # The parent died. Nobody else is left to clear up.
        if order.target is not None:
            Path(order.target).unlink(missing_ok=True)
        os._exit(1)


def _carry_out(
    order: Order, source: BinaryIO, target: BinaryIO | None, again: BinaryIO | None
) -> dict[str, Any]:
    try:
        with open_media(source) as media:
            info = describe(media)
            if target is None:
                return {"info": asdict(info)}
            if order.format_name is not None:
                with target:
                    return {"info": asdict(info), "written": _transcode(order, media, info, target, again)}
            write = _prepare_sound if order.full_band else _prepare
            with target:
                return {"info": asdict(info), "prepared": write(order, media, info, target)}
    except (InputError, StorageFull) as error:
        return {"error": _as_json(error)}
    except MemoryError:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))  # room to say so
        return {"error": _as_json(out_of_memory(order.memory_bytes))}
    except av.FFmpegError as error:
        # Some of them are OSErrors too, hence before those.
        refusal = AudioUnrecognised(f"FFmpeg cannot decode this file: {error.strerror}.", hint=FORMATS_HINT)
        return {"error": _as_json(refusal)}
    except OSError as error:
        if error.errno == errno.EFBIG:
            return {"error": _as_json(_too_long(order))}
        if error.errno != errno.ENOSPC:
            raise
        return {"error": _as_json(StorageFull("The disk is full.", hint="Free some space and try again."))}


def _prepare(order: Order, media: Media, info: AudioInfo, target: BinaryIO) -> dict[str, Any]:
    """Write the working copy; returns the facts about it."""
    is_growing = order.news is not None
    decoder = Decoder(media, SAMPLE_RATE_HZ, 1, "s16", _SOON_SAMPLES if is_growing else _BLOCK_SAMPLES)
    progress = _Progress(media, info.duration_s)
    meter = LevelMeter()
    most_samples = round(order.max_duration_s * SAMPLE_RATE_HZ)
    num_samples = 0
    target.write(write_header(0))
    for block in decoder:
        num_samples = block.start + len(block.samples)
        if num_samples > most_samples:
            raise _too_long(order)
        pcm = block.samples.astype("<i2", copy=False)
        meter.add(pcm)
        target.write(pcm.tobytes())
        if is_growing:
            target.flush()
        progress.tell(num_samples / SAMPLE_RATE_HZ)
    if num_samples == 0:
        raise _no_sound(info)
    target.seek(0)
    target.write(write_header(num_samples * 2))
    level = meter.level()
    duration_s = num_samples / SAMPLE_RATE_HZ
    return {
        "duration_s": duration_s,
        "truncated": decoder.broke_off or _end_is_missing(media, info, duration_s),
        "silent": level.silent,
        **asdict(level),
    }


def _prepare_sound(order: Order, media: Media, info: AudioInfo, target: BinaryIO) -> dict[str, Any]:
    """Write the sound as floats, at its own rate and with its own channels; returns the facts about it."""
    rate_hz = info.sample_rate_hz
    decoder = Decoder(media, rate_hz, None, "f32", rate_hz)
    progress = _Progress(media, info.duration_s)
    meter = LevelMeter()
    num_samples = channels = 0
    target.write(SoundHeader(rate_hz, 1, 0).pack())
    for block in decoder:
        num_samples, channels = block.start + len(block.samples), block.samples.shape[1]
        if num_samples > order.max_duration_s * rate_hz:
            raise _too_long(order)
        # Damaged files decode to NaN at times, which would spread through everything downstream.
        floats = np.nan_to_num(block.samples.astype("<f4", copy=False), nan=0.0, posinf=1.0, neginf=-1.0)
        meter.add(np.clip(np.rint(floats * 32768.0), -32768, 32767).astype(np.int16))
        target.write(floats.tobytes())
        progress.tell(num_samples / rate_hz)
    if num_samples == 0:
        raise _no_sound(info)
    target.seek(0)
    target.write(SoundHeader(rate_hz, channels, num_samples).pack())
    level = meter.level()
    return {
        "duration_s": num_samples / rate_hz,
        "sample_rate_hz": rate_hz,
        "channels": channels,
        "num_samples": num_samples,
        "truncated": decoder.broke_off or _end_is_missing(media, info, num_samples / rate_hz),
        "silent": level.silent,
        **asdict(level),
    }


def _transcode(
    order: Order, media: Media, info: AudioInfo, target: BinaryIO, again: BinaryIO | None
) -> dict[str, Any]:
    """Write the sound in another format, with its own rate and channels as far as that has them."""
    form = FORMATS[order.format_name or "wav"]
    channels = info.channels if info.channels <= form.most_channels else 1
    rate_hz = info.sample_rate_hz
    decoder = Decoder(media, rate_hz, None if channels == info.channels else 1, "f32", rate_hz)
    progress = _Progress(media, info.duration_s)
    encoder: Encoder | None = None
    with av.open(
        target, "w", format=form.muxer, options=form.options, io_open=lambda *_: again
    ) as container:
        for block in decoder:
            if encoder is None:
                encoder = Encoder(container, form, rate_hz, block.samples.shape[1], None, None)
            encoder.write(block.samples)
            if encoder.num_samples > order.max_duration_s * rate_hz:
                raise _too_long(order)
            progress.tell(encoder.num_samples / rate_hz)
        if encoder is None:
            raise _no_sound(info)
        encoder.finish()
    return {
        "duration_s": encoder.num_samples / rate_hz,
        "sample_rate_hz": encoder.written_rate_hz,
        "channels": encoder.channels,
    }


def _too_long(order: Order) -> AudioTooLong:
    return AudioTooLong(
        f"The recording is longer than the {order.max_duration_s:g} s allowed.",
        hint="Send it in parts, or raise the setting audio.max_duration_s.",
        max_duration_s=order.max_duration_s,
    )


def _no_sound(info: AudioInfo) -> InputError:
    if info.duration_s:
        return AudioTruncated(
            "The file is cut off before its sound begins, or all of it is damaged.",
            hint="Copy or upload it again.",
        )
    return AudioEmpty("The file holds no sound.", hint="Check the program that recorded it.")


def _end_is_missing(media: Media, info: AudioInfo, duration_s: float) -> bool:
    if info.duration_s is None:
        return False
    if track_duration_s(media) is None and len(media.container.streams) > 1:
        return False  # the claim is that of the longest track, which may be the pictures
    return duration_s < info.duration_s - _MISSING_S


class _Progress:
    """Tells the parent how far decoding is: by the claimed duration, else by the bytes read."""

    def __init__(self, media: Media, claimed_s: float | None) -> None:
        self._media = media
        self._claimed_s = claimed_s
        self._told_s = time.monotonic()

    def tell(self, decoded_s: float) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s < _REPORT_EVERY_S:
            return
        self._told_s = now_s
        if self._claimed_s:
            fraction = decoded_s / self._claimed_s
        else:
            fraction = self._media.file.tell() / max(1, self._media.size_bytes)
        _report({"fraction": round(min(1.0, fraction), 4)})


def out_of_memory(memory_bytes: int) -> DecodeLimitExceeded:
    return DecodeLimitExceeded(
        f"Decoding needed more than the {memory_bytes // 2**20} MiB of memory allowed.",
        hint="Convert the file to WAV or FLAC first, or raise the setting audio.decode_memory_bytes.",
    )


def _as_json(error: ClearCastError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "hint": error.hint, "fields": error.fields}


def _report(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _limit(order: Order) -> None:
    """Bind this process for good. Its two files and the pipe are open by now, so it may open nothing more:
    no file that a playlist names, no socket, no library.
    """
    sample_bytes = 2 * SAMPLE_RATE_HZ if order.format_name is None else _MOST_BYTES_PER_S
    if order.full_band:
        sample_bytes = _MOST_SOUND_BYTES_PER_S
    copy_bytes = (
        0 if order.target is None else len(write_header(0)) + sample_bytes * (order.max_duration_s + 2)
    )
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NPROC, 0)
    _lower(resource.RLIMIT_FSIZE, max(math.ceil(copy_bytes), 1 << 16))  # a traceback needs some room too
    # At the hard limit the kernel sends SIGKILL, at the soft one SIGXCPU, which says what it was.
    _lower(resource.RLIMIT_CPU, math.ceil(order.cpu_s), spare=2)
    _lower(resource.RLIMIT_AS, order.memory_bytes, spare=_LAST_WORDS_BYTES)
    _lower(resource.RLIMIT_NOFILE, 0)


def _lower(kind: int, value: int, spare: int = 0) -> None:
    """Set the soft limit to `value` and the hard one `spare` above; never above what holds already."""
    _, most = resource.getrlimit(kind)
    soft, hard = (
        limit if most == resource.RLIM_INFINITY else min(limit, most) for limit in (value, value + spare)
    )
    resource.setrlimit(kind, (soft, hard))


if __name__ == "__main__":
    main()
