"""Text as search compares it: one folding for what is indexed and for what is asked.

What lives here: what counts as the same letter, what is a word, and which pieces make one word. What does
not: the index (`transcripts.py`) and the language of queries (`query.py`).

One Persian word is written in up to three ways: «می‌خواهم» (with a zero-width non-joiner), «می خواهم» and
«میخواهم». So each line is indexed twice, in its split and in its joined form, and a query asks for both.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

JOINT = "\u200c"
"""What stands in folded text between the pieces of one word: the zero-width non-joiner."""

MAX_WORD_CHARACTERS = 64  # PostgreSQL refuses words of over 2 kB; nobody types one of over 64 letters

# Characters of no width that people type in place of the non-joiner: ZERO WIDTH SPACE.
_JOINTS = frozenset({"\u200c", "\u200b"})

# Letters of Arabic script that Persian and Arabic keyboards send for the same letter (Unicode, "Arabic" and
# "Arabic Supplement" charts). The forms with hamza or madda (أ إ آ ؤ ئ ۀ) need no line: they decompose
# (UAX #15) into a letter and a mark from the ranges below.
_LETTERS = {
    "\u064a": "\u06cc",  # ي ARABIC YEH → ی FARSI YEH
    "\u0649": "\u06cc",  # ى ALEF MAKSURA, what Arabic keyboards have in its place
    "\u06d2": "\u06cc",  # ے YEH BARREE
    "\u0643": "\u06a9",  # ك ARABIC KAF → ک KEHEH
    "\u06aa": "\u06a9",  # ڪ SWASH KAF
    "\u0629": "\u0647",  # ة TEH MARBUTA → ه: «مکاتبة» is «مکاتبه» in Persian; final ه and ة also in Arabic
    "\u06c0": "\u0647",  # ۀ HEH WITH YEH ABOVE
    "\u06c1": "\u0647",  # ہ HEH GOAL
    "\u06be": "\u0647",  # ھ HEH DOACHASHMEE
    "\u06d5": "\u0647",  # ە AE
    "\u0671": "\u0627",  # ٱ ALEF WASLA → ا
    "\u0621": "",  # ء HAMZA by itself: «انشاء» and «انشا» are the same word
    "\u0640": "",  # ـ TATWEEL only stretches
}

# Marks that many writers leave out (Unicode, category Mn): accents of Latin, Greek and Cyrillic; Hebrew
# points; Arabic harakat, madda, hamza above and below, Quranic signs. In other scripts marks are letters.
_LEFT_OUT = (
    range(0x0300, 0x0370),
    range(0x0591, 0x05C8),
    range(0x0610, 0x061B),
    range(0x064B, 0x0660),
    range(0x0670, 0x0671),
    range(0x06D6, 0x06EE),
    range(0x08CA, 0x0900),
    range(0xFE00, 0xFE10),  # variation selectors
    range(0xFE20, 0xFE30),
)

# Pieces that belong to the word beside them and that many write apart (Academy of Persian Language and
# Literature, «دستور خط فارسی»): the imperfective prefix, plural and comparative endings.
_BEFORE = frozenset({"می", "نمی"})
_AFTER = frozenset(
    {"ها", "های", "هایی", "هایم", "هایت", "هایش", "هایمان", "هایتان", "هایشان", "تر", "ترین"}
)


@dataclass(frozen=True, slots=True)
class Word:
    """A folded word at [start, end) of the text it is from, in characters.

    `joins_previous` is True where a non-joiner stands between it and the word before.
    """

    text: str
    start: int
    end: int
    joins_previous: bool = False


def fold(text: str) -> str:
    """`text` as search compares it: its words with one space, or one JOINT, between them."""
    parts: list[str] = []
    for word in words(text):
        if parts:
            parts.append(JOINT if word.joins_previous else " ")
        parts.append(word.text)
    return "".join(parts)


def words(text: str) -> list[Word]:
    """The folded words of `text` with the places they stand at."""
    found: list[Word] = []
    letters: list[str] = []
    start = end = 0
    is_joined = gap_is_joint = False
    for letter, place in _letters(text):
        if letter not in {" ", JOINT}:
            if not letters:
                start, is_joined = place, gap_is_joint and bool(found)
            letters.append(letter)
            end = place + 1
            continue
        if letters:
            found.append(_word(letters, start, end, is_joined))
            letters, gap_is_joint = [], True
        gap_is_joint = gap_is_joint and letter == JOINT
    if letters:
        found.append(_word(letters, start, end, is_joined))
    return found


def joined(pieces: Sequence[Word]) -> list[Word]:
    """The same words with those put together that are pieces of one."""
    return [
        Word(
            "".join(piece.text for piece in group)[:MAX_WORD_CHARACTERS],
            group[0].start,
            group[-1].end,
            group[0].joins_previous,
        )
        for group in groups(pieces)
    ]


def groups(pieces: Sequence[Word]) -> list[list[Word]]:
    """The words in groups: the pieces of one word stand in one group."""
    found: list[list[Word]] = []
    for piece in pieces:
        if found and _belong_together(found[-1][-1], piece):
            found[-1].append(piece)
        else:
            found.append([piece])
    return found


def line(pieces: Iterable[Word]) -> str:
    """The words as one line with spaces between them."""
    return " ".join(piece.text for piece in pieces)


def _belong_together(before: Word, piece: Word) -> bool:
    return piece.joins_previous or before.text in _BEFORE or piece.text in _AFTER


def _word(letters: list[str], start: int, end: int, is_joined: bool) -> Word:
    # Composed again (UAX #15, NFC), so that Korean syllables and й are one character as they are written.
    text = unicodedata.normalize("NFC", "".join(letters[:MAX_WORD_CHARACTERS]))
    return Word(text, start, end, is_joined)


def _letters(text: str) -> Iterator[tuple[str, int]]:
    """Each folded letter, a space for what is no letter, or JOINT; with its place in `text`."""
    for place, character in enumerate(text):
        for letter in _folded(character):
            yield letter, place


@lru_cache(maxsize=1 << 14)
def _folded(character: str) -> str:
    """One character folded: nothing for what is left out, a space for what stands between words."""
    if character in _JOINTS:
        return JOINT
    # Compatibility caseless matching (Unicode, D146); it takes apart presentation forms and ligatures too.
    spread = unicodedata.normalize("NFD", character).casefold()
    spread = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", spread).casefold())
    return "".join(_letter(part) for part in spread)


def _letter(part: str) -> str:
    replacement = _LETTERS.get(part)
    if replacement is not None:
        return replacement
    if any(ord(part) in marks for marks in _LEFT_OUT):
        return ""
    digit = unicodedata.decimal(part, None)
    if digit is not None:
        return str(digit)  # ۴, ٤ and 4 alike (UAX #44, Numeric_Type=Decimal)
    category = unicodedata.category(part)
    if category == "Cf":
        return ""  # direction marks, joiners, soft hyphens
    return part if category[0] in "LNM" else " "
