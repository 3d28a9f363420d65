"""DeepFilterNet2's exported step, as it is kept beside the checkpoint: read and run without PyTorch.

What lives here: the files, and the session. What does not: making them (`_dfn_onnx`). A process of live
denoising starts in a second this way; importing PyTorch and upstream's package takes several. Heavy:
imported inside `load()` only.

    stream-<digest>.json    what else of the checkpoint's config is needed (`StreamParams`); written first
    stream-<digest>.onnx    the network's step

The digest covers the checkpoint, its config and the version of the export.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from clearcast.audio.atomic import whole_or_absent
from clearcast.errors import ModelCorrupt

logger = logging.getLogger(__name__)

Arrays = list[npt.NDArray[np.float32]]
Step = Callable[[Arrays], Arrays]

FEATURES = ("spec", "feat_erb", "feat_spec")
_EXPORT_VERSION = 2  # counts changes of `StreamStep` or of these files


@dataclass(frozen=True, slots=True)
class StreamParams:
    """Upstream's `ModelParams`, as far as a stream needs them, under upstream's names.

    Attributes:
        sr: in Hz.
        fft_size, hop_size: in samples.
        nb_erb, nb_df: bands, and bins that are filtered.
        min_nb_freqs: bins a band has at least.
        conv_lookahead, df_lookahead: in frames.
        alpha: decay per hop of the features' running means.
    """

    sr: int
    fft_size: int
    hop_size: int
    nb_erb: int
    nb_df: int
    min_nb_freqs: int
    conv_lookahead: int
    df_lookahead: int
    alpha: float

    @classmethod
    def of(cls, params: Any, alpha: float) -> StreamParams:
        """From upstream's own."""
        names = [name for name in cls.__slots__ if name != "alpha"]
        return cls(**{name: int(getattr(params, name)) for name in names}, alpha=alpha)


@dataclass(frozen=True, slots=True)
class StreamNetwork:
    """Attributes:
    step: features and state in, spectrum and state out, as `_dfn_network.StreamStep`.
    state: before the first frame.
    """

    step: Step
    state: Arrays
    params: StreamParams


@dataclass(frozen=True, slots=True)
class KeptExport:
    """Where the export of one checkpoint is, or will be. Raises OSError for a checkpoint that is gone."""

    onnx: Path
    params: Path

    @classmethod
    def of(cls, folder: Path, post_filter: bool) -> KeptExport:
        """Raises ModelCorrupt."""
        digest = hashlib.sha256(str(_EXPORT_VERSION).encode())
        checkpoint = checkpoint_of(folder)
        for source in (checkpoint, folder / "config.ini"):
            digest.update(source.read_bytes())
        name = f"stream-{digest.hexdigest()[:16]}{'-pf' if post_filter else ''}"
        return cls(checkpoint.parent / f"{name}.onnx", checkpoint.parent / f"{name}.json")

    def read(self, threads: int) -> StreamNetwork | None:
        """None where nothing was kept, or what was kept cannot be read."""
        try:
            params = StreamParams(**json.loads(self.params.read_text(encoding="utf-8")))
            return network_of(self.onnx.read_bytes(), params, threads)
        except FileNotFoundError:
            return None
        except Exception as error:  # half a file, or one of another kind: it is made anew
            logger.warning(
                "kept network not readable", extra={"path": str(self.onnx), "reason": str(error)}
            )
            return None

    def write(self, content: bytes, params: StreamParams) -> None:
        """Where that is not possible, it is made anew each time."""
        try:
            with whole_or_absent(self.params) as temporary:
                temporary.write_text(json.dumps(asdict(params)), encoding="utf-8")
            with whole_or_absent(self.onnx) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            logger.warning(
                "exported network not kept", extra={"path": str(self.onnx), "reason": str(error)}
            )


def network_of(content: bytes, params: StreamParams, threads: int) -> StreamNetwork:
    """An exported graph by ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads would spin for the next block and take a core from others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    names = [one.name for one in inputs]
    state = [np.zeros(one.shape, np.float32) for one in inputs[len(FEATURES) :]]

    def run(arrays: Arrays) -> Arrays:
        results: Arrays = session.run(None, dict(zip(names, arrays, strict=True)))
        return results

    return StreamNetwork(run, state, params)


def checkpoint_of(folder: Path) -> Path:
    """The checkpoint that upstream takes: the best of the latest epoch. Raises ModelCorrupt."""
    found = [
        path for path in (folder / "checkpoints").glob("model_*.ckpt.best") if _epoch(path) is not None
    ]
    if not found or not (folder / "config.ini").is_file():
        raise ModelCorrupt(f"{folder} does not hold config.ini and checkpoints/model_<epoch>.ckpt.best.")
    return max(found, key=lambda path: _epoch(path) or 0)


def _epoch(path: Path) -> int | None:
    number = path.name.split(".")[0].removeprefix("model_")
    return int(number) if number.isdecimal() else None
