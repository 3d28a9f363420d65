"""A keyword model on disk: a folder with `model.onnx` and `keywords.json`.

What lives here: what the folder must hold, reading it, and the shipped one. What does not: making one
(`training/model_folder_writer`) and running the network (the engine).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from clearcast.engines.model_choice import check_files, given_folder, is_path, published
from clearcast.errors import ModelCorrupt

NETWORK_FILE, FACTS_FILE = "model.onnx", "keywords.json"
SHIPPED = {"persian-digits": Path(__file__).with_name("persian-digits")}
"""Models that come with ClearCast, by name."""

_FORMAT = "clearcast-keywords-1"  # counts changes of features and files that make old folders useless
_MOST_FRAMES = 1000


@dataclass(frozen=True, slots=True)
class KeywordModel:
    """What `keywords.json` says.

    Attributes:
        name: of the model, as results show it.
        labels: the keywords; the network's classes are these, then "unknown" and "silence".
        input_frames: of the network's input, 10 ms each.
        min_probability: below it a keyword does not count as recognised.
    """

    name: str
    labels: tuple[str, ...]
    input_frames: int
    min_probability: float

    def to_json(self) -> str:
        return json.dumps({"format": _FORMAT, **asdict(self)}, ensure_ascii=False, indent=1) + "\n"


def folder_of(model: str) -> Path:
    """The folder of a shipped model by name, or one given by path. Raises SettingsInvalid, ModelMissing."""
    if is_path(model):
        return given_folder(model, "residual_cnn")
    return published(model, SHIPPED, "keyword model")


def read_model(folder: Path) -> KeywordModel:
    """What the folder says of its model. Raises ModelCorrupt."""
    check_files(folder, (NETWORK_FILE, FACTS_FILE), "keyword model")
    try:
        facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        if facts.pop("format", None) != _FORMAT:
            raise ModelCorrupt(f"{folder / FACTS_FILE} is of another format than {_FORMAT}.")
        model = TypeAdapter(KeywordModel).validate_python(facts)
    except (ValueError, AttributeError, TypeError, ValidationError) as error:
        raise ModelCorrupt(f"{folder / FACTS_FILE} cannot be read.") from error
    if (
        len(set(model.labels)) != len(model.labels)
        or not model.labels
        or not 0.0 <= model.min_probability <= 1.0
        or not 1 <= model.input_frames <= _MOST_FRAMES
    ):
        raise ModelCorrupt(f"{folder / FACTS_FILE} contradicts itself.")
    return model
