"""DeepFilterNet2's step out of PyTorch: exported to ONNX, or run as it is.

What lives here: both. What does not: the step itself (`_dfn_network`), keeping and running what was
exported (`_dfn_kept`). Heavy: imported inside `load()` only.
"""

from __future__ import annotations

import io
import warnings

import torch

from clearcast.engines.denoise._dfn_kept import FEATURES, Arrays, StreamNetwork, StreamParams
from clearcast.engines.denoise._dfn_network import STATE_NAMES, StreamStep

_OPSET = 17
_TIME_AXIS = {"spec": {1: "frames"}, "feat_erb": {2: "frames"}, "feat_spec": {2: "frames"}}


def torch_network(step: StreamStep, params: StreamParams, device: str) -> StreamNetwork:
    """`step` by torch itself."""
    state = [tensor.numpy() for tensor in step.initial_state()]
    step = step.to(device)

    def run(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            results = step(*(torch.from_numpy(array).to(device) for array in arrays))
        return [result.cpu().numpy() for result in results]

    return StreamNetwork(run, state, params)


def exported(step: StreamStep) -> bytes:
    """The graph; its inputs are the features, then the state, which is zero before the first frame."""
    state = step.initial_state()
    assert not any(tensor.any() for tensor in state)
    frames = 3
    example = (
        torch.zeros(1, frames, step.bins, 2),
        torch.zeros(1, 1, frames, step.bands),
        torch.zeros(1, 2, frames, step.df_bins),
        *state,
    )
    content = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # on the old exporter; the new one needs more and gave less here
        torch.onnx.export(
            step,
            example,
            content,  # type: ignore[arg-type]  # the old exporter takes files too
            input_names=[*FEATURES, *STATE_NAMES],
            output_names=["out", *(f"{name}_after" for name in STATE_NAMES)],
            dynamic_axes={**_TIME_AXIS, "out": {1: "frames"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    return content.getvalue()
