"""The score card: loudness, signal-to-noise ratio, and opinion scores where a model for them is present."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clearcast.audio.chunk import FloatSamples
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.measure import _dnsmos
from clearcast.engines.measure._wada import SnrEstimator
from clearcast.engines.measure.contract import MeasureEngine
from clearcast.engines.measure.meter import DNSMOS_FILE
from clearcast.errors import ModelCorrupt


class Sound:
    """Samples in memory, read like a file."""

    def __init__(self, samples: FloatSamples, sample_rate_hz: int = 16_000) -> None:
        self._samples = samples.astype(np.float32).reshape(len(samples), -1 if samples.size else 1)
        self.sample_rate_hz = sample_rate_hz

    @property
    def channels(self) -> int:
        return self._samples.shape[1]

    @property
    def num_samples(self) -> int:
        return len(self._samples)

    def read(self, start: int, stop: int) -> FloatSamples:
        return self._samples[start:stop]


def meter(models_dir: Path) -> MeasureEngine:
    return make_engine(MeasureEngine, "meter", {}, EngineContext(models_dir))


def write_dnsmos(path: Path) -> None:
    """A network of the published inputs and outputs: mean square, mean magnitude and peak of the window."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Mul", ["input_1", "input_1"], ["square"]),
        helper.make_node("Abs", ["input_1"], ["magnitude"]),
        helper.make_node("ReduceMean", ["square"], ["a"], axes=[1], keepdims=1),
        helper.make_node("ReduceMean", ["magnitude"], ["b"], axes=[1], keepdims=1),
        helper.make_node("ReduceMax", ["magnitude"], ["c"], axes=[1], keepdims=1),
        helper.make_node("Concat", ["a", "b", "c"], ["scores"], axis=1),
    ]
    taken = helper.make_tensor_value_info("input_1", TensorProto.FLOAT, [1, _dnsmos.WINDOW_SAMPLES])
    given = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "dnsmos", [taken], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    path.parent.mkdir(parents=True)
    onnx.save(model, path)


def test_a_tone_measures_what_the_standard_says(tmp_path: Path) -> None:
    time_s = np.arange(5 * 48_000) / 48_000
    score = meter(tmp_path).measure(Sound(np.sin(2 * np.pi * 997 * time_s), 48_000))
    assert score.loudness.integrated_lufs == pytest.approx(-3.01, abs=0.05)
    assert score.loudness.true_peak_dbtp == pytest.approx(0.0, abs=0.1)
    assert score.opinion is None
    assert {"integrated_lufs", "true_peak_dbtp", "snr_db"} <= set(score.card())


def test_silence_has_no_ratio_and_no_loudness(tmp_path: Path) -> None:
    for length in (0, 16_000):
        card = meter(tmp_path).measure(Sound(np.zeros(length))).card()
        assert (card["integrated_lufs"], card["snr_db"]) == (None, None)


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 10.0, 25.0, 50.0])
def test_the_ratio_is_that_of_the_model_it_assumes(snr_db: float) -> None:
    rng = np.random.default_rng(1)
    speech = rng.gamma(0.4, 1.0, 400_000) * rng.choice([-1.0, 1.0], 400_000)
    noise = rng.standard_normal(400_000)
    gain = 10 ** (snr_db / 20) * np.sqrt(np.mean(noise**2) / np.mean(speech**2))
    estimator = SnrEstimator()
    for block in np.array_split(0.01 * (gain * speech + noise), 7):
        estimator.add(block.astype(np.float32)[:, np.newaxis])
    assert estimator.snr_db() == pytest.approx(snr_db, abs=2.5)


def test_the_ratio_of_real_recordings(shared_audio: Path, tmp_path: Path) -> None:
    errors_db = []
    items = json.loads((shared_audio / "manifest.json").read_text(encoding="utf-8"))["items"]
    for item in items:
        if item["task"] == "denoise":
            noisy, rate_hz = soundfile.read(shared_audio / item["file"])
            clean, _ = soundfile.read(shared_audio / item["truth"]["clean"])
            true_db = 10 * np.log10(np.sum(clean**2) / np.sum((noisy - clean) ** 2))
            found_db = meter(tmp_path).measure(Sound(noisy, rate_hz)).snr_db
            assert found_db is not None
            errors_db.append(abs(found_db - true_db))
    assert np.mean(errors_db) < 2.0


def test_opinions_come_from_the_model_where_it_is_present(tmp_path: Path) -> None:
    write_dnsmos(tmp_path / DNSMOS_FILE)
    sound = Sound(np.full(11 * 16_000, 0.5))
    engine = meter(tmp_path)
    score = engine.measure(sound)
    assert score.opinion is not None
    assert score.opinion.speech == pytest.approx(np.polyval(_dnsmos._POLYNOMIALS[0], 0.25), abs=1e-4)
    assert score.opinion.background == pytest.approx(np.polyval(_dnsmos._POLYNOMIALS[1], 0.5), abs=1e-4)
    assert score.opinion.overall == pytest.approx(np.polyval(_dnsmos._POLYNOMIALS[2], 0.5), abs=1e-4)
    assert "DNSMOS" in engine.provenance.model
    assert "overall_mos" in score.card()


@pytest.mark.parametrize(("length_s", "rate_hz"), [(0.3, 8_000), (3.0, 44_100), (40.0, 48_000)])
def test_any_length_and_rate_has_an_opinion(tmp_path: Path, length_s: float, rate_hz: int) -> None:
    write_dnsmos(tmp_path / DNSMOS_FILE)
    score = meter(tmp_path).measure(Sound(np.full((round(length_s * rate_hz), 2), 0.25), rate_hz))
    assert score.opinion is not None
    assert score.opinion.background == pytest.approx(np.polyval(_dnsmos._POLYNOMIALS[1], 0.25), abs=1e-2)


def test_a_file_that_is_no_such_model_is_told(tmp_path: Path) -> None:
    (tmp_path / DNSMOS_FILE).parent.mkdir()
    (tmp_path / DNSMOS_FILE).write_bytes(b"no model")
    with pytest.raises(ModelCorrupt, match="DNSMOS"):
        meter(tmp_path).load()
