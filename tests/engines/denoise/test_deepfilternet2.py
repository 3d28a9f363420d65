"""DeepFilterNet2 against its own package on the same checkpoint, whole file against pieces."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearcast.audio.sound import SoundArray
from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.errors import ModelCorrupt, ModelMissing
from clearcast.testing.checkpoints.deepfilternet import write_deepfilternet2
from clearcast.testing.media import speech_like

Cleaned = Callable[..., SoundArray]
NOWHERE = EngineContext(Path("nowhere"))


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_deepfilternet2(tmp_path_factory.mktemp("dfn") / "full-size")


def engine_on(folder: Path, backend: str = "onnx") -> DenoiseEngine:
    options = {"model": str(folder), "backend": backend, "device": "cpu"}
    engine = make_engine(DenoiseEngine, "deepfilternet2", options, NOWHERE)
    engine.load()
    return engine


@pytest.fixture(scope="module", params=["torch", "onnx"])
def engine(request: pytest.FixtureRequest, full_size: Path) -> DenoiseEngine:
    return engine_on(full_size, request.param)


def upstream(
    folder: Path, samples: SoundArray, *, post_filter: bool = False, limit_db: float | None = None
) -> Any:
    """What `df.enhance.enhance` makes of the whole file."""
    import torch

    module = importlib.import_module("df.enhance")
    model, state, _ = module.init_df(str(folder), log_file=None, post_filter=post_filter)
    audio = torch.from_numpy(np.ascontiguousarray(samples.T))
    return module.enhance(model, state, audio, atten_lim_db=limit_db).numpy().T


@pytest.mark.parametrize("sizes", [(480,), (1 << 20,), (777, 5, 4801), (960, 1920)])
def test_it_equals_upstream_on_the_whole_file_however_it_is_cut(
    engine: DenoiseEngine, full_size: Path, cleaned: Cleaned, sizes: tuple[int, ...]
) -> None:
    samples = speech_like(2.3, 48_000, channels=2)[:-123]
    reference = upstream(full_size, samples)
    result = cleaned(engine, samples, sizes=sizes)
    assert np.abs(reference).max() > 0.01
    assert np.abs(result - reference).max() <= 1e-5
    assert np.abs(result - reference).max() <= 1e-4 * np.abs(reference).max()


@pytest.mark.parametrize("length", [1, 479, 480, 481, 2399, 2400, 5001])
def test_short_sounds_equal_upstream_too(
    engine: DenoiseEngine, full_size: Path, cleaned: Cleaned, length: int
) -> None:
    samples = speech_like(0.6, 48_000)[-length:]
    assert np.abs(cleaned(engine, samples, sizes=(480,)) - upstream(full_size, samples)).max() <= 1e-5


def test_the_attenuation_limit_is_upstreams(
    engine: DenoiseEngine, full_size: Path, cleaned: Cleaned
) -> None:
    samples = speech_like(1.0, 48_000)
    options = DenoiseOptions(attenuation_limit_db=12.0)
    reference = upstream(full_size, samples, limit_db=12.0)
    assert np.abs(cleaned(engine, samples, options=options) - reference).max() <= 1e-5


def test_the_post_filter_is_upstreams(engine: DenoiseEngine, full_size: Path, cleaned: Cleaned) -> None:
    samples = speech_like(1.0, 48_000)
    reference = upstream(full_size, samples, post_filter=True)
    assert np.abs(reference - upstream(full_size, samples)).max() > 1e-4
    result = cleaned(engine, samples, options=DenoiseOptions(post_filter=True))
    assert np.abs(result - reference).max() <= 1e-5


def test_onnx_runtime_equals_torch(full_size: Path, cleaned: Cleaned) -> None:
    samples = speech_like(2.0, 48_000, seed=3)
    by_torch, by_onnx = (cleaned(engine_on(full_size, name), samples) for name in ("torch", "onnx"))
    assert np.abs(by_torch - by_onnx).max() <= 1e-4 * np.abs(by_torch).max()


def test_live_sound_is_fifty_milliseconds_late(engine: DenoiseEngine) -> None:
    with engine.open_stream(48_000, 1) as stream:
        assert (stream.hop_samples, stream.delay_samples) == (480, 2400)


def test_the_exported_network_is_kept_once_for_each_checkpoint(tmp_path: Path, cleaned: Cleaned) -> None:
    samples = speech_like(0.3, 48_000)
    folder = write_deepfilternet2(tmp_path / "a", conv_channels=16, hidden=64)
    first = cleaned(engine_on(folder), samples)
    (kept,) = (folder / "checkpoints").glob("*.onnx")
    written_ns = kept.stat().st_mtime_ns
    assert np.array_equal(cleaned(engine_on(folder), samples), first)
    assert kept.stat().st_mtime_ns == written_ns
    write_deepfilternet2(folder, conv_channels=16, hidden=64, seed=1)
    assert not np.allclose(cleaned(engine_on(folder), samples), first)
    assert len(list((folder / "checkpoints").glob("*.onnx"))) == 2


def test_what_was_kept_is_read_without_pytorch(tmp_path: Path, cleaned: Cleaned) -> None:
    folder = write_deepfilternet2(tmp_path / "a", conv_channels=16, hidden=64)
    cleaned(engine_on(folder), speech_like(0.1, 48_000))
    code = f"""
import sys
from pathlib import Path
from clearcast.engines.denoise.contract import DenoiseEngine
from clearcast.engines.engine import EngineContext, make_engine
options = {{"model": {str(folder)!r}}}
engine = make_engine(DenoiseEngine, "deepfilternet2", options, EngineContext(Path(".")))
engine.load()
print(engine.open_stream(48_000, 1).delay_samples, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2400", "False"]


def test_half_a_kept_network_is_made_anew(tmp_path: Path, cleaned: Cleaned) -> None:
    samples = speech_like(0.3, 48_000)
    folder = write_deepfilternet2(tmp_path / "a", conv_channels=16, hidden=64)
    first = cleaned(engine_on(folder), samples)
    (kept,) = (folder / "checkpoints").glob("*.onnx")
    kept.write_bytes(kept.read_bytes()[:1000])
    assert np.array_equal(cleaned(engine_on(folder), samples), first)


def test_the_environment_and_other_peoples_logging_stay_out_of_it(full_size: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from loguru import logger
logger.remove()
logger.add(sys.stdout, format="{{message}}")
from clearcast.engines.denoise.contract import DenoiseEngine
from clearcast.engines.engine import EngineContext, make_engine
options = {{"model": {str(full_size)!r}, "device": "cpu"}}
engine = make_engine(DenoiseEngine, "deepfilternet2", options, EngineContext(Path(".")))
engine.load()
print(engine.open_stream(48_000, 1).delay_samples)
logger.info("still heard")
"""
    environment = {
        **os.environ,
        "MODEL": "nonsense",
        "SR": "8000",
        "CONV_CH": "3",
        "DEVICE": "none",
        "PATH": "",
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout.split("\n")) == (0, ["2400", "still heard", ""]), done.stderr


def test_damaged_and_missing_models_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="clearcast models pull deepfilternet2"):
        make_engine(DenoiseEngine, "deepfilternet2", {}, EngineContext(tmp_path)).load()
    with pytest.raises(ModelMissing):
        engine_on(tmp_path / "none")
    good = write_deepfilternet2(tmp_path / "good", conv_channels=16, hidden=64)

    def damaged(name: str) -> tuple[Path, Path]:
        folder = Path(shutil.copytree(good, tmp_path / name))
        return folder, folder / "checkpoints" / "model_96.ckpt.best"

    folder, checkpoint = damaged("cut off")
    checkpoint.write_bytes(checkpoint.read_bytes()[:10_000])
    with pytest.raises(ModelCorrupt):
        engine_on(folder)
    folder, checkpoint = damaged("empty")
    checkpoint.unlink()
    with pytest.raises(ModelCorrupt):
        engine_on(folder)
    folder, _ = damaged("of another shape")
    text = (folder / "config.ini").read_text()
    (folder / "config.ini").write_text(text.replace("conv_ch = 16", "conv_ch = 32"))
    with pytest.raises(ModelCorrupt):
        engine_on(folder)
    folder, _ = damaged("of another kind")
    (folder / "config.ini").write_text(text.replace("model = deepfilternet2", "model = deepfilternet3"))
    with pytest.raises(ModelCorrupt):
        engine_on(folder)
    (folder / "config.ini").write_text("nonsense")
    with pytest.raises(ModelCorrupt):
        engine_on(folder)


def test_a_pulled_model_is_found_by_its_name(
    deepfilternet2_folder: Path, adopt_model: Callable[..., EngineContext]
) -> None:
    context = adopt_model("denoise", "deepfilternet2", "deepfilternet2", deepfilternet2_folder)
    engine = make_engine(DenoiseEngine, "deepfilternet2", {"device": "cpu"}, context)
    engine.load()
    assert engine.model_name == "deepfilternet2"
