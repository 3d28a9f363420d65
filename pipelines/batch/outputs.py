"""Results of one file at their destination: written each whole, then the record, as the sign that all are.

What lives here: which files the results become, and their names. What does not: making the results
(`file_work.py`, and the jobs of a server), and whether that is to be done at all (`plan.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clearcast.audio.sound import encode_sound
from clearcast.speech.extraction import Extracted
from clearcast.speech.extraction_file import write_extracted
from clearcast.speech.formats import FORMATS, write_result
from clearcast.speech.keywords import Keywords
from clearcast.speech.keywords_file import Classified, write_keywords, write_table
from pipelines.batch.figures import figures_of, makers_of
from pipelines.batch.plan import BatchOrder, Item
from pipelines.batch.record import Record, record_name
from pipelines.recipe import Document, KeptSound, RecipeResult

KEEP = "keep"  # the stage in which results are written

Put = Callable[[str, Path], None]
"""Brings a file of this machine to its name below the destination."""


@dataclass(frozen=True, slots=True)
class Made:
    """What the work on a file gave.

    Attributes:
        duration_s: of the recording.
        sha256: of its file, None where nobody read it for that.
        stages_s: seconds each stage took, by its group.
    """

    results: Mapping[str, RecipeResult]
    duration_s: float
    sha256: str | None = None
    stages_s: Mapping[str, float] = field(default_factory=dict)


def keep_results(
    order: BatchOrder, item: Item, made: Made, folder: Path, sound_path: Callable[[str], Path], put: Put
) -> Record:
    """Write the results and then the record, which is given back. Done again, it writes the same.

    Blocks. Files are made in `folder`; `sound_path` tells where a sound of a name lies. Raises
    OptionInvalid where a format cannot hold a result, and what `put` raises.
    """
    started_s = time.perf_counter()
    outputs: dict[str, int] = {}
    for name, result in made.results.items():
        for file in _files_of(order, item, name, result, folder, sound_path):
            target = f"{item.name}.{name}{file.suffix}"
            outputs[target] = file.stat().st_size
            put(target, file)
    record = Record(
        source=item.source,
        size_bytes=item.size_bytes,
        version=item.version,
        sha256=made.sha256,
        order_key=order.key_of(item),
        run_id=order.run_id,
        outcome="done",
        duration_s=made.duration_s,
        stages_s={**made.stages_s, KEEP: time.perf_counter() - started_s},
        engine="; ".join(map(str, makers_of(made.results))),
        figures=figures_of(made.results),
        outputs=outputs,
    )
    put_record(order, item, record, folder, put)
    return record


def put_record(order: BatchOrder, item: Item, record: Record, folder: Path, put: Put) -> None:
    document = folder / "record.json"
    document.write_bytes(record.document())
    put(record_name(order.pipeline, item.name), document)


def _files_of(
    order: BatchOrder,
    item: Item,
    name: str,
    result: RecipeResult,
    folder: Path,
    sound_path: Callable[[str], Path],
) -> Iterator[Path]:
    if isinstance(result, KeptSound):
        packed = folder / f"out-{result.name}.{order.sound_format}"
        encode_sound(sound_path(result.name), packed, order.sound_format, order.bits)
        yield packed
        return
    for suffix, text in _texts_of(order, item, result).items():
        file = folder / f"out-{name}{suffix}"
        file.write_text(text, encoding="utf-8", newline="\n")
        yield file


def _texts_of(order: BatchOrder, item: Item, result: Document) -> Mapping[str, str]:
    """The document in each of its formats, by the ending of its file."""
    if isinstance(result, Extracted):
        return {".json": write_extracted(result)}
    if isinstance(result, Keywords):
        return {
            ".json": write_keywords(result),
            ".csv": write_table([Classified(item.name, result)], "csv"),
        }
    recording = Path(item.name).name
    return {FORMATS[form].suffix: write_result(result, form, recording) for form in order.formats}
