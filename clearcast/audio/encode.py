"""Samples to files: WAV, FLAC, MP3, Ogg and Opus, M4A; by windows, and whole or not at all.

What lives here: the formats we write, and `Encoder`. What does not: working copies (`recording`), which
are written by the limited process itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer

from clearcast.audio.atomic import whole_or_absent
from clearcast.audio.resample import Samples
from clearcast.errors import OptionInvalid

# The rates that each standard knows, from high to low.
_MP3_RATES_HZ = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # MPEG-1, -2 and -2.5
_AAC_RATES_HZ = (96000, 88200, 64000, *_MP3_RATES_HZ)  # ISO/IEC 14496-3, table 1.18
_OPUS_RATES_HZ = (48000,)  # whatever goes in, Opus comes out at this (RFC 7845 §5.1)

# FLAC fixes which channel is which (RFC 9639 §9.1.3).
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}

_FRAME_SAMPLES = 1 << 14  # handed to FFmpeg at a time


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A format we write.

    Attributes:
        name: also the usual file name ending.
        mime_type: as registered with IANA, or in common use (WAV).
        muxer: FFmpeg's name of the container.
        codecs: (FFmpeg's codec, its sample format) by bits per sample; the first is the default. 32 means
            floating point. Lossy formats have the single key 0.
        sample_rates_hz: the rates it knows, from high to low; None for any.
        most_channels: more are refused.
        bit_rate_bps: default for each channel; None when lossless.
        options: for FFmpeg's muxer.
    """

    name: str
    mime_type: str
    muxer: str
    codecs: dict[int, tuple[str, str]]
    sample_rates_hz: tuple[int, ...] | None = None
    most_channels: int = 2
    bit_rate_bps: int | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        return f".{self.name}"

    @property
    def lossless(self) -> bool:
        return self.bit_rate_bps is None

    @property
    def result_bits(self) -> int | None:
        """Of what we make, where no other depth is asked for; None where the format has none."""
        return 24 if self.lossless else None

    def sample_rate_for(self, sample_rate_hz: int) -> int:
        """The rate to write: the same where the format has it, else the next above, else its highest."""
        if self.sample_rates_hz is None or sample_rate_hz in self.sample_rates_hz:
            return sample_rate_hz
        above = [rate for rate in self.sample_rates_hz if rate > sample_rate_hz]
        return min(above, default=max(self.sample_rates_hz))


_WAV = AudioFormat(
    name="wav",
    mime_type="audio/wav",
    muxer="wav",
    codecs={16: ("pcm_s16le", "s16"), 24: ("pcm_s24le", "s32"), 32: ("pcm_f32le", "flt")},
    most_channels=8,
    options={"rf64": "auto"},  # past 4 GiB the sizes of a plain WAV do not fit (EBU Tech 3306)
)
_FLAC = AudioFormat(
    name="flac",
    mime_type="audio/flac",
    muxer="flac",
    codecs={16: ("flac", "s16"), 24: ("flac", "s32")},
    most_channels=8,
)
_MP3 = AudioFormat(
    name="mp3",
    mime_type="audio/mpeg",
    muxer="mp3",
    codecs={0: ("libmp3lame", "fltp")},
    sample_rates_hz=_MP3_RATES_HZ,
    bit_rate_bps=96_000,
)
_OGG = AudioFormat(
    name="ogg",
    mime_type="audio/ogg",
    muxer="ogg",
    codecs={0: ("libopus", "flt")},
    sample_rates_hz=_OPUS_RATES_HZ,
    bit_rate_bps=64_000,
)
_OPUS = AudioFormat(
    name="opus",
    mime_type="audio/ogg",
    muxer="ogg",
    codecs=_OGG.codecs,
    sample_rates_hz=_OPUS_RATES_HZ,
    bit_rate_bps=64_000,
)
_M4A = AudioFormat(
    name="m4a",
    mime_type="audio/mp4",
    muxer="ipod",
    codecs={0: ("aac", "fltp")},
    sample_rates_hz=_AAC_RATES_HZ,
    bit_rate_bps=80_000,
    options={"movflags": "+faststart"},  # the index in front, so that a browser plays while it loads
)

FORMATS: dict[str, AudioFormat] = {form.name: form for form in (_WAV, _FLAC, _MP3, _OGG, _OPUS, _M4A)}


def format_of(target: Path, name: str | None = None) -> AudioFormat:
    """The format called `name`, or the one that the target's ending names. Raises OptionInvalid."""
    return format_named(target.suffix.removeprefix(".") if name is None else name)


def format_named(name: str) -> AudioFormat:
    """Raises OptionInvalid."""
    wanted = name.lower()
    if wanted not in FORMATS:
        raise OptionInvalid(
            f"Sound cannot be written as {wanted or 'a file without an ending'!r}.",
            hint=f"Formats: {', '.join(FORMATS)}.",
        )
    return FORMATS[wanted]


class Encoder:
    """Writes blocks of samples into a container; made by `open_encoder`.

    Attributes:
        sample_rate_hz: of the samples that are written.
        written_rate_hz: of the file; another one where the format does not have that rate.
        num_samples: how many have been written so far.
    """

    def __init__(
        self,
        container: OutputContainer,
        form: AudioFormat,
        sample_rate_hz: int,
        channels: int,
        bits: int | None,
        bit_rate_bps: int | None,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.written_rate_hz = form.sample_rate_for(sample_rate_hz)
        self.channels = channels
        self.num_samples = 0
        self._container = container
        self._layout = _layout(form, channels)
        codec, sample_format = _codec(form, bits)
        stream = container.add_stream(codec, rate=self.written_rate_hz, layout=self._layout)
        assert isinstance(stream, AudioStream)
        stream.codec_context.format = sample_format
        self._stream = stream
        if form.bit_rate_bps is not None:
            self._stream.codec_context.bit_rate = bit_rate_bps or form.bit_rate_bps * channels
        try:
            container.start_encoding()
        except av.FFmpegError as error:
            raise OptionInvalid(
                f"{form.name} cannot be written with {channels} channels at {self.written_rate_hz} Hz"
                f" and {self._stream.codec_context.bit_rate} bit/s."
            ) from error

    def write(self, samples: Samples) -> None:
        """Append samples: shape (n, channels), or (n,) when there is one channel; float32 or int16.

        Floats beyond [-1, 1] are clipped where the format holds integers. Raises ValueError for another
        shape or type.
        """
        if samples.ndim == 1:
            samples = samples[:, np.newaxis]
        if samples.ndim != 2 or samples.shape[1] != self.channels:
            raise ValueError(f"expected samples of shape (n, {self.channels}), not {samples.shape}")
        if samples.dtype == np.int16:
            floats = samples.astype(np.float32) / np.float32(32768)  # exact, there and back
        elif samples.dtype == np.float32:
            floats = samples.astype(np.float32, copy=False)
        else:
            raise ValueError(f"expected float32 or int16 samples, not {samples.dtype}")
        for start in range(0, len(floats), _FRAME_SAMPLES):
            self._encode(floats[start : start + _FRAME_SAMPLES])

    def _encode(self, samples: npt.NDArray[np.float32]) -> None:
        interleaved = np.ascontiguousarray(samples).reshape(1, -1)
        frame = AudioFrame.from_ndarray(interleaved, format="flt", layout=self._layout)
        frame.sample_rate = self.sample_rate_hz
        frame.pts = self.num_samples
        frame.time_base = Fraction(1, self.sample_rate_hz)
        self._container.mux(self._stream.encode(frame))
        self.num_samples += len(samples)

    def finish(self) -> None:
        """Write what the resampler and the codec still hold."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def open_encoder(
    target: Path,
    *,
    sample_rate_hz: int,
    channels: int = 1,
    format_name: str | None = None,
    bits: int | None = None,
    bit_rate_bps: int | None = None,
) -> Iterator[Encoder]:
    """An encoder to write to. The file appears at `target` when the block ends, and not at all on an error.

    Args:
        sample_rate_hz: of the samples. The file keeps it where the format can (Opus always has 48 kHz).
        format_name: a key of FORMATS; None takes the ending of the target's name.
        bits: 16 or 24 for WAV and FLAC, 32 for WAV with floats.
        bit_rate_bps: for lossy formats, all channels together.

    Encoder delay is stated in the file as far as its container can, so that decoders take it off again.

    Raises OptionInvalid for a format, depth, bit rate or number of channels that cannot be written.
    """
    form = format_of(target, format_name)
    with (
        whole_or_absent(target) as temporary,
        av.open(str(temporary), "w", format=form.muxer, options=form.options) as container,
    ):
        encoder = Encoder(container, form, sample_rate_hz, channels, bits, bit_rate_bps)
        yield encoder
        encoder.finish()


def encode_file(
    blocks: Iterable[Samples],
    target: Path,
    *,
    sample_rate_hz: int,
    format_name: str | None = None,
    bits: int | None = None,
    bit_rate_bps: int | None = None,
) -> int:
    """Write all blocks to `target`; returns the number of samples. The first block tells the channels.

    See `open_encoder` for the arguments and `Encoder.write` for the blocks.
    """
    pending = iter(blocks)
    first = next(pending, np.zeros(0, np.float32))
    channels = 1 if first.ndim == 1 else first.shape[1]
    with open_encoder(
        target,
        sample_rate_hz=sample_rate_hz,
        channels=channels,
        format_name=format_name,
        bits=bits,
        bit_rate_bps=bit_rate_bps,
    ) as encoder:
        for block in chain((first,), pending):
            encoder.write(block)
    return encoder.num_samples


def _codec(form: AudioFormat, bits: int | None) -> tuple[str, str]:
    """(codec, sample format) for a depth. Raises OptionInvalid."""
    if bits is None:
        return next(iter(form.codecs.values()))
    if bits not in form.codecs or not form.lossless:
        known = ", ".join(str(depth) for depth in form.codecs) if form.lossless else "none, it is lossy"
        raise OptionInvalid(
            f"{form.name} cannot be written with {bits} bits per sample.", hint=f"Depths: {known}."
        )
    return form.codecs[bits]


def _layout(form: AudioFormat, channels: int) -> str:
    """FFmpeg's name for the channels. Raises OptionInvalid when the format does not hold so many."""
    if not 1 <= channels <= form.most_channels:
        raise OptionInvalid(
            f"{form.name} cannot be written with {channels} channels.",
            hint=f"It holds 1 to {form.most_channels}; WAV and FLAC hold 8.",
        )
    if channels > 2 and form is _WAV:
        return f"{channels} channels"  # without places: eight microphones are not a 7.1 film
    return _LAYOUTS[channels]
