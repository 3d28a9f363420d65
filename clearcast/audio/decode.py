"""Media to samples, by windows: a three-hour file takes no more memory than a three-minute one.

What lives here: walking through the sound track of an opened file, what happens at gaps, damage and
changes of format, and cutting the result into blocks. What does not: opening (`source`), resampling
(`resample`), and the process that foreign files are decoded in (`sandbox`).

Samples are counted as FFmpeg counts them: encoder delay and edit lists that the container states are taken
off by libavcodec and libavformat. Time that the file leaves out becomes silence, so that a position in
the samples is a position in the file as a player shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from clearcast.audio.resample import Converter, FrameKind, SampleFormat, Samples, SoundShape
from clearcast.audio.source import Media, open_media

# Less than 0.1 s out of step is left alone, as FFmpeg's own `aresample=async` does (min_hard_comp) …
_LAG_S = 0.1
# … and only a frame that starts later than its predecessor ended is a gap: containers round timestamps to
# milliseconds, and sound cards whose clock drifts must not get silence cut into their words.
_JUMP_S = 0.01
# A jump further than this, past the end that the file claims, is a broken timestamp (ffmpeg's
# dts_delta_threshold); sound then goes on where it was.
_BELIEVED_JUMP_S = 10.0
_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT: timestamps may jump in this format

BLOCK_SAMPLES = 1 << 16


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive samples.

    Attributes:
        start: index of the first one in the whole sound, at the output's rate.
        samples: shape (n, channels), int16 or float32 in [-1, 1].
    """

    start: int
    samples: Samples


def decode(
    source: Path | BinaryIO,
    *,
    sample_rate_hz: int | None = None,
    channels: int | None = None,
    sample_format: SampleFormat = "f32",
    block_samples: int = BLOCK_SAMPLES,
) -> Iterator[Block]:
    """Decode a file that is trusted (our own working files), block by block.

    Args:
        sample_rate_hz: None keeps the file's.
        channels: None keeps the file's; 1 mixes them down without clipping.
        sample_format: "s16" gives int16, "f32" float32 in [-1, 1] (lossy codecs may overshoot a little).
        block_samples: length of all blocks but the last.

    Raises AudioEmpty, AudioForbidden, AudioUnrecognised, AudioTruncated.
    """
    with open_media(source) as media:
        yield from Decoder(media, sample_rate_hz, channels, sample_format, block_samples)


class Decoder:
    """Iterates over the blocks of an opened file, once.

    Attributes:
        broke_off: True when reading stopped at damage before the file's end.
    """

    def __init__(
        self,
        media: Media,
        sample_rate_hz: int | None = None,
        channels: int | None = None,
        sample_format: SampleFormat = "f32",
        block_samples: int = BLOCK_SAMPLES,
    ) -> None:
        if channels not in (None, 1):
            raise ValueError("channels are kept (None) or mixed into one (1)")
        self.broke_off = False
        self._media = media
        self._sample_rate_hz = sample_rate_hz
        self._mix = channels == 1
        self._sample_format = sample_format
        self._block_samples = block_samples

    def __iter__(self) -> Iterator[Block]:
        waiting: list[Samples] = []
        start = held = 0
        for piece in self._pieces():
            waiting.append(piece)
            held += len(piece)
            if held < self._block_samples:
                continue
            joined = np.concatenate(waiting)
            whole = held - held % self._block_samples
            for at in range(0, whole, self._block_samples):
                yield Block(start + at, joined[at : at + self._block_samples])
            waiting, held, start = [joined[whole:]], held - whole, start + whole
        if held:
            yield Block(start, np.concatenate(waiting))

    def _pieces(self) -> Iterator[Samples]:
        """Samples in order, as they come out of the resampler, with silence where time is left out."""
        clock = _Clock(self._media)
        converter: Converter | None = None
        for frame in self._frames():
            kind = FrameKind.of(frame)
            gap_s = clock.gap_before(frame)
            if converter is None:
                shape = self._shape(kind)
                yield from self._silence(shape, gap_s)
                converter = Converter(kind, shape)
            elif gap_s or kind != converter.kind:
                yield from converter.finish()
                yield from self._silence(converter.shape, gap_s)
                converter = Converter(kind, converter.shape)
            yield from converter.convert(frame)
        if converter is not None:
            yield from converter.finish()

    def _frames(self) -> Iterator[AudioFrame]:
        """Decoded frames; a damaged container ends them."""
        try:
            for packet in self._packets():
                yield from self._decoded(packet)
        except av.error.MemoryError:
            raise
        except av.FFmpegError:
            self.broke_off = True
            yield from self._decoded(None)
        if self._media.reader.failure is not None:
            raise self._media.reader.failure

    def _decoded(self, packet: Packet[AudioStream] | None) -> Iterator[AudioFrame]:
        """The frames of a packet, None for those held back. Damaged ones are left out, as in ffmpeg."""
        try:
            yield from self._media.stream.codec_context.decode(packet)
        except av.error.MemoryError:
            raise
        except av.FFmpegError:
            return

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        """The packets of the sound track, and an empty one at the end that empties the decoder."""
        while True:
            try:
                yield from self._media.container.demux(self._media.stream)
                return
            except IndexError:
                # PyAV 18 stumbles over a track that appears half-way (MPEG-TS); asked again, it reads on.
                continue

    def _shape(self, kind: FrameKind) -> SoundShape:
        """The output's shape, settled by the first frame."""
        return SoundShape(
            sample_rate_hz=self._sample_rate_hz or kind.sample_rate_hz,
            channels=1 if self._mix else kind.channels,
            layout="mono" if self._mix else kind.layout,
            sample_format=self._sample_format,
        )

    def _silence(self, shape: SoundShape, seconds: float) -> Iterator[Samples]:
        left = round(seconds * shape.sample_rate_hz)
        while left > 0:
            yield shape.silence(min(left, self._block_samples))
            left -= self._block_samples


class _Clock:
    """Compares the timestamps of frames with the sound heard so far, in seconds from the file's start."""

    def __init__(self, media: Media) -> None:
        container = media.container
        self._unit_s = float(media.stream.time_base or 0)
        self._origin_s: float | None = None  # raw streams tell no start
        if container.start_time is not None:
            self._origin_s = container.start_time / av.time_base
        # Ogg and MPEG streams claim nothing: FFmpeg infers their length from the very timestamps in doubt.
        infers = container.format.flags & _TS_DISCONT
        self._claimed_s = 0.0 if infers else (container.duration or 0) / av.time_base
        self._heard_s = 0.0
        self._last_end_s = 0.0

    def gap_before(self, frame: AudioFrame) -> float:
        """Seconds of silence that belong before this frame; 0.0 nearly always."""
        length_s = frame.samples / frame.sample_rate
        gap_s = 0.0
        if frame.pts is not None:
            stamp_s = frame.pts * self._unit_s
            gap_s = self._gap(stamp_s)
            assert self._origin_s is not None
            self._last_end_s = stamp_s - self._origin_s + length_s
        else:
            self._last_end_s += length_s
        self._heard_s += gap_s + length_s
        return gap_s

    def _gap(self, stamp_s: float) -> float:
        if self._origin_s is None:
            self._origin_s = stamp_s
        start_s = stamp_s - self._origin_s
        jump_s = start_s - self._last_end_s
        broken = jump_s > _BELIEVED_JUMP_S and start_s > self._claimed_s
        if broken or jump_s < -_LAG_S:
            self._origin_s += jump_s
            return 0.0
        lag_s = start_s - self._heard_s
        return lag_s if lag_s > _LAG_S and jump_s > _JUMP_S else 0.0
