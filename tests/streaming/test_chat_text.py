from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearcast.errors import OptionInvalid
from streaming.chat_text import MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS, clean_name, clean_text

# Any code points, also those that are no text, with those that matter more often than chance has them.
ANY_TEXT = st.text(
    st.one_of(
        st.characters(codec=None, exclude_categories=()),
        st.sampled_from("\u200c\u200d\u202e\u2066\u2028\r\n\t\x00\ufeff می\u0301e<&\ud800👩"),
    ),
    max_size=300,
)


@pytest.mark.parametrize(
    "text",
    [
        "می‌خواهم کتاب‌ها را بخوانم؟ ۱۲۳",  # zero-width non-joiners
        "👩‍👩‍👧 👋🏽",  # joiners
        "\u200fسلام! hello\u200e",  # marks of direction
        "https://example.org/a?b=c&d=<e>#f_(g)",
        "<b>&amp;</b> {{x}} 'quoted\" \\n",
        "one\n\ntwo",
    ],
)
def test_what_people_write_passes_unharmed(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\x00b\x1b[31mc\x7f\x9b", "ab[31mc"),
        ("user\u202egpj.exe\u202c", "usergpj.exe"),
        ("\u2067x\u2069", "x"),
        ("a\r\nb\rc\u2028d\te", "a\nb\nc\nd e"),
        ("e\u0301", "é"),
        ("\ufeff  hi \n", "hi"),
        ("x\ud83d", "x"),
    ],
)
def test_what_reaches_beyond_the_message_goes(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@pytest.mark.parametrize(
    "text", ["", "  \n", "\u200c\u200d", "\u202e\x00", "x" * (MAX_TEXT_CHARACTERS + 1)]
)
def test_a_text_that_cannot_be_seen_or_is_too_long_is_refused(text: str) -> None:
    with pytest.raises(OptionInvalid):
        clean_text(text)


def test_the_longest_text_and_name_pass() -> None:
    assert len(clean_text("ی" * MAX_TEXT_CHARACTERS)) == MAX_TEXT_CHARACTERS
    assert clean_name(" سارا\nرضایی ") == "سارا رضایی"
    with pytest.raises(OptionInvalid):
        clean_name("x" * (MAX_NAME_CHARACTERS + 1))


@given(ANY_TEXT)
def test_cleaning_gives_clean_text_and_changes_nothing_the_second_time(text: str) -> None:
    try:
        cleaned = clean_text(text)
    except OptionInvalid:
        return
    assert clean_text(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    assert 1 <= len(cleaned) <= MAX_TEXT_CHARACTERS
    cleaned.encode()  # no surrogates
    assert not [one for one in cleaned if unicodedata.category(one) == "Cc" and one != "\n"]
    assert not [one for one in cleaned if unicodedata.bidirectional(one) in _REACHING]


_REACHING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(ANY_TEXT)
def test_joiners_between_letters_are_all_kept(text: str) -> None:
    try:
        cleaned = clean_text(f"س{text}س")
    except OptionInvalid:
        return
    for joiner in "\u200c\u200d":
        assert cleaned.count(joiner) == text.count(joiner)
