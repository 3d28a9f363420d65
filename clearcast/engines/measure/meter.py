"""Measuring without a model: loudness by EBU R 128, and an estimate of the signal-to-noise ratio.

With a DNSMOS model file in the models folder, opinion scores too.
"""

from __future__ import annotations

from clearcast.audio.loudness import LoudnessMeter
from clearcast.engines.engine import Progress
from clearcast.engines.measure._dnsmos import Dnsmos
from clearcast.engines.measure._wada import SnrEstimator
from clearcast.engines.measure.contract import MeasureEngine, Sound, SoundScore

DNSMOS_FILE = "dnsmos/sig_bak_ovr.onnx"  # below the models folder; put there by hand
BLOCK_SAMPLES = 1 << 16
_HEARD_SHARE = 0.9  # of the work, before the model


class MeterEngine(MeasureEngine):
    """One pass over the sound, in memory that does not grow."""

    _dnsmos: Dnsmos | None

    @property
    def model_name(self) -> str:
        has_model = (self.context.models_dir / DNSMOS_FILE).is_file()
        return "EBU R 128, WADA-SNR" + (", DNSMOS P.835" if has_model else "")

    def _load(self) -> None:
        path = self.context.models_dir / DNSMOS_FILE
        self._dnsmos = Dnsmos(path) if path.is_file() else None

    def _run(self, sound: Sound, progress: Progress) -> SoundScore:
        meter, estimator = LoudnessMeter(sound.sample_rate_hz, sound.channels), SnrEstimator()
        for start in range(0, sound.num_samples, BLOCK_SAMPLES):
            block = sound.read(start, start + BLOCK_SAMPLES)
            meter.add(block)
            estimator.add(block)
            progress(_HEARD_SHARE * (start + len(block)) / sound.num_samples)
        opinion = None if self._dnsmos is None else self._dnsmos.opinion(sound)
        progress(1.0)
        return SoundScore(meter.result(), estimator.snr_db(), opinion, self.provenance)
