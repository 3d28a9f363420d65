"""DeepFilterNet's own package, loaded so that it touches nothing but itself.

What lives here: importing `df` next to today's torchaudio, and reading a checkpoint by its own `init_df`.
What does not: running the network (`_dfn_network`). Heavy: imported inside `load()` only.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from loguru import logger

from clearcast.engines.denoise._dfn_kept import checkpoint_of
from clearcast.errors import ModelCorrupt


@dataclass(frozen=True, slots=True)
class Loaded:
    """Attributes:
    model: `df.deepfilternet2.DfNet` in evaluation mode, on the CPU.
    params: its `ModelParams`.
    alpha: decay per hop of the features' running means.
    """

    model: Any
    params: Any
    alpha: float


@dataclass
class _AudioMetaData:
    """What `df.io` imports from torchaudio < 2.9, for type hints only."""

    sample_rate: int = 0
    num_frames: int = 0
    num_channels: int = 0
    bits_per_sample: int = 0
    encoding: str = ""


def import_upstream() -> None:
    """Make `import df` work, quiet, and deaf to the environment; later calls do nothing."""
    if "df.config" not in sys.modules:
        _stand_in_for_old_torchaudio()
    logger.disable("df")
    config = importlib.import_module("df.config")
    # Any option of a model can be overridden by an environment variable of that name, and they are called
    # MODEL, SR, DEVICE …: another program's variable would change the network.
    config.os = SimpleNamespace(environ={}, path=os.path)  # type: ignore[attr-defined]
    # Otherwise the first call removes all handlers of loguru in this process and runs git.
    importlib.import_module("df.logger")._logger_initialized = True  # type: ignore[attr-defined]


def _stand_in_for_old_torchaudio() -> None:
    if importlib.util.find_spec("torchaudio.backend") is not None:
        return
    package, common = ModuleType("torchaudio.backend"), ModuleType("torchaudio.backend.common")
    package.__path__ = []
    package.common = common  # type: ignore[attr-defined]
    common.AudioMetaData = _AudioMetaData  # type: ignore[attr-defined]
    sys.modules["torchaudio.backend"] = package
    sys.modules["torchaudio.backend.common"] = common


def load_upstream(folder: Path) -> Loaded:
    """Read `config.ini` and the best checkpoint in `folder`. Raises ModelCorrupt."""
    import_upstream()
    # `df.enhance` the attribute is a function of that name; the module is found by its path only.
    enhance = importlib.import_module("df.enhance")
    try:
        model, _, _ = enhance.init_df(str(folder), log_file=None, log_level="ERROR")
        params = enhance.ModelParams()
        alpha = enhance.get_norm_alpha(False)
        model = model.to("cpu").eval()
        _refuse_strange_weights(model, folder)
    except SystemExit as error:  # upstream's way of saying that there is no checkpoint
        raise ModelCorrupt(f"The DeepFilterNet model in {folder} has no checkpoint.") from error
    except ModelCorrupt:
        raise
    except Exception as error:  # whatever torch, pickle and the reader of config.ini find wrong
        raise ModelCorrupt(f"The DeepFilterNet model in {folder} cannot be read: {error}") from error
    return Loaded(model, params, float(alpha))


def _refuse_strange_weights(model: Any, folder: Path) -> None:
    """Upstream only logs which weights are missing, and goes on with random ones."""
    stored = torch.load(checkpoint_of(folder), map_location="cpu", weights_only=True)
    stored = {name.replace("clc", "df"): value for name, value in stored.items()}  # as upstream does
    for name, value in model.state_dict().items():
        if name not in stored or stored[name].shape != value.shape:
            raise ModelCorrupt(f"The DeepFilterNet checkpoint in {folder} does not fit its config: {name}.")
        if not torch.isfinite(value).all():
            raise ModelCorrupt(f"The DeepFilterNet checkpoint in {folder} is damaged: {name}.")
