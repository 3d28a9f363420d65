"""Opinion scores by DNSMOS P.835, where its model file is present.

The model (`sig_bak_ovr.onnx`, from the Deep Noise Suppression Challenge) hears 9.01 s at 16 kHz, shape
(1, 144160), and gives (1, 3): speech, background, overall, still to be bent by a polynomial each. Windows
lie a second apart, in long sounds further, so that there are `MOST_WINDOWS` at most; shorter sounds are
repeated.

Reference: Reddy, Gopal, Cutler, "DNSMOS P.835: A Non-Intrusive Perceptual Objective Speech Quality Metric
to Evaluate Noise Suppressors", ICASSP 2022.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.sinc import resample
from clearcast.engines.measure.contract import Opinion, Sound
from clearcast.errors import ModelCorrupt

RATE_HZ = 16_000
WINDOW_SAMPLES = 144_160
MOST_WINDOWS = 120
# Highest power first: speech, background, overall.
_POLYNOMIALS = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)


class Dnsmos:
    """A loaded model. Raises ModelCorrupt."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            (self._input,) = (one.name for one in self._session.get_inputs())
            self._scores(np.zeros(WINDOW_SAMPLES, np.float32))
        except Exception as error:  # whatever ONNX Runtime finds wrong
            raise ModelCorrupt(f"{path} is not a DNSMOS P.835 model: {error}") from error

    def opinion(self, sound: Sound) -> Opinion | None:
        """The mean over the windows; None for an empty sound."""
        if not sound.num_samples:
            return None
        length = round(WINDOW_SAMPLES * sound.sample_rate_hz / RATE_HZ)
        last = max(0, sound.num_samples - length)
        count = min(MOST_WINDOWS, 1 + last // sound.sample_rate_hz)
        scores = [
            self._scores(_window(sound, round(start), length)) for start in np.linspace(0, last, count)
        ]
        means = np.mean(scores, axis=0)
        speech, background, overall = (
            float(np.polyval(polynomial, mean))
            for polynomial, mean in zip(_POLYNOMIALS, means, strict=True)
        )
        return Opinion(speech, background, overall)

    def _scores(self, window: FloatSamples) -> npt.NDArray[np.float64]:
        (found,) = self._session.run(None, {self._input: window[np.newaxis]})
        scores = np.asarray(found, np.float64).reshape(-1)
        if scores.shape != (3,):
            raise ValueError(f"{scores.shape} scores instead of 3")
        return scores


def _window(sound: Sound, start: int, length: int) -> FloatSamples:
    """Mono, 16 kHz, shape (144160,); a sound that is too short is repeated."""
    samples = sound.read(start, start + length).mean(axis=1, keepdims=True, dtype=np.float32)
    mono = resample(samples, sound.sample_rate_hz, RATE_HZ)[:, 0]
    return np.resize(mono, WINDOW_SAMPLES) if len(mono) else np.zeros(WINDOW_SAMPLES, np.float32)
