"""DeepFilterNet2 on one stream: sound to features, through the network's step, and back to sound.

What lives here: features, the order of frames at both ends, one state for each channel. What does not: the
network (`_dfn_network`) and who runs it (`_dfn_kept`, `_dfn_onnx`). Heavy: imported inside `load()` only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from libdf import DF, erb

from clearcast.engines.denoise._dfn_kept import StreamNetwork
from clearcast.engines.denoise._resampling import Sound
from clearcast.engines.denoise._stream import DenoiseCore

_BLOCK_FRAMES = 100  # more at a time falls out of the processor's cache and is no faster

# Where upstream's running means begin, in dB and in magnitude (libDF, MEAN_NORM_INIT and UNIT_NORM_INIT).
_MEAN_START_DB = (-60.0, -90.0)
_UNIT_START = (0.001, 0.0001)
_ERB_SCALE_DB = np.float32(40.0)


class DfnCore(DenoiseCore):
    """The network on every channel by itself."""

    def __init__(self, network: StreamNetwork, channels: int) -> None:
        params = network.params
        self.sample_rate_hz = params.sr
        self.hop_samples = params.hop_size
        look_ahead = params.conv_lookahead + params.df_lookahead
        self.lag_samples = look_ahead * params.hop_size + params.fft_size - params.hop_size
        self._tail_frames = params.fft_size // params.hop_size
        self._channels = [_Channel(network) for _ in range(channels)]

    def process(self, samples: Sound) -> Sound:
        size = _BLOCK_FRAMES * self.hop_samples
        if len(samples) <= size:
            return self._each(lambda one, x: one.push(x), samples)
        blocks = [samples[start : start + size] for start in range(0, len(samples), size)]
        return np.concatenate([self._each(lambda one, x: one.push(x), block) for block in blocks])

    def finish(self, rest: Sound) -> Sound:
        # As upstream pads the end of a file: one window of silence, then features of nothing.
        silence = np.zeros((self._tail_frames * self.hop_samples - len(rest), rest.shape[1]), np.float32)
        last = self._each(lambda one, x: one.push(x), np.concatenate([rest, silence]))
        tail = self._each(lambda one, _x: one.flush(), rest)
        return np.concatenate([last, tail])[: self.lag_samples + len(rest)]

    def _each(self, work: Callable[[_Channel, Sound], Sound], samples: Sound) -> Sound:
        columns = np.ascontiguousarray(samples.T)
        return np.stack(
            [work(one, column) for one, column in zip(self._channels, columns, strict=True)], axis=1
        )


class _Channel:
    """One channel's state."""

    def __init__(self, network: StreamNetwork) -> None:
        params, alpha = network.params, network.params.alpha
        self._step = network.step
        self._state = network.state
        self._df: Any = DF(params.sr, params.fft_size, params.hop_size, params.nb_erb, params.min_nb_freqs)
        self._widths = self._df.erb_widths()
        self._alpha, self._beta = np.float32(alpha), np.float32(1) - np.float32(alpha)
        self._mean = np.linspace(*_MEAN_START_DB, params.nb_erb, dtype=np.float32)
        self._unit = np.linspace(*_UNIT_START, params.nb_df, dtype=np.float32)
        self._df_bins, self._bands = params.nb_df, params.nb_erb
        self._bins = params.fft_size // 2 + 1
        self._conv_lookahead = params.conv_lookahead
        self._look_ahead = params.conv_lookahead + params.df_lookahead
        self._frames = 0

    def push(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Whole hops, shape (k · hop,), in; as many samples out."""
        spec, feat_erb, feat_spec = self._features(samples)
        frames = len(feat_erb)
        # The network never sees the features of the first frames: upstream shifts them out when it pads.
        unseen = min(max(self._conv_lookahead - self._frames, 0), frames)
        self._frames += frames
        out = np.zeros((1, frames, self._bins, 2), np.float32)
        if unseen:
            noisy = self._state[6]
            self._state = list(self._state)
            self._state[6] = np.concatenate([noisy, spec[:, :unseen]], axis=1)[:, -noisy.shape[1] :]
        if unseen < frames:
            out[:, unseen:] = self._run(spec[:, unseen:], feat_erb[unseen:], feat_spec[:, unseen:])
        return self._sound(out)

    def flush(self) -> npt.NDArray[np.float32]:
        """The frames that wait for what follows, with nothing following."""
        count = self._look_ahead
        out = self._run(
            np.zeros((1, count, self._bins, 2), np.float32),
            np.zeros((count, self._bands), np.float32),
            np.zeros((2, count, self._df_bins), np.float32),
        )
        return self._sound(out)

    def _run(self, spec: Sound, feat_erb: Sound, feat_spec: Sound) -> npt.NDArray[np.float32]:
        arrays = [spec, feat_erb[np.newaxis, np.newaxis], feat_spec[np.newaxis]]
        out, *self._state = self._step([np.ascontiguousarray(array) for array in arrays] + self._state)
        return out

    def _features(self, samples: npt.NDArray[np.float32]) -> tuple[Sound, Sound, Sound]:
        """Spectrum (1, T, bins, 2), bands (T, bands), low bins (2, T, df bins), as libdf has them."""
        spec = self._df.analysis(samples[np.newaxis], False)
        bands = erb(spec, self._widths)[0]
        low = spec[0, :, : self._df_bins].copy()
        sizes = np.abs(low)
        for index in range(len(bands)):
            self._mean = bands[index] * self._beta + self._mean * self._alpha
            bands[index] -= self._mean
            self._unit = sizes[index] * self._beta + self._unit * self._alpha
            low[index] /= np.sqrt(self._unit)
        bands /= _ERB_SCALE_DB
        pairs = low.view(np.float32).reshape(*low.shape, 2)
        return spec.view(np.float32).reshape(*spec.shape, 2), bands, pairs.transpose(2, 0, 1)

    def _sound(self, spec: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        pairs = np.ascontiguousarray(spec).view(np.complex64)[..., 0]
        sound: npt.NDArray[np.float32] = self._df.synthesis(np.ascontiguousarray(pairs), False)[0]
        return sound
