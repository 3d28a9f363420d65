"""Opening foreign media so that its own bytes are all that is ever read.

What lives here: the list of formats FFmpeg may recognise, the choice of the sound track, and errors that
say what a refused file is. What does not: decoding (`decode`) and the limits on time and memory, which only
a process of its own can keep (`sandbox`).

Three walls stand here: FFmpeg gets a Python object to read from instead of a name; formats that point to
other files (HLS, DASH, concat, SDP, image sequences, devices) are not on the list; and whatever a format
asks to open beside the file is refused.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Never

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from clearcast.audio.signature import MP4, container_name, is_playlist, is_text, picture_name, read_head
from clearcast.errors import AudioEmpty, AudioForbidden, AudioTruncated, AudioUnrecognised

# Names of libavformat's demuxers. All of them read one file and nothing else.
PLAIN_FORMATS = (
    *("wav", "w64", "aiff", "au", "caf", "voc", "nistsphere", "ircam", "dsf"),  # plain samples
    *("flac", "ape", "wv", "tta", "tak", "mpc", "mpc8", "mlp", "truehd", "shn"),  # coded audio
    *("mp3", "aac", "loas", "ac3", "eac3", "dts", "amr", "gsm", "qcp", "dss", "oma"),
    *("ogg", "mov", "matroska", "asf", "avi", "flv", "mpegts", "mpeg", "mxf", "gxf", "dv", "rm"),  # both
)

FORMATS_HINT = "Send WAV, FLAC, MP3, Ogg, Opus, M4A, AAC or WMA, or a video such as MP4, MKV, MOV or WebM."

# Larger reads mean fewer calls from C into Python; more than this gains nothing.
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Media:
    """An opened file, and the sound track chosen from it.

    Attributes:
        has_video: True for moving pictures; a cover picture does not count.
        size_bytes: 0 where the file still grows.
        id3_bytes: length of the tags in front of the sound.
    """

    reader: Reader
    file: BinaryIO
    container: InputContainer
    stream: AudioStream
    has_video: bool
    size_bytes: int
    id3_bytes: int


@contextmanager
def open_media(source: Path | BinaryIO) -> Iterator[Media]:
    """Open a file for decoding. Foreign bytes may only be opened in the limited child process.

    Raises AudioEmpty, AudioForbidden, AudioUnrecognised, AudioTruncated; OSError when reading fails.
    """
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
        is_seekable = file.seekable()
        size_bytes = file.seek(0, 2) if is_seekable else 0
        head, id3_bytes = read_head(file)
        if not head and not id3_bytes:
            raise AudioEmpty("The file is empty (0 bytes).", hint="Check that the upload was complete.")
        _refuse_lists_and_pictures(head)
        reader = SeekableReader(file) if is_seekable else Reader(file)
        try:
            container = av.open(
                reader,
                mode="r",
                options={"format_whitelist": ",".join(PLAIN_FORMATS), "protocol_whitelist": "none"},
                metadata_errors="replace",
                buffer_size=_READ_BYTES,
                io_open=_refuse_other_files,
            )
        except av.error.MemoryError:
            raise
        except av.FFmpegError as error:
            raise _refusal(head, id3_bytes) from error
        with container:
            if not container.streams.audio and not container.streams.video:
                raise _refusal(head, id3_bytes)
            stream = _sound_track(container)
            yield Media(reader, file, container, stream, _has_video(container), size_bytes, id3_bytes)


class Reader:
    """The file as FFmpeg sees it, from its first byte to its last: bytes, without a name whose ending could
    steer the choice of a format.

    Attributes:
        failure: what went wrong when reading. Some demuxers take a failed read for the end of the file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell
        self.failure: MemoryError | OSError | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (MemoryError, OSError) as error:
            self.failure = error
            raise


class SeekableReader(Reader):
    """One in which demuxers may go to and fro."""

    def seek(self, offset: int, whence: int) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, OverflowError, ValueError):
            return -errno.EINVAL  # a damaged offset is for the demuxer to get over


def _refuse_other_files(_url: str, _flags: int, _options: dict[str, Any]) -> Never:
    raise _forbidden()


def _forbidden() -> AudioForbidden:
    return AudioForbidden(
        "The file is a playlist or refers to other files or addresses; those are never opened.",
        hint="Send the recording itself.",
    )


def _refuse_lists_and_pictures(head: bytes) -> None:
    if is_playlist(head):
        raise _forbidden()
    picture = picture_name(head)
    if picture:
        raise AudioUnrecognised(f"The file is a picture ({picture}); it has no sound.", hint=FORMATS_HINT)


def _refusal(head: bytes, id3_bytes: int) -> AudioTruncated | AudioUnrecognised:
    """Why FFmpeg found nothing in a file."""
    name = container_name(head, id3_bytes)
    if name:
        return AudioTruncated(
            f"The file begins like {name} but is cut off or damaged before any sound.",
            hint="Its index may lie at its end: copy or upload the whole of it again."
            if name == MP4
            else "Copy or upload it again.",
        )
    if is_text(head):
        return AudioUnrecognised("The file holds text, not sound.", hint=FORMATS_HINT)
    return AudioUnrecognised("This is not an audio or video file that can be decoded.", hint=FORMATS_HINT)


def _sound_track(container: InputContainer) -> AudioStream:
    """The sound track marked as default, else the first; the other streams are skipped unread."""
    tracks = container.streams.audio
    if not tracks:
        raise AudioUnrecognised("This video has no sound track.", hint="Send one with sound.")
    chosen = next((track for track in tracks if track.disposition & Disposition.default), tracks[0])
    if chosen.codec_context is None:
        raise AudioUnrecognised("The sound is in a codec that cannot be decoded.", hint=FORMATS_HINT)
    chosen.codec_context.thread_count = 1  # the limited process may not start threads
    for stream in container.streams:
        if stream.index != chosen.index:
            stream.discard = Discard.all
    return chosen


def _has_video(container: InputContainer) -> bool:
    still = Disposition.attached_pic | Disposition.still_image
    return any(not stream.disposition & still for stream in container.streams.video)
