"""What a training run leaves: the model's folder, whole or not at all.

What lives here: the network as ONNX with half-precision weights, and putting the folder in its place. What
does not: the card (`card`) and the charts (`charts`).
"""

from __future__ import annotations

import io
import shutil
import uuid
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from clearcast.engines.classify._features import COEFFICIENTS
from clearcast.engines.classify._model_folder import FACTS_FILE, NETWORK_FILE, KeywordModel
from clearcast.engines.classify.training.card import Story, write_card
from clearcast.engines.classify.training.charts import draw_confusion, draw_curves
from clearcast.engines.classify.training.outcome import Trained
from clearcast.errors import Conflict, NotFound

CARD_FILE, CURVES_FILE, CONFUSION_FILE = "README.md", "curves.png", "confusion.png"
_OPSET = 17
_SMALLEST = 64  # numbers; smaller tensors gain nothing by half precision


def check_target(folder: Path) -> None:
    """Raises NotFound without a place for the folder, Conflict when something is there already."""
    if folder.exists():
        raise Conflict(f"{folder} is there already.", hint="Name another folder, or move that one away.")
    if not folder.resolve().parent.is_dir():
        raise NotFound(f"There is no folder {str(folder.parent)!r} to write the model to.")


def write_model(trained: Trained, folder: Path, story: Story) -> None:
    """Write all files of a model to `folder`, which must not exist. Raises Conflict, NotFound."""
    check_target(folder)
    beside = folder.with_name(f".{uuid.uuid4().hex}.part")
    beside.mkdir()
    try:
        model = KeywordModel(folder.name, trained.labels, trained.input_frames, trained.min_probability)
        (beside / FACTS_FILE).write_text(model.to_json(), encoding="utf-8")
        (beside / NETWORK_FILE).write_bytes(to_onnx(trained))
        (beside / CARD_FILE).write_text(write_card(trained, folder.name, story), encoding="utf-8")
        draw_curves(trained.history, beside / CURVES_FILE)
        draw_confusion(trained, beside / CONFUSION_FILE)
        beside.rename(folder)
    except FileExistsError as error:
        raise Conflict(f"{folder} has come into being meanwhile.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def to_onnx(trained: Trained) -> bytes:
    """The network: "features" (batch, COEFFICIENTS, frames) → "scores" (batch, classes)."""
    content = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # on the old exporter, which needs no further package
        torch.onnx.export(
            trained.network.eval(),
            (torch.zeros(1, COEFFICIENTS, trained.input_frames),),
            content,  # type: ignore[arg-type]  # the old exporter takes files too
            input_names=["features"],
            output_names=["scores"],
            dynamic_axes={"features": {0: "batch"}, "scores": {0: "batch"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    halved: bytes = _halved(onnx.load_model_from_string(content.getvalue())).SerializeToString()
    return halved


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The weights at half precision, widened again when they are loaded: half the file, the same speed."""
    widened = []
    for weights in model.graph.initializer:
        if weights.data_type != TensorProto.FLOAT or np.prod(weights.dims) < _SMALLEST:
            continue
        name = weights.name
        half = numpy_helper.from_array(numpy_helper.to_array(weights).astype(np.float16), f"{name}.half")
        weights.CopyFrom(half)
        widened.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
    for node in reversed(widened):
        model.graph.node.insert(0, node)
    return model
