"""Word errors are counted as everybody counts them."""

from __future__ import annotations

import pytest

from bench.word_error import WordErrors, normalised_words, word_errors


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors"),
    [
        ("ask not what", "ask not what", 0),
        ("ask not what", "ask what", 1),
        ("ask not what", "ask me not what", 1),
        ("ask not what", "asked not that", 2),
        ("ask not what", "", 3),
        ("", "anything at all", 3),
    ],
)
def test_errors_are_the_fewest_edits(reference: str, hypothesis: str, errors: int) -> None:
    assert word_errors(reference, hypothesis).errors == errors


def test_case_and_punctuation_do_not_count_but_apostrophes_do() -> None:
    assert normalised_words("“Don’t!” he said – TWICE.") == ["don't", "he", "said", "twice"]


def test_persian_words_are_words() -> None:
    assert normalised_words("سلام، دنیا! ۱۲") == ["سلام", "دنیا", "۱۲"]


def test_rates_add_up_over_clips() -> None:
    assert (WordErrors(1, 4) + WordErrors(2, 2)).rate == 0.5
