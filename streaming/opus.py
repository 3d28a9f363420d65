"""Opus by libopus itself (RFC 6716), the copy that PyAV's wheel carries.

What lives here: finding the library; encoder and decoder of single packets. What does not: RTP, files,
time.

libavcodec hides what live sound needs: concealment of a lost packet, recovery from the copy inside the next
one (in-band FEC), and DTX. Hence ctypes, which also lets go of the interpreter's lock during each call.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from clearcast.errors import ModelMissing, OpusRefused

Sound = npt.NDArray[np.float32]

SAMPLE_RATE_HZ = 48_000  # Opus over RTP counts time at 48 kHz whatever the sound was: RFC 7587 §4.1
MAX_FRAME_SAMPLES = 5760  # 120 ms, the longest a packet may be: RFC 6716 §2.1.4
_MAX_PACKET_BYTES = 1276 * 3  # opus_encoder.h advises 4000; a 20 ms frame never exceeds 1275
_DTX_BYTES = 2  # a packet this small says "nothing new" and need not be sent: opus_encoder.h

# include/opus_defines.h
_APPLICATIONS = {"voice": 2048, "music": 2049, "low_delay": 2051}
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC, _SET_PACKET_LOSS, _SET_DTX = 4002, 4010, 4012, 4014, 4016
_GET_LOOKAHEAD, _RESET_STATE = 4027, 4028


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """Attributes:
    channels: 1 or 2.
    frame_ms: length of a packet: 20, or 10 for low delay.
    bitrate_bps: of the sound, without RTP.
    complexity: 0 to 10; effort against quality.
    application: `low_delay` drops the voice modes and with them FEC, and 4 ms of look-ahead.
    expected_loss_percent: how much redundancy FEC adds; 0 switches it off.
    dtx: send next to nothing while nobody speaks.
    """

    channels: int = 1
    frame_ms: Literal[10, 20] = 20
    bitrate_bps: int = 64_000
    complexity: int = 5
    application: Literal["voice", "music", "low_delay"] = "voice"
    expected_loss_percent: int = 10
    dtx: bool = False

    @property
    def frame_samples(self) -> int:
        """Samples of each channel in one packet."""
        return SAMPLE_RATE_HZ * self.frame_ms // 1000


def library_path() -> str:
    """Where libopus is: inside PyAV's wheel, else the system's. Raises ModelMissing."""
    package = importlib.util.find_spec("av")
    for folder in [] if package is None else list(package.submodule_search_locations or ()):
        # auditwheel and delvewheel put libraries beside the package, delocate inside it.
        for beside in (Path(folder).parent / "av.libs", Path(folder) / ".dylibs"):
            found = sorted(path for path in beside.glob("*opus*") if _is_libopus(path.name))
            if found:
                return str(found[0])
    system = ctypes.util.find_library("opus")
    if system is None:
        raise ModelMissing(
            "The Opus library is neither in the package av nor on this system.",
            hint="Install PyAV from its wheel (`make clean`, then `make`) or libopus from your system.",
        )
    return system


def _is_libopus(name: str) -> bool:
    stem = name.removeprefix("lib")
    return stem.startswith("opus") and stem[4:5] in {"-", ".", ""}  # not opusenc, opusfile


@functools.cache
def _library() -> Any:
    library = ctypes.CDLL(library_path())
    pointer, number = ctypes.c_void_p, ctypes.c_int
    signatures: dict[str, tuple[list[Any], Any]] = {
        "opus_strerror": ([number], ctypes.c_char_p),
        "opus_encoder_create": ([ctypes.c_int32, number, number, pointer], pointer),
        "opus_encoder_destroy": ([pointer], None),
        "opus_encode_float": ([pointer, pointer, number, pointer, ctypes.c_int32], ctypes.c_int32),
        # Variadic: only what is fixed may be declared, or Apple's ARM passes the rest in the wrong place.
        "opus_encoder_ctl": ([pointer, number], number),
        "opus_decoder_ctl": ([pointer, number], number),
        "opus_decoder_create": ([ctypes.c_int32, number, pointer], pointer),
        "opus_decoder_destroy": ([pointer], None),
        "opus_decode_float": (
            [pointer, ctypes.c_char_p, ctypes.c_int32, pointer, number, number],
            number,
        ),
        "opus_packet_get_nb_samples": ([ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32], number),
    }
    for name, (arguments, result) in signatures.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library


def _checked(result: int) -> int:
    if result < 0:
        raise OpusRefused(f"libopus says: {_library().opus_strerror(result).decode()}.")
    return result


def packet_samples(packet: bytes) -> int:
    """Length of a packet in samples at 48 kHz, from its first bytes. Raises OpusRefused."""
    return _checked(_library().opus_packet_get_nb_samples(packet, len(packet), SAMPLE_RATE_HZ))


class Encoder:
    """Sound to packets, one frame at a time. One thread at a time may use it."""

    def __init__(self, options: EncoderOptions = EncoderOptions()) -> None:
        """Raises OpusRefused for settings that libopus does not take, ModelMissing without libopus."""
        self.options = options
        self._library = _library()
        self._buffer = ctypes.create_string_buffer(_MAX_PACKET_BYTES)
        error = ctypes.c_int()
        application = _APPLICATIONS[options.application]
        self._state: int | None = self._library.opus_encoder_create(
            SAMPLE_RATE_HZ, options.channels, application, ctypes.byref(error)
        )
        _checked(error.value)
        for request, value in (
            (_SET_BITRATE, options.bitrate_bps),
            (_SET_COMPLEXITY, options.complexity),
            (_SET_INBAND_FEC, int(options.expected_loss_percent > 0)),
            (_SET_PACKET_LOSS, options.expected_loss_percent),
            (_SET_DTX, int(options.dtx)),
        ):
            _checked(self._library.opus_encoder_ctl(self._state, request, ctypes.c_int(value)))

    @property
    def lookahead_samples(self) -> int:
        """How much later the decoder's output is than the encoder's input: a file's pre-skip."""
        value = ctypes.c_int32()
        _checked(self._library.opus_encoder_ctl(self._state, _GET_LOOKAHEAD, ctypes.byref(value)))
        return value.value

    def encode(self, samples: Sound) -> bytes:
        """Exactly one frame, float32 (frame_samples, channels) within ±1, to one packet.

        Raises OpusRefused; ValueError for another shape, and after `close`.
        """
        expected = (self.options.frame_samples, self.options.channels)
        if self._state is None or samples.shape != expected:
            raise ValueError(f"expected {expected} and an open encoder, not {samples.shape}")
        frame = np.ascontiguousarray(samples, np.float32)
        size = self._library.opus_encode_float(
            self._state, frame.ctypes.data, len(frame), self._buffer, _MAX_PACKET_BYTES
        )
        return self._buffer.raw[: _checked(size)]

    def close(self) -> None:
        state, self._state = self._state, None
        if state is not None:
            self._library.opus_encoder_destroy(state)

    def __del__(self) -> None:
        if getattr(self, "_state", None) is not None:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Decoder:
    """Packets to sound at 48 kHz, and sound in place of lost packets. One thread at a time may use it."""

    def __init__(self, channels: int = 1) -> None:
        """Mono and stereo packets both come out with `channels`. Raises OpusRefused, ModelMissing."""
        self.channels = channels
        self._library = _library()
        error = ctypes.c_int()
        self._state: int | None = self._library.opus_decoder_create(
            SAMPLE_RATE_HZ, channels, ctypes.byref(error)
        )
        _checked(error.value)

    def decode(self, packet: bytes) -> Sound:
        """A packet's own sound, float32 (n, channels). Raises OpusRefused."""
        if not packet:
            raise OpusRefused("A packet without a single byte.")
        return self._run(packet, MAX_FRAME_SAMPLES, recover=False)

    def recover(self, following: bytes, samples: int) -> Sound:
        """The `samples` before `following`, from the copy it carries; concealed where it carries none."""
        return self._run(following, samples, recover=True)

    def conceal(self, samples: int) -> Sound:
        """`samples` (a multiple of 120, 2.5 ms) made up from what came before. Raises OpusRefused."""
        return self._run(None, samples, recover=False)

    def reset(self) -> None:
        """Forget what came before."""
        _checked(self._library.opus_decoder_ctl(self._state, _RESET_STATE))

    def _run(self, packet: bytes | None, samples: int, *, recover: bool) -> Sound:
        if self._state is None:
            raise ValueError("the decoder is closed")
        sound = np.empty((samples, self.channels), np.float32)
        size = 0 if packet is None else len(packet)
        count = self._library.opus_decode_float(
            self._state, packet, size, sound.ctypes.data, samples, int(recover)
        )
        return sound[: _checked(count)]

    def close(self) -> None:
        state, self._state = self._state, None
        if state is not None:
            self._library.opus_decoder_destroy(state)

    def __del__(self) -> None:
        if getattr(self, "_state", None) is not None:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def says_nothing(packet: bytes) -> bool:
    """True for what an encoder with DTX gives while nobody speaks."""
    return len(packet) <= _DTX_BYTES
