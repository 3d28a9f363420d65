"""The table of a batch: a row for each file, as CSV and as Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clearcast.speech.spreadsheets import no_formula
from clearcast.storage.places import Place
from pipelines.batch.plan import Item
from pipelines.batch.record import Record

FIRST = ("file", "outcome", "error_code", "message", "duration_s", "seconds", "engine", "source")


def write_table(
    place: Place, pipeline: str, rows: Iterable[tuple[Item, Record]], temporary: Path
) -> tuple[str, ...]:
    """Write `batch-PIPELINE.csv` and `.parquet`; returns their names. They are made in `temporary`.

    After the columns of every table come the seconds of each stage ("decode_s") and the key figures.
    """
    table = [_row(item, record) for item, record in sorted(rows, key=lambda row: row[0].name)]
    columns = list(dict.fromkeys([*FIRST, *(name for row in table for name in row)]))
    names = []
    for suffix, write in WRITERS.items():
        names.append(f"batch-{pipeline}.{suffix}")
        (temporary / names[-1]).write_bytes(write(columns, table))
        place.put(names[-1], temporary / names[-1])
    return tuple(names)


def _row(item: Item, record: Record) -> dict[str, Any]:
    stages = {f"{stage}_s": round(seconds, 3) for stage, seconds in record.stages_s.items()}
    return {
        "file": item.name,
        "outcome": record.outcome,
        "error_code": record.error_code,
        "message": record.message,
        "duration_s": record.duration_s,
        "seconds": round(sum(record.stages_s.values()), 3),
        "engine": record.engine or None,
        "source": item.source,
        **stages,
        **record.figures,
    }


def csv_of(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The table in UTF-8; what a row does not have is empty, and no name or message is a formula."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: no_formula(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
        for row in rows
    )
    return text.getvalue().encode()


def parquet_of(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    arrays = {name: pa.array(_of_one_type([row.get(name) for row in rows])) for name in columns}
    written = io.BytesIO()
    parquet.write_table(pa.table(arrays), written)
    return written.getvalue()


WRITERS: Mapping[str, Callable[[Sequence[str], Sequence[Mapping[str, Any]]], bytes]] = {
    "csv": csv_of,
    "parquet": parquet_of,
}
"""Tables as bytes, by the name of the format."""


def _of_one_type(values: Sequence[Any]) -> list[Any]:
    """A column holds numbers where all are, else text."""
    for kind in (str, float):
        if any(isinstance(value, kind) for value in values):
            return [None if value is None else kind(value) for value in values]
    return [*values]
