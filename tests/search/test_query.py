"""Reading what people type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearcast.errors import OptionInvalid
from clearcast.search.query import MAX_QUERY_WORDS, Phrase, Term, matches, parse_query


def term(*phrases: str, is_prefix: bool = False) -> Term:
    return Term(tuple(Phrase(tuple(phrase.split()), is_prefix) for phrase in phrases))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Hello world", (term("hello"), term("world"))),
        ('"Hello world" you', (term("hello world"), term("you"))),
        ("«سلام دنیا»", (term("سلام دنیا"),)),
        ("hel* wor*", (term("hel", is_prefix=True), term("wor", is_prefix=True))),
        ("می‌خواهم", (term("می خواهم", "میخواهم"),)),
        ("می خواهم بروم", (term("می خواهم", "میخواهم"), term("بروم"))),
        ("کتاب‌ها*", (term("کتاب ها", "کتابها", is_prefix=True),)),
        ('5" disk', (term("5"), term("disk"))),
        ("a AND b OR NOT NEAR(c, 2)", tuple(map(term, ("a", "and", "b", "or", "not", "near", "c", "2")))),
        ("plain:x owner_id:y", tuple(map(term, ("plain", "x", "owner", "id", "y")))),
        ("again again", (term("again"),)),
    ],
)
def test_words_phrases_and_beginnings_are_told_apart(text: str, terms: tuple[Term, ...]) -> None:
    assert parse_query(text) == terms


@pytest.mark.parametrize("text", ["", " ", "*", '"', '""', "-", "()", "\u200c", "\x00", "ـ", "«»"])
def test_a_query_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(OptionInvalid, match="no word"):
        parse_query(text)


def test_a_query_has_an_end() -> None:
    with pytest.raises(OptionInvalid, match="characters"):
        parse_query("x" * 10_000)
    with pytest.raises(OptionInvalid, match="words"):
        parse_query(" ".join(f"w{number}" for number in range(MAX_QUERY_WORDS + 1)))


def test_matches_are_places_in_the_text_as_it_was_written() -> None:
    text = "من مي‌خواهم كِتاب‌هاى ۱۲ را بخوانم"
    found = [text[start:end] for start, end in matches(parse_query("میخواهم «کتابهای 12» بخو*"), text)]
    assert found == ["مي‌خواهم", "كِتاب‌هاى ۱۲", "بخوانم"]


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_query_surprises(query: str, text: str) -> None:
    try:
        terms = parse_query(query)
    except OptionInvalid:
        return
    for start, end in matches(terms, text):
        assert 0 <= start < end <= len(text)
