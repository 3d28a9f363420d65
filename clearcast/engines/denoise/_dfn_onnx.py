"""DeepFilterNet2's step in ONNX Runtime: exported once from the loaded checkpoint, kept beside it.

What lives here: the export, its cache and the session. What does not: the step itself (`_dfn_network`).
Heavy: imported inside `load()` only.
"""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from clearcast.audio.atomic import whole_or_absent
from clearcast.engines.denoise._dfn_network import STATE_NAMES, StreamStep

logger = logging.getLogger(__name__)

Arrays = list[npt.NDArray[np.float32]]
Step = Callable[[Arrays], Arrays]

_EXPORT_VERSION = 1  # counts changes of `StreamStep` that change the exported graph
_OPSET = 17
_FEATURES = ("spec", "feat_erb", "feat_spec")
_TIME_AXIS = {"spec": {1: "frames"}, "feat_erb": {2: "frames"}, "feat_spec": {2: "frames"}}


def onnx_step(step: StreamStep, sources: tuple[Path, ...], threads: int) -> Step:
    """`step` by ONNX Runtime on the CPU. `sources` are the files that the checkpoint was read from."""
    path = _cached_at(sources, step.post_filter)
    model = path.read_bytes() if path.is_file() else _exported(step, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads would spin for the next block and take a core from others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [*_FEATURES, *STATE_NAMES]

    def run(arrays: Arrays) -> Arrays:
        results: Arrays = session.run(None, dict(zip(names, arrays, strict=True)))
        return results

    return run


def torch_step(step: StreamStep, device: str) -> Step:
    """`step` by torch itself."""
    step = step.to(device)

    def run(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            results = step(*(torch.from_numpy(array).to(device) for array in arrays))
        return [result.cpu().numpy() for result in results]

    return run


def _cached_at(sources: tuple[Path, ...], post_filter: bool) -> Path:
    digest = hashlib.sha256(str(_EXPORT_VERSION).encode())
    for source in sources:
        digest.update(source.read_bytes())
    suffix = "-pf" if post_filter else ""
    return sources[0].parent / f"stream-{digest.hexdigest()[:16]}{suffix}.onnx"


def _exported(step: StreamStep, path: Path) -> bytes:
    """The graph; kept at `path` where that can be written."""
    frames = 3
    example = (
        torch.zeros(1, frames, step.bins, 2),
        torch.zeros(1, 1, frames, step.bands),
        torch.zeros(1, 2, frames, step.df_bins),
        *step.initial_state(),
    )
    content = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # on the old exporter; the new one needs more and gave less here
        torch.onnx.export(
            step,
            example,
            content,  # type: ignore[arg-type]  # the old exporter takes files too
            input_names=[*_FEATURES, *STATE_NAMES],
            output_names=["out", *(f"{name}_after" for name in STATE_NAMES)],
            dynamic_axes={**_TIME_AXIS, "out": {1: "frames"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    try:
        with whole_or_absent(path) as temporary:
            temporary.write_bytes(content.getvalue())
    except OSError as error:
        logger.warning("exported network not kept", extra={"path": str(path), "reason": str(error)})
    return content.getvalue()
