"""Separation by Hybrid Transformer Demucs: drums, bass, other, vocals; with htdemucs_6s guitar and piano.

Stems are those of `demucs.api.Separator(…, shifts=0)` for the whole file on the same checkpoint, in float
tolerance, though the file is read by windows: the mean and spread that Demucs normalises by are measured in
a first pass, its segments lie on the same grid, and the tail in which two segments overlap is carried over.
Memory holds two segments of 7.8 s, however long the file.

Accompaniment is the sum of the stems other than vocals, as in Demucs' own two-stem mode, not the mix minus
the vocals: what no stem holds is in neither. Its power, at the model's rate, is reported as the residual.
Networks of a bag that no wanted stem needs are not run; there is no residual then.

Another rate than the model's 44.1 kHz is resampled as Demucs does, and back; mono is heard as two equal
channels, whose stems are averaged.

Reference: Rouard, Massa, Défossez, "Hybrid Transformers for Music Source Separation", 2023.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.sinc import Resampler
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.engine import EngineOptions, Progress
from clearcast.engines.model_choice import device_for, is_path, published
from clearcast.engines.separate._demucs_models import DEMUCS_MODELS, read_model
from clearcast.engines.separate.contract import ACCOMPANIMENT, VOCALS, ResidualMeter, SeparationEngine
from clearcast.errors import ModelCorrupt
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate

_BLOCK_SAMPLES = 1 << 16
_OVERLAP = 0.25  # of two segments: Demucs' default
_LEVEL_SHARE = 0.02  # of the work: the first pass


@dataclass(frozen=True)
class DemucsOptions(EngineOptions):
    """Attributes:
    model: "htdemucs", "htdemucs_ft" (four networks, one for each stem: four times the time), "htdemucs_6s",
        or the path of a folder with a .yaml and its networks, written with a slash.
    device: "auto" takes the GPU where there is one.
    """

    model: str = "htdemucs"
    device: Literal["auto", "cpu", "cuda"] = "auto"


class DemucsEngine(SeparationEngine):
    """Every stem its model has, and "accompaniment"."""

    Options = DemucsOptions
    options: DemucsOptions

    _model: Any
    _device: str

    @classmethod
    def models(cls, options: DemucsOptions) -> tuple[ModelSpec, ...]:
        if is_path(options.model):
            return ()
        return (published(options.model, DEMUCS_MODELS, "Demucs model"),)

    @classmethod
    def catalogue(cls) -> tuple[ModelSpec, ...]:
        return tuple(DEMUCS_MODELS.values())

    @property
    def model_name(self) -> str:
        return Path(self.options.model).name

    def _load(self) -> None:
        specs = self.models(self.options)
        folder = (
            locate(specs[0], self.context.models_dir) if specs else Path(self.options.model).expanduser()
        )
        model = read_model(folder)
        if model.audio_channels != 2 or len({float(network.segment) for network in model.models}) != 1:
            raise ModelCorrupt(f"The Demucs model in {folder} is not stereo, or its networks do not match.")
        import torch

        self._device = device_for(self.options.device, "Demucs", has_gpu=torch.cuda.is_available())
        self._model = model.to(self._device)

    def stems(self) -> tuple[str, ...]:
        self.load()
        sources = tuple(self._model.sources)
        return (*sources, ACCOMPANIMENT) if VOCALS in sources else sources

    def _run(
        self, reader: SoundReader, writers: Mapping[str, SoundWriter], progress: Progress
    ) -> float | None:
        sources: list[str] = list(self._model.sources)
        wanted = [name for name in sources if name in writers]
        if ACCOMPANIMENT in writers:
            wanted = [name for name in sources if name in writers or name != VOCALS]
        if not reader.num_samples:
            progress(1.0)
            return None
        level = _measure(self._mix(reader), progress)
        length = Resampler(reader.sample_rate_hz, self._model.samplerate).output_samples(reader.num_samples)
        stream = SegmentStream(self._model, self._device, level, length, wanted)
        outputs = {stem: _Output(writer, self._model.samplerate) for stem, writer in writers.items()}
        meter = ResidualMeter() if len(wanted) == len(sources) else None
        for block in self._mix(reader):
            for mix, stems in stream.push(block):
                # Demucs adds them up in this order.
                others = [stems[name] for name in wanted if name != VOCALS]
                for stem, output in outputs.items():
                    output.write(_sum(others) if stem == ACCOMPANIMENT else stems[stem])
                if meter is not None:
                    meter.add(mix, _sum(list(stems.values())))
                progress(_LEVEL_SHARE + (1.0 - _LEVEL_SHARE) * stream.given / max(1, length))
        for output in outputs.values():
            output.finish(reader.num_samples)
        progress(1.0)
        return meter.residual_db() if meter else None

    def _mix(self, reader: SoundReader) -> Iterator[FloatSamples]:
        """The sound in stereo at the model's rate."""
        resampler = None
        if reader.sample_rate_hz != self._model.samplerate:
            resampler = Resampler(reader.sample_rate_hz, self._model.samplerate)
        for start in range(0, reader.num_samples, _BLOCK_SAMPLES):
            block = reader.read(start, start + _BLOCK_SAMPLES)
            if reader.channels == 1:
                block = np.repeat(block, 2, axis=1)
            yield block if resampler is None else resampler.push(block)
        if resampler is not None:
            yield resampler.finish(resampler.output_samples(reader.num_samples))


@dataclass(frozen=True, slots=True)
class Level:
    """What Demucs normalises a mix by: mean, and standard deviation + 1e-8, of its mono sum."""

    mean: float
    spread: float


class SegmentStream:
    """Demucs' `apply_model` with shifts=0 and split=True, for a mix that arrives in blocks.

    Segments start at every multiple of the stride and are added up with triangular weights; those at the
    end are padded, with what lies before them on the left, as `TensorChunk.padded` does.

    Attributes:
        given: samples that have come out.
    """

    def __init__(self, model: Any, device: str, level: Level, length: int, wanted: list[str]) -> None:
        import torch

        self._level, self._length, self._wanted = level, length, wanted
        self._device = device
        places = [model.sources.index(name) for name in wanted]
        totals = [sum(weights[place] for weights in model.weights) for place in places]
        self._networks = [
            (network, [weights[place] / total for place, total in zip(places, totals, strict=True)])
            for network, weights in zip(model.models, model.weights, strict=True)
            if any(weights[place] for place in places)
        ]
        self._places = places
        self._segment = int(model.samplerate * model.models[0].segment)
        self._stride = int((1 - _OVERLAP) * self._segment)
        half = self._segment // 2
        rising, falling = torch.arange(1, half + 1), torch.arange(self._segment - half, 0, -1)
        weight = torch.cat([rising, falling])
        self._weight = weight / weight.max()
        self._held = torch.zeros(2, 0)
        self._first = 0  # position of the first sample held
        self._start = 0  # of the next segment
        self._sum = torch.zeros(len(wanted), 2, self._segment)
        self._weights = torch.zeros(self._segment)
        self.given = 0

    def push(self, block: FloatSamples) -> Iterator[tuple[FloatSamples, dict[str, FloatSamples]]]:
        """A block of shape (n, 2) in; yields (mix, stems by name), each (m, 2), as they are settled."""
        import torch

        self._held = torch.cat([self._held, torch.from_numpy(block.T.copy())], dim=1)
        end = self._first + self._held.shape[1]
        while self._start < self._length and end >= min(self._start + self._segment, self._length):
            self._add_segment()
            self._start += self._stride
            yield self._settled(min(self._start, self._length))
            # What a segment at the end is padded with on its left.
            passed = self._start - self._segment // 2 - 1 - self._first
            if passed > 0:
                self._held, self._first = self._held[:, passed:], self._first + passed

    def _add_segment(self) -> None:
        from demucs.apply import TensorChunk, apply_model

        mix = ((self._held - self._level.mean) / self._level.spread)[None]
        size = min(self._segment, self._length - self._start)
        for network, weights in self._networks:
            chunk = TensorChunk(mix, self._start - self._first, size)  # type: ignore[no-untyped-call]
            found = apply_model(network, chunk, shifts=0, split=False, device=self._device)[0]
            for index, (place, share) in enumerate(zip(self._places, weights, strict=True)):
                if share:
                    self._sum[index, :, :size] += share * self._weight[:size] * found[place].to("cpu")
        self._weights[:size] += self._weight[:size]

    def _settled(self, stop: int) -> tuple[FloatSamples, dict[str, FloatSamples]]:
        """What no later segment touches, up to `stop`; moves the tail to the front."""
        import torch

        count = stop - self.given
        stems = self._sum[:, :, :count] / self._weights[:count] * self._level.spread + self._level.mean
        mix = self._held[:, self.given - self._first : stop - self._first]
        self._sum = torch.cat([self._sum[:, :, count:], torch.zeros(len(self._wanted), 2, count)], dim=2)
        self._weights = torch.cat([self._weights[count:], torch.zeros(count)])
        self.given = stop
        return mix.numpy().T, {name: stem.numpy().T for name, stem in zip(self._wanted, stems, strict=True)}


class _Output:
    """Writes one stem with the rate and the channels of its writer."""

    def __init__(self, writer: SoundWriter, rate_hz: int) -> None:
        self._writer = writer
        same = writer.sample_rate_hz == rate_hz
        self._resampler = None if same else Resampler(rate_hz, writer.sample_rate_hz)

    def write(self, stem: FloatSamples) -> None:
        if self._writer.channels == 1:
            stem = stem.mean(axis=1, keepdims=True)
        self._writer.write(stem if self._resampler is None else self._resampler.push(stem))

    def finish(self, num_samples: int) -> None:
        """Make it as long as the mix."""
        if self._resampler is None:
            return
        if self._resampler.is_empty:  # the mix was shorter than one sample of the model's rate
            self._writer.write(np.zeros((num_samples, self._writer.channels), np.float32))
        else:
            self._writer.write(self._resampler.finish(num_samples))


def _measure(mix: Iterator[FloatSamples], progress: Progress) -> Level:
    """Mean and spread of the mono sum, block by block (Chan, Golub, LeVeque 1983)."""
    progress(0.0)
    count, mean, squares = 0, 0.0, 0.0
    for block in mix:
        if not len(block):
            continue
        mono = block.astype(np.float64).mean(axis=1)
        delta, total = float(mono.mean()) - mean, count + len(mono)
        squares += float(np.sum(np.square(mono - mono.mean()))) + delta**2 * count * len(mono) / total
        mean += delta * len(mono) / total
        count = total
        progress(0.0)
    return Level(mean, float(np.sqrt(squares / max(1, count - 1))) + 1e-8)


def _sum(parts: list[FloatSamples]) -> FloatSamples:
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total
