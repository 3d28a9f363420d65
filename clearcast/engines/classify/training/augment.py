"""Making training words harder: pace, channel, room, noise, level, and where a word is cut.

What lives here: one word in, the frames of a harder one out; the noises made here. What does not: the
training loop.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.classify._features import FRAME_SAMPLES, Frames, mel_frames

LONGEST_S = 1.2  # of what the network sees
_SPEECH_RMS = 0.05
_LONGEST_PAD_S = 0.5
_CUT_OUT = 0.25  # of the words end with their noise, as files that hold one word do


@dataclass(frozen=True, slots=True)
class Hardness:
    """How much is done to words. The defaults are those of training.

    Attributes:
        snr_db: of the noise that is added, drawn evenly.
        noisy, in_rooms, repaced, filtered: shares of the words that are treated so.
    """

    snr_db: tuple[float, float] = (0.0, 30.0)
    noisy: float = 0.8
    in_rooms: float = 0.5
    repaced: float = 0.8
    filtered: float = 0.4


CLEAN = Hardness(noisy=0.0, in_rooms=0.0, repaced=0.0, filtered=0.0)
NOISY_ROOMS = Hardness(snr_db=(0.0, 20.0), noisy=1.0, in_rooms=0.6, repaced=0.0, filtered=0.0)
"""For measuring: noise at 0 to 20 dB on every word, six in ten in a room."""


class Augmenter:
    """Draws harder versions of words, the same for the same seed.

    Args:
        noises: recordings of noise, each longer than `LONGEST_S`.
        rooms: impulse responses of rooms.
    """

    def __init__(self, noises: Sequence[FloatAudio], rooms: Sequence[FloatAudio], seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - to be repeatable, not secret
        self._noises = noises
        self._rooms = rooms

    def word(self, samples: FloatAudio, hardness: Hardness = Hardness()) -> Frames:
        """One word, float32 mono at 16 kHz, as the splitter might cut it out of a harder recording."""
        rng = self.rng
        if rng.random() < hardness.repaced:
            samples = _repaced(samples, rng.uniform(0.82, 1.22))
        if rng.random() < hardness.filtered:
            samples = _filtered(samples, rng)
        if rng.random() < hardness.in_rooms:
            samples = in_room(samples, rng.choice(self._rooms))
        samples = _levelled(samples)
        # In noise that changes, the splitter takes up to half a second of it for a part of the word.
        pads = [round(_LONGEST_PAD_S * rng.random() ** 2 * SAMPLE_RATE_HZ) for _ in range(2)]
        is_cut_out = rng.random() < _CUT_OUT
        if not is_cut_out:
            samples = np.pad(samples, pads)
        if rng.random() < hardness.noisy:
            noise = self._noise(len(samples))
            samples = samples + noise * np.float32(10.0 ** (-rng.uniform(*hardness.snr_db) / 20.0))
        return self._heard(np.pad(samples, pads) if is_cut_out else samples)

    def stretch(self, recording: FloatAudio, hardness: Hardness = Hardness()) -> Frames:
        """A piece of a longer recording of anything, treated like a word."""
        return self.word(self._piece(recording), hardness)

    def silence(self) -> Frames:
        """Nothing but noise, of the length of a word."""
        return self._heard(self._noise(round(self.rng.uniform(0.15, 1.1) * SAMPLE_RATE_HZ)))

    def spliced(self, first: FloatAudio, second: FloatAudio) -> Frames:
        """The beginning of one word and the end of another: a word that nobody taught."""
        cut, other = self.rng.uniform(0.35, 0.65), self.rng.uniform(0.35, 0.65)
        head, tail = first[: round(cut * len(first))], second[round(other * len(second)) :]
        return self.word(np.concatenate([_levelled(head), _levelled(tail)]))

    def _piece(self, recording: FloatAudio) -> FloatAudio:
        length = round(self.rng.uniform(0.25, 1.0) * SAMPLE_RATE_HZ)
        start = self.rng.randrange(max(1, len(recording) - length))
        return recording[start : start + length]

    def _noise(self, length: int) -> FloatAudio:
        noise = self.rng.choice(self._noises)
        start = self.rng.randrange(max(1, len(noise) - length))
        return _levelled(np.resize(noise[start : start + length], length))

    def _heard(self, samples: FloatAudio) -> Frames:
        """As a microphone would give it: at any level, with a trace of its own noise or none."""
        gain = np.float32(10.0 ** (self.rng.uniform(-20.0, 15.0) / 20.0))
        if self.rng.random() < 0.7:
            trace = np.random.default_rng(self.rng.getrandbits(32)).standard_normal(
                len(samples), np.float32
            )
            samples = samples + trace * np.float32(10.0 ** (self.rng.uniform(-70.0, -45.0) / 20.0))
        short = FRAME_SAMPLES - len(samples)
        return mel_frames(np.pad(samples * gain, (0, max(0, short))))


def make_noises(seed: int, speech: Sequence[FloatAudio] = ()) -> list[FloatAudio]:
    """Noises of ten seconds: white, pink, brown, hum, and babble of the `speech` that is given."""
    rng = np.random.default_rng(seed)
    length = 10 * SAMPLE_RATE_HZ
    noises = [_coloured(rng, length, slope) for slope in (0.0, 0.5, 1.0, 1.5)]
    times_s = np.arange(length) / SAMPLE_RATE_HZ
    for mains_hz in (50.0, 60.0):
        hum = sum(np.sin(2 * np.pi * mains_hz * n * times_s + n) / n for n in range(1, 12))
        noises.append(np.asarray(hum, np.float32) + 0.3 * _coloured(rng, length, 0.5))
    if speech:
        noises += [_babble(rng, speech, voices, length) for voices in (4, 6, 9)]
    return noises


def make_rooms(seed: int, count: int) -> list[FloatAudio]:
    """Impulse responses: noise that dies away over 0.1 to 0.6 s, behind the direct sound."""
    rng = np.random.default_rng(seed)
    rooms = []
    for _ in range(count):
        reverberation_s = rng.uniform(0.1, 0.6)
        length = round(reverberation_s * SAMPLE_RATE_HZ * 0.6)
        decay = np.exp(
            -6.9 * np.arange(length) / (reverberation_s * SAMPLE_RATE_HZ)
        )  # −60 dB after that time
        response = rng.standard_normal(length) * decay
        response[0] = rng.uniform(3.0, 10.0)
        rooms.append(np.asarray(response / np.abs(response).max(), np.float32))
    return rooms


def in_room(samples: FloatAudio, room: FloatAudio, tail_s: float = 0.15) -> FloatAudio:
    """The word in a room, with so much of the room's answer after its end."""
    length = len(samples) + round(tail_s * SAMPLE_RATE_HZ)
    return np.asarray(fftconvolve(samples, room)[:length], np.float32)


def _coloured(rng: np.random.Generator, length: int, slope: float) -> FloatAudio:
    """Noise whose amplitude falls with the frequency to the power of `slope`."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.maximum(1.0, np.arange(len(spectrum))) ** slope
    spectrum[: 20 * length // SAMPLE_RATE_HZ] = (
        0.0  # nothing below 20 Hz, where brown noise would drown all
    )
    return _levelled(np.fft.irfft(spectrum, length).astype(np.float32))


def _babble(rng: np.random.Generator, speech: Sequence[FloatAudio], voices: int, length: int) -> FloatAudio:
    mixed = np.zeros(length, np.float32)
    for _ in range(voices):
        place = int(rng.integers(0, SAMPLE_RATE_HZ))
        while place < length:
            word = _levelled(speech[int(rng.integers(len(speech)))])[: length - place]
            mixed[place : place + len(word)] += word
            place += len(word) + int(rng.integers(0, SAMPLE_RATE_HZ // 3))
    return mixed


def _levelled(samples: FloatAudio) -> FloatAudio:
    rms = np.sqrt(np.mean(np.square(samples))) if len(samples) else np.float32(0.0)
    return np.asarray(samples / (rms + np.float32(1e-6)) * np.float32(_SPEECH_RMS), np.float32)


def _repaced(samples: FloatAudio, factor: float) -> FloatAudio:
    """Faster and higher, or slower and lower: pace and the size of the speaker at once."""
    places = np.linspace(0, len(samples) - 1, max(2, int(len(samples) / factor)))
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def _filtered(samples: FloatAudio, rng: random.Random) -> FloatAudio:
    """Another microphone: a tilt, or the band of a telephone or a narrow codec."""
    if rng.random() < 0.5:
        return np.asarray(lfilter([1.0, rng.uniform(-0.6, 0.6)], [1.0], samples), np.float32)
    band_hz = (rng.choice((80, 200, 300)), rng.choice((3400, 4500, 6000, 7500)))
    sections = butter(2, band_hz, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(sosfilt(sections, samples), np.float32)
