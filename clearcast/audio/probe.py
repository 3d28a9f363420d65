"""What a media file says about itself, without decoding it.

What lives here: `AudioInfo` and `probe`, for files that are trusted or inside the limited child process.
What does not: asking about foreign files from outside (`sandbox.probe_safely`).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av

from clearcast.audio.source import Media, open_media

# Streams of frames without a header that tells their length: FFmpeg would guess it from the bit rate.
_WITHOUT_LENGTH = frozenset({"aac", "loas", "ac3", "eac3", "dts", "amr", "gsm", "mlp", "truehd"})

_WAV_SIZE_UNKNOWN = (0, 0xFFFFFFFF)  # left by writers that could not seek back
_MOST_WAV_CHUNKS = 64
_MATROSKA_DURATION = re.compile(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d+)?)")
_MP3_FRAME_BYTES = 2048  # the longest layer III frame has 1441 bytes; the header lies in the first one


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """Facts of a file's sound track.

    Attributes:
        duration_s: seconds the file claims to last, None when it claims nothing. It may be wrong.
        sample_rate_hz, channels: of the track as it is stored.
        codec: FFmpeg's name of the codec, such as "mp3", "pcm_s16le", "opus".
        container: FFmpeg's name of the container, such as "wav", "ogg", "mov", "matroska".
        bit_rate_bps: of the track, or of the whole file where only that is known.
        has_video: True for moving pictures; a cover picture does not count.
        size_bytes: of the whole file.
    """

    duration_s: float | None
    sample_rate_hz: int
    channels: int
    codec: str
    container: str
    bit_rate_bps: int | None
    has_video: bool
    size_bytes: int


def probe(source: Path | BinaryIO) -> AudioInfo:
    """Describe a file. Foreign files only inside the limited child process.

    Raises AudioEmpty, AudioForbidden, AudioUnrecognised, AudioTruncated.
    """
    with open_media(source) as media:
        return describe(media)


def describe(media: Media) -> AudioInfo:
    """Describe an opened file; leaves its position to the decoder untouched."""
    context = media.stream.codec_context
    return AudioInfo(
        duration_s=claimed_duration_s(media),
        sample_rate_hz=context.sample_rate,
        channels=context.channels,
        codec=context.codec.canonical_name,
        container=container_of(media),
        bit_rate_bps=context.bit_rate or media.container.bit_rate or None,
        has_video=media.has_video,
        size_bytes=media.size_bytes,
    )


def container_of(media: Media) -> str:
    """FFmpeg's name, the first of several ("mov" of "mov,mp4,m4a,…")."""
    return media.container.format.name.split(",")[0]


def claimed_duration_s(media: Media) -> float | None:
    """Seconds of sound that the file's own header claims; guesses from the bit rate are left out."""
    container = container_of(media)
    if container in _WITHOUT_LENGTH or (container == "mp3" and not _mp3_tells_length(media)):
        return None
    if container == "wav":
        # FFmpeg cuts the claim down to the file's size, which would hide that something is missing.
        claimed_s = _wav_duration_s(media)
        if claimed_s is not None:
            return claimed_s
    track_s = track_duration_s(media)
    if track_s is not None:
        return track_s
    return None if media.container.duration is None else media.container.duration / av.time_base


def track_duration_s(media: Media) -> float | None:
    """Seconds that the sound track itself claims, as opposed to the longest track of the file."""
    stream = media.stream
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # Matroska keeps it in a tag, "00:00:03.023000000" (matroska.org, tagging).
    parts = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if parts is None:
        return None
    hours, minutes, seconds = parts.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _mp3_tells_length(media: Media) -> bool:
    """True when the first frame carries a Xing, Info or VBRI header, which count the frames."""
    frame = _read_at(media, media.id3_bytes, _MP3_FRAME_BYTES)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _wav_duration_s(media: Media) -> float | None:
    """Seconds by the sizes in the `fmt ` and `data` chunks of a RIFF file; None for RF64 and open ends."""
    at, bytes_per_s = 12, 0
    for _ in range(_MOST_WAV_CHUNKS):
        header = _read_at(media, at, 20)
        if len(header) < 8:
            return None
        name, size = struct.unpack_from("<4sI", header)
        if name == b"fmt " and len(header) == 20:
            bytes_per_s = struct.unpack_from("<I", header, 16)[0]
        if name == b"data":
            return None if size in _WAV_SIZE_UNKNOWN or bytes_per_s == 0 else size / bytes_per_s
        at += 8 + size + size % 2
    return None


def _read_at(media: Media, at: int, size: int) -> bytes:
    """Read beside the decoder, whose position in the file is put back."""
    position = media.file.tell()
    try:
        media.file.seek(at)
        return media.file.read(size)
    finally:
        media.file.seek(position)
