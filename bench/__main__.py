"""Run the measurements, print a table and write `bench/results.json`.

    make bench                 all of them
    make bench ONLY=diar       those whose module name or area contains "diar"

Results of modules that were not run this time are kept in the file.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import bench
from bench.row import Row
from clearcast.privacy import forbid_telemetry

RESULTS = Path(__file__).resolve().parent / "results.json"
console = Console()


def modules(pattern: str) -> Iterator[str]:
    """Names of the modules that measure something and match the pattern."""
    for info in pkgutil.iter_modules(bench.__path__):
        if not info.name.startswith("_") and pattern in info.name:
            module = importlib.import_module(f"bench.{info.name}")
            if hasattr(module, "rows"):
                yield info.name


def measure(name: str) -> list[Row]:
    """All rows of one module, told as they come."""
    started_s = time.monotonic()
    found: list[Row] = []
    for row in importlib.import_module(f"bench.{name}").rows():
        found.append(row)
        console.log(f"{row.area} · {row.case} · {row.metric}: {row.value:.4g} {row.unit}")
    console.log(f"{name} took {time.monotonic() - started_s:.0f} s")
    return found


def table(results: dict[str, list[dict[str, Any]]]) -> Table:
    columns = ("area", "case", "metric", "value", "unit", "reference", "ratio")
    shown = Table(*columns, title="ClearCast bench")
    for rows in results.values():
        for row in rows:
            cells = [row[column] for column in columns]
            shown.add_row(*[f"{c:.4g}" if isinstance(c, float) else str(c or "") for c in cells])
    return shown


def main(pattern: str = "") -> None:
    forbid_telemetry()
    old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    chosen = list(modules(pattern))
    if not chosen:
        sys.exit(f"No measurement is called like {pattern!r}.")
    results: dict[str, list[dict[str, Any]]] = dict(old)
    for name in chosen:
        results[name] = [asdict(row) for row in measure(name)]
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    console.print(table({name: results[name] for name in chosen}))
    console.print(f"Written to {RESULTS.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
