"""The Demucs engine gives what Demucs gives for the whole file, whatever its length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearcast.audio.chunk import FloatSamples
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.separate import demucs as module
from clearcast.engines.separate.contract import SeparationEngine
from clearcast.engines.separate.demucs import DemucsEngine
from clearcast.errors import ModelCorrupt, ModelMissing, OptionInvalid, SettingsInvalid
from clearcast.testing.checkpoints.demucs import SIX_SOURCES, write_demucs

RATE_HZ = 44_100
STRIDE = 33_075  # three quarters of the tests' segments of one second


def engine_on(folder: Path, **options: Any) -> DemucsEngine:
    made = make_engine(
        SeparationEngine, "demucs", {"model": str(folder), "device": "cpu"} | options, EngineContext(folder)
    )
    assert isinstance(made, DemucsEngine)
    return made


def upstream(folder: Path, name: str, samples: FloatSamples, rate_hz: int = RATE_HZ) -> dict[str, Any]:
    import torch
    from demucs.api import Separator

    separator = Separator(name, repo=folder, device="cpu", shifts=0)
    found = separator.separate_tensor(torch.from_numpy(samples.T.copy()), rate_hz)[1]
    return {stem: samples.numpy().T for stem, samples in found.items()}


def noise(count: int, channels: int = 2, seed: int = 0) -> FloatSamples:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal((count, channels)) + 0.01).astype(np.float32)


@pytest.mark.parametrize(
    "count",
    [
        2,
        100,
        STRIDE - 1,
        STRIDE,
        STRIDE + 1,
        RATE_HZ - 1,
        RATE_HZ,
        RATE_HZ + 1,
        2 * STRIDE,
        3 * RATE_HZ + 17,
    ],
)
def test_stems_are_those_of_demucs(separate: Any, single_folder: Path, count: int) -> None:
    samples = noise(count)
    found, _ = separate(engine_on(single_folder), samples)
    expected = upstream(single_folder, "htdemucs", samples)
    for stem, truth in expected.items():
        assert found[stem].shape == (count, 2)
        np.testing.assert_allclose(found[stem], truth, atol=1e-6)
    others = sum(expected[stem] for stem in ("drums", "bass", "other"))
    np.testing.assert_allclose(found["accompaniment"], others, atol=1e-6)


def test_bags_of_networks_too(separate: Any, bag_folder: Path) -> None:
    samples = noise(70_000)
    found, report = separate(engine_on(bag_folder), samples)
    for stem, truth in upstream(bag_folder, "htdemucs_ft", samples).items():
        np.testing.assert_allclose(found[stem], truth, atol=1e-6)
    assert report.residual_db is not None


def test_mixed_weights_of_a_bag_too(separate: Any, tmp_path: Path) -> None:
    weights = [[1.0, 0.5, 0.25, 2.0], [0.5, 0.5, 0.75, 0.0]]
    folder = write_demucs(tmp_path / "mixed", "mixed", ("aa", "bb"), weights=weights, layout="th")
    samples = noise(60_000)
    found, _ = separate(engine_on(folder), samples)
    for stem, truth in upstream(folder, "mixed", samples).items():
        np.testing.assert_allclose(found[stem], truth, atol=1e-6)


def test_the_size_of_blocks_changes_nothing(
    separate: Any, single_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, engine = noise(100_000), engine_on(single_folder)
    whole, _ = separate(engine, samples)
    monkeypatch.setattr(module, "_BLOCK_SAMPLES", 7919)
    parts, _ = separate(engine, samples)
    for stem, truth in whole.items():
        np.testing.assert_allclose(parts[stem], truth, atol=1e-6)


def test_safetensors_hold_the_same_networks(separate: Any, single_folder: Path, tmp_path: Path) -> None:
    from tests.engines.separate.conftest import SEGMENT_S

    published = write_demucs(tmp_path / "published", segment_s=SEGMENT_S)
    samples = noise(50_000)
    first, _ = separate(engine_on(single_folder), samples)
    second, _ = separate(engine_on(published), samples)
    np.testing.assert_array_equal(first["vocals"], second["vocals"])


def test_only_the_networks_that_are_needed_run(
    separate: Any, bag_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import demucs.apply

    calls: list[Any] = []
    apply: Callable[..., Any] = demucs.apply.apply_model
    monkeypatch.setattr(
        demucs.apply, "apply_model", lambda model, *a, **k: (calls.append(model), apply(model, *a, **k))[1]
    )
    engine, samples = engine_on(bag_folder), noise(30_000)
    every, _ = separate(engine, samples)
    assert len(calls) == 4
    calls.clear()
    found, report = separate(engine, samples, stems=("vocals",))
    assert len(calls) == 1
    assert report.residual_db is None
    np.testing.assert_allclose(found["vocals"], every["vocals"], atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000, 96_000])
def test_other_rates_keep_rate_and_length_and_match_demucs(
    separate: Any, single_folder: Path, rate_hz: int
) -> None:
    import julius
    import torch

    samples = noise(rate_hz + 7)
    found, _ = separate(engine_on(single_folder), samples, rate_hz, ("vocals",))
    assert found["vocals"].shape == samples.shape
    at_its_rate = upstream(single_folder, "htdemucs", samples, rate_hz)["vocals"]
    back = julius.resample_frac(torch.from_numpy(at_its_rate.T.copy()), RATE_HZ, rate_hz).numpy().T
    common = min(len(back), len(samples)) - 64  # the very end is cut at another sample
    np.testing.assert_allclose(found["vocals"][:common], back[:common], atol=2e-5)


def test_mono_is_heard_as_two_equal_channels(separate: Any, single_folder: Path) -> None:
    samples = noise(60_000, channels=1)
    found, _ = separate(engine_on(single_folder), samples)
    expected = upstream(single_folder, "htdemucs", np.repeat(samples, 2, axis=1))
    for stem, truth in expected.items():
        np.testing.assert_allclose(found[stem][:, 0], truth.mean(axis=1), atol=1e-6)


def test_the_residual_is_what_the_stems_leave_out(separate: Any, single_folder: Path) -> None:
    samples = noise(60_000)
    found, report = separate(engine_on(single_folder), samples)
    missing = samples - sum(found[stem] for stem in ("drums", "bass", "other", "vocals"))
    expected = 10.0 * np.log10(np.sum(missing.astype(float) ** 2) / np.sum(samples.astype(float) ** 2))
    assert report.residual_db == pytest.approx(expected, abs=0.01)


def test_six_stems(separate: Any, tmp_path: Path) -> None:
    folder = write_demucs(tmp_path / "six", "htdemucs_6s", ("5c90dfd2",), sources=SIX_SOURCES)
    found, _ = separate(engine_on(folder), noise(20_000))
    assert tuple(found) == (*SIX_SOURCES, "accompaniment")


def test_a_stem_the_model_does_not_have_is_refused(separate: Any, single_folder: Path) -> None:
    with pytest.raises(OptionInvalid, match="piano"):
        separate(engine_on(single_folder), noise(100), stems=("piano",))


def test_folders_without_a_model_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        engine_on(tmp_path / "nothing").load()
    folder = write_demucs(tmp_path / "broken")
    (folder / "955717e8.safetensors").write_bytes(b"not a model")
    with pytest.raises(ModelCorrupt):
        engine_on(folder).load()
    (folder / "955717e8.safetensors").unlink()  # demucs leaves by SystemExit or an error of its own
    with pytest.raises(ModelCorrupt):
        engine_on(folder).load()
    with pytest.raises(SettingsInvalid, match="no-such"):
        make_engine(SeparationEngine, "demucs", {"model": "no-such"}, EngineContext(tmp_path)).load()
