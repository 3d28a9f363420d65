"""Folding: what is the same to those who search, and that it never surprises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearcast.search.plain_text import JOINT, MAX_WORD_CHARACTERS, fold, joined, line, words

PERSIAN = st.text(alphabet="ابپتدرزسشعفقکگلمنوهی‌ يكةأآئؤءـًّ۰۱٢٣4AbC.،\u200f", max_size=40)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("علي", "علی"),
        ("كتاب", "کتاب"),
        ("مكاتبة", "مکاتبه"),
        ("أحمد إيران آب ٱلله", "احمد ایران اب الله"),
        ("مسؤول مسئول", "مسوول مسیول"),
        ("خانهٔ ما", "خانه ما"),
        ("خانۀ ما", "خانه ما"),
        ("انشاء", "انشا"),
        ("مُحَمَّد", "محمد"),
        ("کـــتاب", "کتاب"),
        ("۱۴۰۳ ٢٠٢٤ 2024", "1403 2024 2024"),
        ("ﻼ ﻛﺘﺎﺏ", "لا کتاب"),
        ("مستشفى", "مستشفی"),
        ("STRASSE Straße", "strasse strasse"),
        ("Résumé İstanbul ﬁn", "resume istanbul fin"),
        ("a\u200fb c\u00add", "ab cd"),
        ("موسيقي،«ايران»!", "موسیقی ایران"),
        ("한국어", "한국어"),
    ],
)
def test_the_same_to_a_reader_is_the_same_to_search(one: str, other: str) -> None:
    assert fold(one) == fold(other) == other


def test_the_joint_of_a_word_is_kept_and_only_between_letters() -> None:
    assert fold("می‌خواهم ‌بروم‌ .") == f"می{JOINT}خواهم بروم"
    assert fold("می\u200bخواهم") == f"می{JOINT}خواهم"
    assert fold("می ‌خواهم") == "می خواهم"


@pytest.mark.parametrize(
    ("written", "whole"),
    [
        ("می‌خواهم", "میخواهم"),
        ("می خواهم", "میخواهم"),
        ("نمی دانم کتاب های بزرگ تر", "نمیدانم کتابهای بزرگتر"),
        ("پیاده‌روی", "پیادهروی"),
        ("او می رود", "او میرود"),
    ],
)
def test_the_pieces_of_a_word_join(written: str, whole: str) -> None:
    assert line(joined(words(written))) == whole


def test_marks_of_scripts_that_need_them_stay() -> None:
    assert fold("हिन्दी") == "हिन्दी"
    assert fold("й ё") == "и е"  # the marks of Cyrillic are left out, as in «е» for «ё»


def test_a_word_has_a_length() -> None:
    assert fold("x" * 5000) == "x" * MAX_WORD_CHARACTERS


@given(st.text() | PERSIAN)
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text() | PERSIAN)
def test_words_stand_in_order_where_they_say(text: str) -> None:
    end = 0
    for word in words(text):
        assert end <= word.start < word.end <= len(text) or word.start == end - 1
        assert word.text in fold(text)
        end = word.end


@given(PERSIAN, PERSIAN)
def test_text_folds_by_its_words(one: str, other: str) -> None:
    assert fold(f"{one} {other}") == " ".join(filter(None, (fold(one), fold(other))))
