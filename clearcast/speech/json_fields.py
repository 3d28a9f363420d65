"""Strict reading of JSON objects: every error names the place, such as segments[3].words[0].start_s.

What lives here: `parse_object` and typed access to one object's fields. What does not: any schema
(`json_file`, and `clearcast.storage.voices`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Never

from clearcast.errors import FileFormatInvalid

MAX_NUMBER = 1e12


def parse_object(text: str | bytes, what: str) -> dict[str, Any]:
    """The JSON object (RFC 8259) in `text`; `what` names the file in errors, for example "voices file".

    Raises FileFormatInvalid for what is not JSON, not UTF-8, not an object, nested too deeply, gives a name
    twice or holds NaN or Infinity, which JSON does not have.
    """

    def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twin = next(name for name in names if names.count(name) > 1)
            raise FileFormatInvalid(f"The {what} gives the name {twin[:80]!r} twice.")
        return found

    def refuse(constant: str) -> Never:
        raise FileFormatInvalid(f"The {what} holds {constant}, which is not a number in JSON.")

    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        value = json.loads(decoded, object_pairs_hook=without_twins, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise FileFormatInvalid(
            f"The {what} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            line=error.lineno,
        ) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, a number of thousands of digits, or too deep
        raise FileFormatInvalid(f"The {what} is not JSON that can be read: {error}.") from error
    if not isinstance(value, dict):
        raise FileFormatInvalid(f"The {what} must hold a JSON object, not {_kind(value)}.")
    return value


class Fields:
    """One JSON object and its place in the file. Field names that are not in `known` are refused."""

    def __init__(self, value: object, place: str, known: Iterable[str]) -> None:
        if not isinstance(value, dict):
            fail(place, f"must be an object, not {_kind(value)}")
        self.place = place
        self._values: dict[str, Any] = value
        if unknown := value.keys() - set(known):
            fail(self._at(min(unknown)), "is not a field of this format")

    def required(self, name: str) -> Any:
        if name not in self._values:
            fail(self._at(name), "is missing")
        return self._values[name]

    def text(self, name: str) -> str:
        value = self.required(name)
        if not isinstance(value, str):
            fail(self._at(name), f"must be text, not {_kind(value)}")
        if any("\ud800" <= character <= "\udfff" for character in value):
            fail(self._at(name), "holds half a surrogate pair, which is no text")
        return value

    def text_or_none(self, name: str) -> str | None:
        return None if self._values.get(name) is None else self.text(name)

    def number(self, name: str, low: float = -MAX_NUMBER, high: float = MAX_NUMBER) -> float:
        value = self.required(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            fail(self._at(name), f"must be a number, not {_kind(value)}")
        if not (low <= value <= high and math.isfinite(value)):
            fail(self._at(name), f"is {str(value)[:20]}, which does not lie between {low:g} and {high:g}")
        return float(value)

    def number_or_none(self, name: str, low: float = -MAX_NUMBER, high: float = MAX_NUMBER) -> float | None:
        return None if self._values.get(name) is None else self.number(name, low, high)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            fail(self._at(name), f"must be true or false, not {_kind(value)}")
        return value

    def items(self, name: str) -> list[tuple[str, Any]]:
        """(place, value) of each item of a list."""
        value = self.required(name)
        if not isinstance(value, list):
            fail(self._at(name), f"must be a list, not {_kind(value)}")
        return [(f"{self._at(name)}[{index}]", item) for index, item in enumerate(value)]

    def objects(self, name: str, known: Iterable[str]) -> list[Fields]:
        return [Fields(value, place, known) for place, value in self.items(name)]

    def object(self, name: str, known: Iterable[str]) -> Fields:
        return Fields(self.required(name), self._at(name), known)

    def object_or_none(self, name: str, known: Iterable[str]) -> Fields | None:
        return None if self._values.get(name) is None else self.object(name, known)

    def _at(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name


def fail(place: str, reason: str) -> Never:
    """Raise FileFormatInvalid for a place in a file."""
    raise FileFormatInvalid(f"{place[:200] or 'The file'} {reason}.", place=place)


def _kind(value: object) -> str:
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
