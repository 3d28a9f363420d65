"""Where a line of text may be broken, and how wide it is.

What lives here: columns, the pieces that a line break must not divide, and laying out one or two balanced
lines. What does not: deciding which words share a subtitle and when it is shown (`cues`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from clearcast.speech.transcript import Segment

LINE_COLUMNS = 42  # the limit most broadcasters give for alphabetic scripts

_BLANKS = re.compile(r"[^\S\u00a0\u202f]+")  # no-break spaces hold their neighbours together
_JOINERS = "\u200c\u200d\u2060"  # zero-width non-joiner, joiner, word joiner
_MAY_NOT_START = "ー々ゝゞヽヾぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ〜～゛゜%％"
_MAX_MARKS = 15  # more marks on one character than any script needs
_CLOSING_MARKS = "\"'”’»›)]}」』）】〉》"
_SENTENCE_ENDS = ".!?…؟۔。！？．।"
_CLAUSE_ENDS = ",;:،؛、，；：—–"


@dataclass(frozen=True, slots=True)
class Atom:
    """A piece of text that no line break divides, with its time.

    `spaced` tells that a space stands before it, except at the start of a line.
    """

    text: str
    spaced: bool
    start_ms: int
    end_ms: int

    @property
    def columns(self) -> int:
        """Its width and that of the space before it."""
        return columns(self.text) + self.spaced


def columns(text: str) -> int:
    """Width of a text: two for each wide East Asian character or emoji, one for every other code point.

    Joiners and combining marks count too, although they take no room: the limit then holds for players and
    checkers that count code points.
    """
    if text.isascii():
        return len(text)
    return sum(2 if _is_wide(character) else 1 for character in text)


def joint(before: str, after: str) -> str:
    """What to put between two stretches of text: nothing between ideographs or kana, else a space."""
    return "" if before and after and _is_ideographic(before[-1]) and _is_ideographic(after[0]) else " "


def joined(texts: Sequence[str]) -> str:
    """The texts as one, with `joint` between them."""
    whole = ""
    for text in texts:
        whole += (joint(whole, text) if whole else "") + text
    return whole


def ends_sentence(text: str) -> bool:
    return text.rstrip(_CLOSING_MARKS)[-1:] in set(_SENTENCE_ENDS)


def ends_clause(text: str) -> bool:
    return text.rstrip(_CLOSING_MARKS)[-1:] in set(_CLAUSE_ENDS)


def may_break(before: str, after: str) -> bool:
    """Whether a line may end between two characters that no space parts.

    True beside ideographs and kana, but not before closing marks and small kana nor after opening ones
    (after UAX #14, classes CL, CJ, NS and OP). False within what is shown as one character.
    """
    if _is_one_character(before, after):
        return False
    if unicodedata.category(after) in {"Pe", "Pf", "Po"} or after in _MAY_NOT_START:
        return False
    if unicodedata.category(before) in {"Ps", "Pi"}:
        return False
    return _is_ideographic(before) or _is_ideographic(after)


def atoms_of(segment: Segment) -> list[Atom]:
    """The segment's text as atoms in order, with the words' times or, lacking those, times by length."""
    atoms: list[Atom] = []
    for chunk in _chunks(segment):
        for piece in _pieces(chunk):
            previous = atoms[-1] if atoms else None
            if previous is None or piece.spaced or may_break(previous.text[-1], piece.text[0]):
                atoms.append(piece)
            else:
                atoms[-1] = replace(previous, text=previous.text + piece.text, end_ms=piece.end_ms)
    return [part for atom in atoms for part in _parts_that_fit(atom)]


def balanced_lines(atoms: Sequence[Atom], lead_columns: int = 0) -> tuple[str, ...]:
    """One line where all fits, else two of like length, rather broken at a sentence or clause end.

    `lead_columns` are taken from the first line by what will be written before it.
    """
    if lead_columns + width(atoms) <= LINE_COLUMNS:
        return (text_of(atoms),)

    def cost(index: int) -> tuple[bool, float]:
        upper = lead_columns + width(atoms[:index])
        lower = width(atoms[index:])
        before = atoms[index - 1].text if index else ""
        bonus = 12 if ends_sentence(before) else 8 if ends_clause(before) else 0
        return max(upper, lower) > LINE_COLUMNS, abs(upper - lower) - bonus

    first = 0 if lead_columns else 1
    cut = min(range(first, len(atoms)), key=cost)
    return text_of(atoms[:cut]), text_of(atoms[cut:])


def width(atoms: Sequence[Atom]) -> int:
    """Columns of the atoms on one line."""
    return sum(atom.columns for atom in atoms) - atoms[0].spaced if atoms else 0


def text_of(atoms: Sequence[Atom]) -> str:
    """The atoms on one line."""
    return "".join(f" {atom.text}" if atom.spaced else atom.text for atom in atoms).removeprefix(" ")


def _chunks(segment: Segment) -> Iterator[Atom]:
    """Words where they say the same as the text, else the text's own pieces between spaces."""
    if segment.words and _letters(segment.text) == _letters("".join(w.text for w in segment.words)):
        for word in segment.words:
            whole = Atom(word.text, not word.joins_previous, _ms(word.start_s), _ms(word.end_s))
            yield from _split(whole, [part for part in _BLANKS.split(word.text) if part])
    else:
        whole = Atom(segment.text, True, _ms(segment.start_s), _ms(segment.end_s))
        yield from _split(whole, [part for part in _BLANKS.split(segment.text) if part])


def _pieces(chunk: Atom) -> Iterator[Atom]:
    """The chunk cut wherever a line may break within it."""
    text = chunk.text
    cuts = [0, *(i for i in range(1, len(text)) if may_break(text[i - 1], text[i])), len(text)]
    parts = [text[start:stop] for start, stop in pairwise(cuts)]
    yield from _split(chunk, parts, spaced=False)


def _parts_that_fit(atom: Atom) -> list[Atom]:
    """The atom, or, where it is longer than a line (a web address), parts of it that are not."""
    if columns(atom.text) <= LINE_COLUMNS:
        return [atom]
    parts = [""]
    for character in _shown_characters(atom.text):
        if columns(parts[-1] + character) > LINE_COLUMNS:
            parts.append("")
        parts[-1] += character
    return list(_split(atom, parts, spaced=False))


def _shown_characters(text: str) -> Iterator[str]:
    """The text by what is shown as one character, a base with its marks; endless marks are cut off."""
    shown = ""
    for character in text:
        if shown and (len(shown) > _MAX_MARKS or not _is_one_character(shown[-1], character)):
            yield shown
            shown = ""
        shown += character
    yield shown


def _split(whole: Atom, parts: Sequence[str], *, spaced: bool = True) -> Iterator[Atom]:
    """The parts as atoms that share the time of the whole by width; `spaced` is for all but the first."""
    total = sum(columns(part) for part in parts)
    length_ms = max(0, whole.end_ms - whole.start_ms)
    done = 0
    for index, part in enumerate(parts):
        start_ms = whole.start_ms + length_ms * done // total
        done += columns(part)
        end_ms = whole.start_ms + length_ms * done // total
        yield Atom(part, whole.spaced if index == 0 else spaced, start_ms, end_ms)


def _ms(time_s: float) -> int:
    return round(time_s * 1000)


def _letters(text: str) -> str:
    return _BLANKS.sub("", text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in {"W", "F"}


def _is_ideographic(character: str) -> bool:
    """Scripts without spaces between words (and emoji); Hangul is wide but has spaces."""
    return _is_wide(character) and not "\uac00" <= character <= "\ud7a3"


def _is_start(character: str) -> bool:
    return unicodedata.category(character) not in {"Mn", "Mc", "Me"} and character not in _JOINERS


def _is_one_character(before: str, after: str) -> bool:
    """Whether both are shown as one: marks, joiners, variation selectors, skin tones, flags."""
    if not _is_start(after) or before in _JOINERS:
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff":  # emoji modifiers
        return True
    return all("\U0001f1e6" <= character <= "\U0001f1ff" for character in (before, after))
