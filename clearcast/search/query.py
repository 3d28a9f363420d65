"""What a person types into the search field, as words and phrases to look for.

What lives here: reading a query, and finding where it matches in a text. What does not: the languages of
the databases' engines (`transcripts.py`), which never see a query as it was typed.

All of several words must be there. `"in quotes"` (or «…», “…”) is a phrase, `begin*` the beginning of a
word. Anything else that is no letter stands for a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clearcast.errors import OptionInvalid
from clearcast.search.plain_text import Word, groups, joined, words

MAX_QUERY_CHARACTERS = 1000
MAX_QUERY_WORDS = 32

_QUOTED = re.compile(r'"([^"]*)"|«([^«»]*)»|“([^“”]*)”')
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand side by side; with `is_prefix` the last may go on."""

    words: tuple[str, ...]
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """Something to find: any one of these phrases, which are ways to write the same."""

    phrases: tuple[Phrase, ...]


def parse_query(text: str) -> tuple[Term, ...]:
    """The terms of a query, all of which must be found. Raises OptionInvalid for none or too many."""
    if len(text) > MAX_QUERY_CHARACTERS:
        raise OptionInvalid(f"A query has at most {MAX_QUERY_CHARACTERS} characters.", field="q")
    terms = tuple(dict.fromkeys(_terms(text)))
    if not terms:
        raise OptionInvalid("The query holds no word.", hint="Type at least one letter.", field="q")
    if sum(len(term.phrases[0].words) for term in terms) > MAX_QUERY_WORDS:
        raise OptionInvalid(f"A query has at most {MAX_QUERY_WORDS} words.", field="q")
    return terms


def matches(terms: Sequence[Term], text: str) -> tuple[tuple[int, int], ...]:
    """The places [start, end) of `text`, in characters, that match; sorted, not overlapping."""
    pieces = words(text)
    forms = (pieces, joined(pieces))
    found = {
        place
        for term in terms
        for phrase in term.phrases
        for form in forms
        for place in _places(phrase, form)
    }
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _terms(text: str) -> Iterator[Term]:
    end = 0
    for quoted in _QUOTED.finditer(text):
        yield from _loose(text[end : quoted.start()])
        phrase = words(next(part for part in quoted.groups() if part is not None))
        if phrase:
            yield _term(phrase, is_prefix=False)
        end = quoted.end()
    yield from _loose(text[end:])


def _loose(text: str) -> Iterator[Term]:
    """The terms of a part without quotes: each word, or the pieces of one word."""
    pieces: list[Word] = []
    prefixes: set[Word] = set()
    place = 0
    for part in _BLANKS.split(text):
        here = [Word(w.text, w.start + place, w.end + place, w.joins_previous) for w in words(part)]
        pieces += here
        if here and part.endswith("*"):
            prefixes.add(here[-1])
        place += len(part) + 1
    for group in groups(pieces):
        yield _term(group, is_prefix=group[-1] in prefixes)


def _term(pieces: Sequence[Word], *, is_prefix: bool) -> Term:
    forms = (tuple(word.text for word in form) for form in (pieces, joined(pieces)))
    return Term(tuple(Phrase(form, is_prefix) for form in dict.fromkeys(forms)))


def _places(phrase: Phrase, form: Sequence[Word]) -> Iterator[tuple[int, int]]:
    size = len(phrase.words)
    *first, last = phrase.words
    for at in range(len(form) - size + 1):
        here = form[at : at + size]
        if [word.text for word in here[:-1]] == first and (
            here[-1].text == last or (phrase.is_prefix and here[-1].text.startswith(last))
        ):
            yield here[0].start, here[-1].end
