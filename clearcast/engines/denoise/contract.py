"""Denoising: what an engine is asked for, and what its results are.

What lives here: options, result and the engine's base class with its two forms, a stream that is pushed
hop by hop (live rooms) and whole files, which go through the same stream. What does not: cutting into hops,
resampling and alignment (`_stream`), and any model.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.denoise._stream import DenoiseCore, DenoiseStream
from clearcast.engines.engine import Engine, Progress, ignore_progress
from clearcast.errors import OptionInvalid
from clearcast.speech.provenance import Provenance

_BLOCK_S = 10.0


@dataclass(frozen=True, slots=True)
class DenoiseOptions:
    """Attributes:
    attenuation_limit_db: at most so many dB of noise are taken away; None takes away all of it. Some room
        left behind sounds more natural than none: 12 is a light cleaning, 30 a thorough one.
    mix: share of the cleaned sound in the result, 0 to 1; the rest is the recording as it was. None lets
        the engine choose so that speech stays natural: RNNoise hands back some of what it took away, the
        more the cleaner the recording is; DeepFilterNet hands back nothing.
    post_filter: take away a little more in places that are noisy anyway, where the engine can.
    """

    attenuation_limit_db: float | None = None
    mix: float | None = None
    post_filter: bool = False

    def check(self) -> None:
        """Raises OptionInvalid."""
        if self.attenuation_limit_db is not None and not 0 <= self.attenuation_limit_db <= 200:
            raise OptionInvalid(
                "attenuation_limit_db must lie between 0 and 200.", option="attenuation_limit_db"
            )
        if self.mix is not None and not 0 <= self.mix <= 1:
            raise OptionInvalid("mix must lie between 0 and 1.", option="mix")

    @property
    def dry_share(self) -> float:
        """Share of the untouched recording in the result, whatever the engine hands back by itself."""
        limit = 0.0 if self.attenuation_limit_db is None else 10.0 ** (-abs(self.attenuation_limit_db) / 20)
        mix = 1.0 if self.mix is None else self.mix
        # x·l + y·(1 − l) for a limit l, as df.enhance.enhance has it; then the same once more for the mix.
        return 1.0 - mix * (1.0 - limit)


@dataclass(frozen=True, slots=True)
class DenoiseResult:
    """What was done. Attributes:
    duration_s: of the sound, the same before and after.
    delay_samples: of the engine's live form at this rate; the file itself is aligned.
    """

    provenance: Provenance
    duration_s: float
    delay_samples: int


class DenoiseEngine(Engine):
    """Takes noise away. Any rate and number of channels go in, the same come out, aligned to the sample.

    Every channel has a state of its own and the same settings, so that equal channels stay equal and a
    voice stays where it stood between them.
    """

    service = "denoise"
    can_post_filter = False

    def open_stream(
        self, sample_rate_hz: int, channels: int, options: DenoiseOptions = DenoiseOptions()
    ) -> DenoiseStream:
        """A stream of its own state; one thread at a time may use it. Raises OptionInvalid."""
        options.check()
        if not 1000 <= sample_rate_hz <= 768_000 or not 1 <= channels <= 64:
            raise OptionInvalid(f"{channels} channels at {sample_rate_hz} Hz cannot be denoised.")
        if options.post_filter and not self.can_post_filter:
            raise OptionInvalid(f"{self.engine_name()} has no post-filter.", option="post_filter")
        self.load()
        return DenoiseStream(self._open(channels, options), sample_rate_hz, channels, options.dry_share)

    def denoise(
        self,
        reader: SoundReader,
        writer: SoundWriter,
        options: DenoiseOptions = DenoiseOptions(),
        progress: Progress = ignore_progress,
    ) -> DenoiseResult:
        """Write the cleaned sound of `reader`, of the same length; the caller closes both.

        Memory does not grow with length. `progress` may raise Cancelled. Raises OptionInvalid, StorageFull.
        """
        if (reader.sample_rate_hz, reader.channels) != (writer.sample_rate_hz, writer.channels):
            raise ValueError("the sound that is written must have the rate and channels of the one read")
        with self.open_stream(reader.sample_rate_hz, reader.channels, options) as stream:
            progress(0.0)
            for block in reader.blocks(round(_BLOCK_S * reader.sample_rate_hz)):
                writer.write(stream.push(block))
                # Never 1 before the last samples are written.
                progress(min(writer.num_samples / reader.num_samples, 0.999))
            writer.write(stream.flush())
            delay_samples = stream.delay_samples
        progress(1.0)
        return DenoiseResult(self.provenance, reader.duration_s, delay_samples)

    @abstractmethod
    def _open(self, channels: int, options: DenoiseOptions) -> DenoiseCore:
        """The engine's own part of a stream; `dry_share` is not its concern."""
