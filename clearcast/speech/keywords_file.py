"""Keywords as files: the JSON document of one recording, and tables of the words of many.

What lives here: JSON ("type": "keywords", the fields of `Keywords` under their names), CSV and TXT. What
does not: who reads the recordings.

A table has one line for each word, in the columns of `COLUMNS`; times are in seconds. A recording without
words has one line with its name alone, and one that could not be read a line with its error's code, so that
every recording is there. TXT is the same between tabs. CSV follows RFC 4180, with "\\n" at line ends; names
that a spreadsheet would take for a formula get an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from clearcast.errors import FileFormatInvalid
from clearcast.speech.json_file import SCHEMA_VERSION
from clearcast.speech.keywords import Keywords
from clearcast.speech.spreadsheets import no_formula

COLUMNS = ("file", "start", "end", "label", "probability", "error")
TABLE_TYPES = {"csv": "text/csv; charset=utf-8", "txt": "text/plain; charset=utf-8"}
"""The tables there are, and their media types."""

_DECIMALS = 4
_ADAPTER = TypeAdapter(Keywords)


@dataclass(frozen=True, slots=True)
class Classified:
    """One recording of a table: its name, and what was found in it or the code of what went wrong."""

    file: str
    found: Keywords | None
    error: str | None = None


def write_keywords(keywords: Keywords) -> str:
    """The JSON document of one recording."""
    document = {"clearcast": SCHEMA_VERSION, "type": "keywords", **_rounded(_ADAPTER.dump_python(keywords))}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def is_keywords(content: bytes) -> bool:
    """Whether a JSON document of ours holds keywords: it says so at its beginning."""
    return b'"type": "keywords"' in content[:64]


def read_keywords(text: str | bytes) -> Keywords:
    """What `write_keywords` wrote. Raises FileFormatInvalid."""
    try:
        document = json.loads(text)
        if (document.pop("clearcast"), document.pop("type")) != (SCHEMA_VERSION, "keywords"):
            raise FileFormatInvalid('Not keywords: it must have "clearcast": 1, "type": "keywords".')
        return _ADAPTER.validate_python(document)
    except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
        raise FileFormatInvalid("Not the JSON of keywords.") from error


def write_table(recordings: Iterable[Classified], format_name: str) -> str:
    """The table of several recordings as "csv" or "txt"."""
    text = io.StringIO()
    if format_name == "csv":
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((no_formula(row[0]), *row[1:]) for row in _rows(recordings))
    else:
        lines = ("\t".join(_one_line(cell) for cell in row).rstrip("\t") for row in _rows(recordings))
        text.writelines(f"{line}\n" for line in lines)
    return text.getvalue()


def write_all(recordings: Iterable[Classified]) -> str:
    """Several recordings as one JSON document: "type": "keywords of files"."""
    files: list[dict[str, Any]] = []
    for one in recordings:
        found = {} if one.found is None else _rounded(_ADAPTER.dump_python(one.found))
        files.append({"file": one.file, "error": one.error, **found})
    document = {"clearcast": SCHEMA_VERSION, "type": "keywords of files", "files": files}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _rows(recordings: Iterable[Classified]) -> Iterator[tuple[str, ...]]:
    for one in recordings:
        if one.found is None or not one.found.words:
            yield one.file, "", "", "", "", one.error or ""
            continue
        for word in one.found.words:
            times = f"{word.start_s:.3f}", f"{word.end_s:.3f}"
            yield one.file, *times, word.label, f"{word.probability:.4f}", ""


def _one_line(cell: str) -> str:
    return " ".join(cell.split())


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DECIMALS)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
