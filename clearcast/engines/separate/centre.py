"""Separation without a model: what stands in the middle of a stereo mix is taken for the vocals.

In each bin of a short-time spectrum, L and R are made of a middle M = (L + R) / 2 and a side
S = (L − R) / 2. Sources placed elsewhere show up in both, so a bin keeps as much of M as is not explained
by S (spectral subtraction). Everything in the middle (bass drum, bass) inside the band of voices goes with
the vocals, and a voice with wide reverb leaves that behind: hence "experimental".

The vocals are the same on both channels; accompaniment is the mix minus the vocals, so both add up to the
mix but for rounding. Memory holds one block, and the result does not depend on the blocks.

Reference: Avendano and Jot, "A frequency-domain approach to multichannel upmix", JAES 52(7/8), 2004.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.engine import Progress
from clearcast.engines.separate.contract import ACCOMPANIMENT, VOCALS, ResidualMeter, SeparationEngine
from clearcast.errors import SeparationNeedsStereo

_WINDOW_S = 0.186  # measured on voice over a loop: 93 ms give 0.1 dB less, 46 ms 0.5 dB
_OVERLAP = 4
_SUBTRACTED = 4.0  # times the side's power; 2 to 6 are within 0.1 dB
_VOICE_BAND_HZ = (100.0, 8000.0)
_BLOCK_SAMPLES = 1 << 16
_FRAMES_AT_ONCE = 16
_SAME_CHANNELS_DB = -60.0  # a side so far below the middle is rounding and codec noise
_LOOK_SHARE = 0.1  # of the work: whether it is stereo at all


class CentreEngine(SeparationEngine):
    """Vocals by their place in the middle of a stereo mix."""

    quality = "experimental"

    @property
    def model_name(self) -> str:
        return "centre-channel masking"

    def _load(self) -> None:
        pass

    def stems(self) -> tuple[str, ...]:
        return (VOCALS, ACCOMPANIMENT)

    def _run(
        self, reader: SoundReader, writers: Mapping[str, SoundWriter], progress: Progress
    ) -> float | None:
        _refuse_mono(reader, progress)
        mask, meter = CentreMask(reader.sample_rate_hz), ResidualMeter()
        held: FloatSamples = np.zeros((0, 2), np.float32)

        def give(mix: FloatSamples, middle: FloatSamples) -> None:
            vocals = np.repeat(middle[:, np.newaxis], 2, axis=1)
            accompaniment = mix - vocals
            meter.add(mix, vocals + accompaniment)
            for stem, writer in writers.items():
                writer.write(vocals if stem == VOCALS else accompaniment)

        for start in range(0, reader.num_samples, _BLOCK_SAMPLES):
            progress(_LOOK_SHARE + (1.0 - _LOOK_SHARE) * start / reader.num_samples)
            block = reader.read(start, start + _BLOCK_SAMPLES)
            held = np.concatenate((held, block))
            middle = mask.push(block)
            give(held[: len(middle)], middle)
            held = held[len(middle) :]
        give(held, mask.finish())
        progress(1.0)
        return meter.residual_db()


class CentreMask:
    """The middle of a stereo stream without what stands at its sides; frames lie on a fixed grid."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._window_samples = max(16, 1 << round(np.log2(_WINDOW_S * sample_rate_hz)))
        self._hop = self._window_samples // _OVERLAP
        # Square roots of Hann on both sides: their squares add up to overlap / 2.
        hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(self._window_samples) / self._window_samples)
        self._window = np.sqrt(hann)
        places_hz = np.fft.rfftfreq(self._window_samples, 1.0 / sample_rate_hz)
        low_hz, high_hz = _VOICE_BAND_HZ
        self._band = (places_hz >= low_hz) & (places_hz <= high_hz)
        lead = self._window_samples - self._hop  # so that the first sample lies in as many frames as all
        self._held: npt.NDArray[np.float64] = np.zeros((2, lead))
        self._sum: npt.NDArray[np.float64] = np.zeros(lead)
        self._to_skip = lead
        self._taken = self._given = 0

    def push(self, samples: FloatSamples) -> FloatSamples:
        """Shape (n, 2) in; the next samples of the middle come out, shape (m,)."""
        self._taken += len(samples)
        self._held = np.concatenate((self._held, samples.T), axis=1)
        frames = (self._held.shape[1] - self._window_samples) // self._hop + 1
        parts = [
            self._frames(min(_FRAMES_AT_ONCE, frames - first))
            for first in range(0, frames, _FRAMES_AT_ONCE)
        ]
        ready = np.concatenate([np.zeros(0), *parts])
        skipped = min(self._to_skip, len(ready))
        self._to_skip -= skipped
        self._given += len(ready) - skipped
        return ready[skipped:].astype(np.float32)

    def finish(self) -> FloatSamples:
        """What is still due. The stream is spent then."""
        due = self._taken - self._given
        taken = self._taken
        rest = self.push(np.zeros((self._window_samples + self._hop, 2), np.float32))
        self._taken = taken
        return rest[:due]

    def _frames(self, count: int) -> npt.NDArray[np.float64]:
        """Work on the next frames; returns the samples that no later frame touches."""
        size, hop = self._window_samples, self._hop
        windows = sliding_window_view(self._held, size, axis=1)[:, ::hop][:, :count]
        left, right = np.fft.rfft(windows * self._window)
        middle, side = (left + right) / 2.0, (left - right) / 2.0
        power = np.square(middle.real) + np.square(middle.imag)
        beside = _SUBTRACTED * (np.square(side.real) + np.square(side.imag))
        mask = np.where(power > beside, 1.0 - beside / np.maximum(power, 1e-30), 0.0)
        voices = np.fft.irfft(middle * mask * self._band, size) * self._window
        total = np.zeros(count * hop + size - hop)
        total[: len(self._sum)] = self._sum
        for index, voice in enumerate(voices):
            total[index * hop : index * hop + size] += voice
        self._held = self._held[:, count * hop :]
        self._sum = total[count * hop :]
        settled: npt.NDArray[np.float64] = total[: count * hop] / (_OVERLAP / 2.0)
        return settled


def _refuse_mono(reader: SoundReader, progress: Progress) -> None:
    """Raises SeparationNeedsStereo where nothing stands anywhere but in the middle; silence passes."""
    middle = side = 0.0
    if reader.channels == 2:
        for start in range(0, reader.num_samples, _BLOCK_SAMPLES):
            progress(_LOOK_SHARE * start / reader.num_samples)
            block = reader.read(start, start + _BLOCK_SAMPLES).astype(np.float64)
            middle += float(np.sum(np.square(block[:, 0] + block[:, 1])))
            side += float(np.sum(np.square(block[:, 0] - block[:, 1])))
        if side > middle * 10.0 ** (_SAME_CHANNELS_DB / 10.0) or middle == 0.0:
            return
    raise SeparationNeedsStereo(
        "Both channels hold the same sound, so nothing tells the voice from the music."
        if reader.channels == 2
        else "The sound has one channel, so nothing tells the voice from the music.",
        hint="Without a model only stereo can be taken apart: use the demucs engine (clearcast models pull"
        " htdemucs). For speech over music, denoise makes the speech clearer.",
    )
