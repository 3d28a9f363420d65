"""Media files for tests: plain ones, odd ones and hostile ones, all made here and all small.

What lives here: functions that write one file each. What does not: what should happen to it.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from clearcast.audio.encode import encode_file

FloatSamples = npt.NDArray[np.float32]

TEN_HOURS_S = 36_000

_WAV_PCM, _WAV_FLOAT = 1, 3  # format tags of RIFF/WAVE
_PICTURES_PER_S = 25
_FRAME_SAMPLES = 1024


def speech_like(
    duration_s: float, sample_rate_hz: int = 16_000, channels: int = 1, seed: int = 0
) -> FloatSamples:
    """A buzz at 120 Hz that swells four times a second and pauses, as syllables do.

    Shape (n, channels), float32, peak near 0.5; channels differ by a little noise.
    """
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    buzz = sum(np.sin(2 * np.pi * 120 * k * time_s) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 4 * time_s), 0, 1) * (np.sin(2 * np.pi * 0.4 * time_s) > -0.7)
    noise = rng.standard_normal((len(time_s), channels)) * 0.003
    return ((0.25 * buzz * syllables)[:, np.newaxis] + noise).astype(np.float32)


def click_at(sample: int, num_samples: int, channels: int = 1) -> FloatSamples:
    """Silence with one short smooth pulse centred on `sample`; shape (n, channels), peak 0.9.

    The pulse is band-limited to about 2 kHz at 16 kHz, so that it survives resampling and lossy codecs.
    """
    offsets = np.arange(num_samples) - sample
    pulse = 0.9 * np.exp(-0.5 * (offsets / 6.0) ** 2)
    return np.repeat(pulse[:, np.newaxis], channels, axis=1).astype(np.float32)


def write_wav(path: Path, samples: npt.NDArray[np.generic], sample_rate_hz: int) -> Path:
    """A plain WAV of exactly these samples, shape (n,) or (n, channels); the type chooses the depth:
    uint8, int16, int32, float32 or float64.
    """
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    width = samples.dtype.itemsize
    tag = _WAV_FLOAT if samples.dtype.kind == "f" else _WAV_PCM
    data = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, tag, channels),
        *(sample_rate_hz, sample_rate_hz * channels * width, channels * width, width * 8),
        *(b"data", len(data)),
    )
    path.write_bytes(header + data)
    return path


def write_tone_wav(
    path: Path, duration_s: float = 2.0, sample_rate_hz: int = 16_000, channels: int = 1
) -> Path:
    """A speech-like 16-bit WAV, of any rate and number of channels."""
    samples = speech_like(duration_s, sample_rate_hz, channels)
    return write_wav(path, (samples * 32767).astype(np.int16), sample_rate_hz)


def write_short_wav(path: Path) -> Path:
    """0.05 s of sound."""
    return write_tone_wav(path, 0.05)


def write_silent_wav(path: Path, duration_s: float = 2.0) -> Path:
    """Nothing but zeros."""
    return write_wav(path, np.zeros(round(duration_s * 16_000), np.int16), 16_000)


def write_eight_channel_wav(path: Path) -> Path:
    """Two seconds of eight channels whose places are not stated, as a microphone array gives."""
    return write_tone_wav(path, channels=8, sample_rate_hz=48_000)


def write_192_khz_wav(path: Path) -> Path:
    """Two stereo seconds at 192 kHz."""
    return write_tone_wav(path, sample_rate_hz=192_000, channels=2)


def write_empty(path: Path) -> Path:
    """No bytes."""
    path.write_bytes(b"")
    return path


def write_text(path: Path) -> Path:
    """A letter, whatever the file's name says."""
    path.write_text("Dear listener,\nthis is a letter and not a recording.\n" * 20, encoding="utf-8")
    return path


def write_hls_playlist(path: Path, addresses: Sequence[str]) -> Path:
    """An M3U8 playlist that names other files or addresses."""
    entries = "".join(f"#EXTINF:10,\n{address}\n" for address in addresses)
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n{entries}#EXT-X-ENDLIST\n", encoding="utf-8")
    return path


def write_tagged_hls_playlist(path: Path, addresses: Sequence[str]) -> Path:
    """The same behind an ID3 tag, which FFmpeg skips when it guesses the format."""
    playlist = write_hls_playlist(path, addresses).read_bytes()
    path.write_bytes(b"ID3\x03\x00\x00\x00\x00\x00\x10" + b"\0" * 16 + playlist)
    return path


def write_concat_script(path: Path, files: Sequence[Path]) -> Path:
    """A script of FFmpeg's concat format that names other files."""
    lines = "".join(f"file '{file}'\n" for file in files)
    path.write_text(f"ffconcat version 1.0\n{lines}", encoding="utf-8")
    return path


def write_sdp(path: Path) -> Path:
    """A session description, which makes FFmpeg listen on the network."""
    lines = (
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        "m=audio 5004 RTP/AVP 0",
    )
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return path


def write_lying_flac(path: Path, duration_s: float = 2.0) -> Path:
    """A FLAC of seconds whose header claims ten hours."""
    encode_file([speech_like(duration_s)], path, sample_rate_hz=16_000)
    content = bytearray(path.read_bytes())
    # STREAMINFO: the low 36 of these 40 bits count the samples (RFC 9639 §8.2).
    at = 4 + 4 + 13
    kept = int.from_bytes(content[at : at + 5], "big") & ~((1 << 36) - 1)
    content[at : at + 5] = (kept | TEN_HOURS_S * 16_000).to_bytes(5, "big")
    path.write_bytes(content)
    return path


def write_lying_wav(path: Path, duration_s: float = 2.0) -> Path:
    """A WAV of seconds whose header claims ten hours."""
    content = bytearray(write_tone_wav(path, duration_s).read_bytes())
    content[40:44] = struct.pack("<I", TEN_HOURS_S * 16_000 * 2)
    path.write_bytes(content)
    return path


def write_silence_bomb(path: Path, duration_s: float) -> Path:
    """A FLAC of long silence: 650 kB unfold to an hour."""
    second = np.zeros((8000, 1), np.float32)
    encode_file(itertools.repeat(second, round(duration_s)), path, sample_rate_hz=8000)
    return path


def cut_off(source: Path, target: Path, fraction: float) -> Path:
    """The first part of a file."""
    content = source.read_bytes()
    target.write_bytes(content[: round(len(content) * fraction)])
    return target


@dataclass(frozen=True, slots=True)
class Codecs:
    """FFmpeg's names for what goes into a file; `picture` None makes it sound only. No bit rate is FFmpeg's
    own choice.
    """

    muxer: str
    sound: str | None
    picture: str | None = None
    bit_rate_bps: int | None = None


VIDEO_CODECS = {
    ".mp4": Codecs("mp4", "aac", "mpeg4"),
    ".mov": Codecs("mov", "alac", "mpeg4"),
    ".mkv": Codecs("matroska", "flac", "mpeg4"),
    ".webm": Codecs("webm", "libopus", "libvpx"),
    ".avi": Codecs("avi", "libmp3lame", "mpeg4"),
    ".ts": Codecs("mpegts", "aac", "mpeg2video"),
}


def write_video(
    path: Path,
    samples: FloatSamples | None,
    sample_rate_hz: int = 48_000,
    sound_starts_s: float = 0.0,
) -> Path:
    """A small video of the kind its ending names, with these samples as its sound, or without sound.

    Sound may start later than the pictures.
    """
    codecs = VIDEO_CODECS[path.suffix]
    codecs = Codecs(codecs.muxer, None if samples is None else codecs.sound, codecs.picture)
    sound = np.zeros((0, 1), np.float32) if samples is None else samples
    seconds = max(1.0, len(sound) / sample_rate_hz)
    return write_media(path, codecs, [(sound_starts_s, sound)], sample_rate_hz, pictures_s=seconds)


def write_media(
    path: Path,
    codecs: Codecs,
    pieces: Sequence[tuple[float, FloatSamples]],
    sample_rate_hz: int,
    pictures_s: float = 0.0,
) -> Path:
    """Any container FFmpeg writes, with sound in pieces that each begin at a stated second."""
    with av.open(str(path), "w", format=codecs.muxer) as container:
        picture = None if codecs.picture is None else _picture_stream(container, codecs.picture)
        sound = None
        if codecs.sound is not None:
            layout = "mono" if pieces[0][1].shape[1] == 1 else "stereo"
            sound = container.add_stream(
                codecs.sound,
                rate=sample_rate_hz,
                layout=layout,
                options={"strict": "experimental"},  # FFmpeg calls its own Vorbis encoder that
            )
            if isinstance(sound, AudioStream) and codecs.bit_rate_bps:
                sound.codec_context.bit_rate = codecs.bit_rate_bps
        if picture is not None:
            _write_pictures(container, picture, round(pictures_s * _PICTURES_PER_S))
        if isinstance(sound, AudioStream):
            for start_s, samples in pieces:
                _write_sound(container, sound, round(start_s * sample_rate_hz), samples, sample_rate_hz)
            container.mux(sound.encode(None))
    return path


def _picture_stream(container: OutputContainer, codec: str) -> VideoStream:
    stream = container.add_stream(codec, rate=_PICTURES_PER_S)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    return stream


def _write_pictures(container: OutputContainer, stream: VideoStream, count: int) -> None:
    for index in range(count):
        grey = np.full((48, 64, 3), index % 256, np.uint8)
        frame = VideoFrame.from_ndarray(grey)
        frame.pts = index
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _write_sound(
    container: OutputContainer, stream: AudioStream, first: int, samples: FloatSamples, sample_rate_hz: int
) -> None:
    for at in range(0, len(samples), _FRAME_SAMPLES):
        part = np.ascontiguousarray(samples[at : at + _FRAME_SAMPLES])
        frame = AudioFrame.from_ndarray(part.reshape(1, -1), format="flt", layout=stream.layout)
        frame.sample_rate = sample_rate_hz
        frame.pts = first + at
        frame.time_base = Fraction(1, sample_rate_hz)
        container.mux(stream.encode(frame))
