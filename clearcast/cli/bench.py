"""`clearcast bench`: measure this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import click

from clearcast.origin import ROOT


@click.command(short_help="Measure this machine.")
@click.argument("patterns", nargs=-1, metavar="[PATTERN …]")
def bench(patterns: Sequence[str]) -> None:
    """Measure accuracy, speed and memory, print a table and write bench/results.json.

    \b
    clearcast bench            everything; takes a while
    clearcast bench diar       what has "diar" in its name
    """
    if not (ROOT / "bench" / "__main__.py").is_file():
        raise click.UsageError("The measurements are part of the source checkout, which is not here.")
    for pattern in patterns or ("",):
        # A process of its own: what is measured must not share memory with this one.
        code = subprocess.call([sys.executable, "-m", "bench", *([pattern] if pattern else [])], cwd=ROOT)
        if code != 0:
            raise click.exceptions.Exit(code)
