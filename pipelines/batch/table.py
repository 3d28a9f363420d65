"""The table of a batch: a row for each file, as CSV and as Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clearcast.storage.places import Place
from pipelines.batch.plan import Item
from pipelines.batch.record import Record

FIRST = ("file", "outcome", "error_code", "message", "duration_s", "seconds", "engine", "source")


def write_table(
    place: Place, pipeline: str, rows: Iterable[tuple[Item, Record]], temporary: Path
) -> tuple[str, str]:
    """Write `batch-PIPELINE.csv` and `.parquet`; returns their names. They are made in `temporary`.

    After the columns of every table come the seconds of each stage ("decode_s") and the key figures.
    """
    table = [_row(item, record) for item, record in sorted(rows, key=lambda row: row[0].name)]
    columns = list(dict.fromkeys([*FIRST, *(name for row in table for name in row)]))
    names = (f"batch-{pipeline}.csv", f"batch-{pipeline}.parquet")
    _write_csv(temporary / names[0], columns, table)
    _write_parquet(temporary / names[1], columns, table)
    for name in names:
        place.put(name, temporary / name)
    return names


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


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    arrays = {name: pa.array(_of_one_type([row.get(name) for row in rows])) for name in columns}
    parquet.write_table(pa.table(arrays), path)


def _of_one_type(values: Sequence[Any]) -> list[Any]:
    """A column holds numbers where all are, else text."""
    for kind in (str, float):
        if any(isinstance(value, kind) for value in values):
            return [None if value is None else kind(value) for value in values]
    return [*values]
