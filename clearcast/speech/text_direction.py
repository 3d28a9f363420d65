"""Left-to-right names beside right-to-left text, and the other way round.

What lives here: finding a text's direction and shutting a name off from the text beside it with Unicode
isolates, so that both are displayed as meant. What does not: reordering; text stays in logical order and
the reader's screen applies the bidirectional algorithm (Unicode Standard Annex #9, "UAX #9").
"""

from __future__ import annotations

import re
import unicodedata

FIRST_STRONG_ISOLATE = "\u2068"
POP_DIRECTIONAL_ISOLATE = "\u2069"

_OPENERS = "\u2066\u2067\u2068"  # left-to-right, right-to-left and first strong isolate
_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")  # embeddings, overrides, isolates
_BLANKS = re.compile(r"[^\S\u00a0\u202f]+")  # all white space but the no-break spaces
_MAX_NAME_CHARACTERS = 120  # a longer stretch before a colon is a sentence, not a name
_PLAIN_NAME = re.compile(rf"([^:\u2066-\u2069]{{1,{_MAX_NAME_CHARACTERS}}}): (.*)", re.DOTALL)


def one_line(text: str) -> str:
    """The text with each run of white space, line ends included, as one space; no-break spaces stay."""
    return _BLANKS.sub(" ", text).strip(" ")


def direction(text: str) -> str | None:
    """ "L" or "R", by the first strong character outside isolates (UAX #9, rules P2 and P3), or None."""
    depth = 0
    for character in text:
        if character in _OPENERS:
            depth += 1
        elif character == POP_DIRECTIONAL_ISOLATE:
            depth = max(0, depth - 1)
        elif depth == 0 and (strong := _strong(character)) is not None:
            return strong
    return None


def without_controls(text: str) -> str:
    """The text without directional embeddings, overrides and isolates, all of which are invisible."""
    return _CONTROLS.sub("", text)


def beside(name: str, text: str) -> str:
    """The name as it is to be written before `text`: isolated where its direction is another one.

    Without the isolate, "Anna: سلام." is laid out left to right and the full stop ends up on the wrong
    side; with it, the line takes the direction of the text (UAX #9 §2.4.2). Directional controls within the
    name could reach into the text and are dropped.
    """
    clean = one_line(without_controls(name))
    base = direction(text)
    strong = {_strong(character) for character in clean} - {None}
    return isolated(clean) if base is not None and strong - {base} else clean


def isolated(name: str) -> str:
    """The name between a first strong isolate and its end."""
    return f"{FIRST_STRONG_ISOLATE}{name}{POP_DIRECTIONAL_ISOLATE}"


def named_line(name: str, text: str) -> str:
    """ "Name: text" on one line, such that `split_name` gives both back.

    A name that could be read otherwise, say with a colon in it, is isolated too: the isolate is its quote.
    """
    line = f"{beside(name, text)}: {text}"
    clean = one_line(without_controls(name))
    return line if split_name(line) == (clean, text) else f"{isolated(clean)}: {text}"


def split_name(line: str) -> tuple[str | None, str]:
    """(name, text) of a line that `named_line` wrote; the name is None where there is none."""
    if line.startswith(FIRST_STRONG_ISOLATE):
        name, end, text = line[1:].partition(f"{POP_DIRECTIONAL_ISOLATE}: ")
        return (name, text) if end else (None, line)
    match = _PLAIN_NAME.fullmatch(line)
    return (match[1], match[2]) if match is not None else (None, line)


def _strong(character: str) -> str | None:
    kind = unicodedata.bidirectional(character)
    return "L" if kind == "L" else "R" if kind in {"R", "AL"} else None
