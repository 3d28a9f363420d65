"""Decoded frames to arrays of one rate, channel count and sample format, through FFmpeg's resampler.

What lives here: `Converter`, for one run of like frames. What does not: what to do when frames change
half-way or time jumps (`decode`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.filter import Graph

SampleFormat = Literal["s16", "f32"]
Samples = npt.NDArray[np.int16 | np.float32]

_FFMPEG_FORMATS: dict[SampleFormat, str] = {"s16": "s16", "f32": "flt"}
_DTYPES: dict[SampleFormat, type[np.int16 | np.float32]] = {"s16": np.int16, "f32": np.float32}


@dataclass(frozen=True, slots=True)
class FrameKind:
    """What frames must have in common to go through one converter. `layout` as FFmpeg names it."""

    sample_format: str
    sample_rate_hz: int
    layout: str
    channels: int

    @classmethod
    def of(cls, frame: AudioFrame) -> Self:
        layout = frame.layout
        return cls(frame.format.name, frame.sample_rate, layout.name, layout.nb_channels)


@dataclass(frozen=True, slots=True)
class SoundShape:
    """What comes out: samples per second, channels, and "s16" (int16) or "f32" (float32 in [-1, 1]).

    `layout` is FFmpeg's name for where the channels stand, "mono" when they are mixed into one.
    """

    sample_rate_hz: int
    channels: int
    layout: str
    sample_format: SampleFormat

    def silence(self, num_samples: int) -> Samples:
        """Zeros of shape (num_samples, channels)."""
        return np.zeros((num_samples, self.channels), _DTYPES[self.sample_format])


class Converter:
    """Turns a run of like frames into arrays of shape (n, channels).

    The output of a run of n input samples is exactly round(n · rate out / rate in) samples, the first of
    which stands where the first input sample stood (libswresample makes up for its filter's delay).
    Where rate, channels and precision stay, samples pass unchanged, bit by bit.

    Channels are kept, or mixed into one without clipping: the weights add up to at most 1. Channels with
    known places (5.1 of a film) are weighed as ITU-R BS.775 does; the others (eight microphones) equally.
    """

    def __init__(self, kind: FrameKind, shape: SoundShape) -> None:
        self.kind = kind
        self.shape = shape
        self._graph = _graph(kind, shape)
        self._taken = 0
        self._given = 0

    def convert(self, frame: AudioFrame) -> Iterator[Samples]:
        """Feed one frame of this kind; yields what is ready."""
        frame.pts = None  # positions are counted by the decoder
        self._taken += frame.samples
        self._graph.push(frame)
        yield from self._ready()

    def finish(self) -> Iterator[Samples]:
        """Yield what the filter still holds. The converter is spent then."""
        due = round(self._taken * self.shape.sample_rate_hz / self.kind.sample_rate_hz)
        self._graph.push(None)
        for samples in self._ready():
            beyond = max(0, self._given - due)
            yield samples[: max(0, len(samples) - beyond)]
        if self._given < due:
            # Rounding, and inputs shorter than the filter, of which libswresample gives nothing back.
            yield self.shape.silence(due - self._given)

    def _ready(self) -> Iterator[Samples]:
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, AudioFrame)
            samples = frame.to_ndarray().reshape(-1, self.shape.channels)
            self._given += len(samples)
            yield samples  # type: ignore[misc]  # the sink fixes the dtype


def _graph(kind: FrameKind, shape: SoundShape) -> Graph:
    unplaced = kind.layout == f"{kind.channels} channels"  # FFmpeg's name for channels without places
    graph = Graph()
    nodes = [
        graph.add(
            "abuffer",
            sample_rate=str(kind.sample_rate_hz),
            sample_fmt=kind.sample_format,
            channel_layout=kind.layout,
            time_base=f"1/{kind.sample_rate_hz}",
        )
    ]
    if unplaced and shape.channels == 1:
        nodes += [graph.add("aformat", sample_fmts="fltp"), graph.add("pan", _equal_mix(kind.channels))]
    nodes += [
        graph.add(
            "aresample",
            # With floats FFmpeg would add channels up to beyond 1, with integers it would not.
            rematrix_maxval="1.0",
            # By default the bass channel is dropped; but "5.1" may be six people at six microphones.
            lfe_mix_level="1.0",
            # The 16-bit inner path rounds the filter's coefficients too.
            internal_sample_fmt="fltp",
        ),
        graph.add(
            "aformat",
            sample_fmts=_FFMPEG_FORMATS[shape.sample_format],
            sample_rates=str(shape.sample_rate_hz),
            channel_layouts=shape.layout,
        ),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _equal_mix(channels: int) -> str:
    return "mono|c0=" + "+".join(f"{1 / channels:.9f}*c{index}" for index in range(channels))
