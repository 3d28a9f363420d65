"""Manifests: lists of recordings, each with options of its own, as CSV or JSONL.

What lives here: reading one. What does not: where its recordings are (`sources.py`,
`bucket_recordings.py`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from clearcast.errors import FileFormatInvalid
from clearcast.speech.formats import decode_text
from clearcast.storage.places import S3

MANIFESTS = {".csv", ".jsonl"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a manifest: `file` as it stands there, and the pipeline's options for it."""

    file: str
    options: Mapping[str, Any]

    @property
    def is_below(self) -> bool:
        """Whether the file lies in or below the manifest's own folder."""
        path = PurePosixPath(self.file)
        return not self.file.startswith(S3) and not path.is_absolute() and ".." not in path.parts


def is_manifest(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in MANIFESTS


def read_manifest(name: str, content: bytes) -> Iterator[Entry]:
    """The entries of the manifest `name`. The column or field `file` names a recording; every other one is
    an option of the pipeline for this recording.

    Raises FileFormatInvalid.
    """
    for number, row in enumerate(_rows(name, content), 1):
        file = row.pop("file", None)
        if not isinstance(file, str) or not file:
            raise FileFormatInvalid(f"{name}, entry {number}: `file` must name a recording.")
        yield Entry(file, row)


def _rows(name: str, content: bytes) -> Iterator[dict[str, Any]]:
    lines = decode_text(content).splitlines()
    if name.lower().endswith(".csv"):
        reader = csv.DictReader(lines)
        for row in reader:
            if None in row:
                raise FileFormatInvalid(f"{name}, line {reader.line_num}: more fields than columns.")
            yield {key: value if key == "file" else _value(value) for key, value in row.items() if value}
        return
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = _parsed(line)
            if not isinstance(row, dict):
                raise FileFormatInvalid(f"{name}, line {number}: not a JSON object.")
            yield row


def _value(text: str) -> Any:
    """JSON where it reads as JSON, else text; as on the command line."""
    value = _parsed(text)
    return text if value is None and text.strip() != "null" else value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
