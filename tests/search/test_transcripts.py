"""The index: what is put in is found by its owner, in any spelling, and nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clearcast.errors import NotFound, OptionInvalid
from clearcast.search.plain_text import words
from clearcast.search.transcripts import SNIPPET_CHARACTERS, Order, TranscriptIndex
from clearcast.storage.database import Database
from clearcast.storage.tables import Job, TranscriptLine
from tests.search.said import said

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
WANT = ("من می‌خواهم بروم", "من می خواهم بروم", "من میخواهم بروم", "من مي‌خواهم بروم")


def texts(index: TranscriptIndex, query: str, owner: str = "user_anna", **options: object) -> list[str]:
    return [hit.text for hit in index.find(owner, query, **options).hits]  # type: ignore[arg-type]


def test_a_hit_is_a_moment(index: TranscriptIndex) -> None:
    index.put("user_anna", "job_a", 1, said("Nobody.", "Good morning, Sara!", speaker="Omid"), MONDAY)
    (hit,) = index.find("user_anna", "MORNING").hits
    assert (hit.job_id, hit.number, hit.file_name) == ("job_a", 1, "job_a-1.wav")
    assert (hit.start_s, hit.end_s, hit.speaker) == (10.0, 15.0, "Omid")
    assert (hit.text, hit.recorded_at) == ("Good morning, Sara!", MONDAY)
    assert [hit.snippet.text[start:end] for start, end in hit.snippet.marks] == ["morning"]


@pytest.mark.parametrize("query", ["می‌خواهم", "می خواهم", "میخواهم", "مي‌خواهم", '"می‌خواهم بروم"', "میخوا*"])
def test_a_word_is_found_however_it_is_joined(index: TranscriptIndex, query: str) -> None:
    index.put("user_anna", "job_a", 0, said(*WANT, "خواهم می نیست"))
    assert sorted(texts(index, query)) == sorted(WANT)


@pytest.mark.parametrize(
    "query", ["کتاب", "كتاب", "کتابها", "کتاب ها", "كتاب‌ها", "کتا*", "۱۲", "12", "١٢ کتاب"]
)
def test_letters_digits_and_endings_of_persian_find_each_other(index: TranscriptIndex, query: str) -> None:
    index.put("user_anna", "job_a", 0, said("۱۲ كتاب‌ها را خواند", "چیز دیگر"))
    assert texts(index, query) == ["۱۲ كتاب‌ها را خواند"]


def test_all_words_must_be_there_and_a_phrase_in_order(index: TranscriptIndex) -> None:
    index.put("user_anna", "job_a", 0, said("red green blue", "green red", "blue"))
    assert texts(index, "green red") == ["green red", "red green blue"]
    assert texts(index, '"green red"') == ["green red"]
    assert texts(index, 'blue "red green"') == ["red green blue"]
    assert texts(index, '"gre"') == []
    assert sorted(texts(index, "gre*")) == ["green red", "red green blue"]


def test_a_phrase_does_not_match_across_the_two_forms_of_a_line(index: TranscriptIndex) -> None:
    index.put("user_anna", "job_a", 0, said("کتاب‌ها را خواندم"))
    assert texts(index, '"خواندم کتابها"') == []
    assert texts(index, "ي") == []  # what stands between them is no word


def test_nobody_finds_what_is_somebody_elses(index: TranscriptIndex) -> None:
    index.put("user_anna", "job_a", 0, said("secret plan"))
    assert texts(index, "secret", "user_omid") == []
    for owner in ('user_anna" OR plain : "secret', "user anna", "", '"', "user_anna*"):
        assert texts(index, "secret", owner) == []
    with pytest.raises(NotFound):
        index.put("user_omid", "job_a", 0, said("mine now"))
    assert index.forget("user_omid", "job_a") == 0
    assert texts(index, "secret") == ["secret plan"]


def test_putting_again_replaces_the_task_and_only_it(index: TranscriptIndex) -> None:
    index.put("user_anna", "job_a", 0, said("first words"))
    index.put("user_anna", "job_a", 1, said("other words"))
    for _ in range(2):
        assert index.put("user_anna", "job_a", 0, said("second words")) == 1
    assert texts(index, "words", order="date") == ["second words", "other words"]
    assert texts(index, "first") == []


def test_what_is_forgotten_or_deleted_is_not_found(index: TranscriptIndex, database: Database) -> None:
    index.put("user_anna", "job_a", 0, said("gone soon"))
    index.put("user_anna", "job_b", 0, said("gone later"))
    assert index.forget("user_anna", "job_a") == 1
    assert texts(index, "gone") == ["gone later"]
    with database.writing() as session:
        session.execute(sa.delete(Job).where(Job.id == "job_b"))
    index.compact()
    assert texts(index, "gone") == []
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(TranscriptLine)) == 0
        if database.is_sqlite:
            found = "SELECT count(*) FROM transcript_search WHERE transcript_search MATCH 'gone'"
            assert session.scalar(sa.text(found)) == 0


def test_speaker_and_dates_narrow_the_search(index: TranscriptIndex) -> None:
    index.put("user_anna", "job_a", 0, said("hello one", speaker="علی"), MONDAY)
    index.put("user_anna", "job_a", 1, said("hello two", speaker="Sara"), TUESDAY)
    index.put("user_anna", "job_b", 0, said("hello three"), TUESDAY + timedelta(days=1))
    assert texts(index, "hello", speaker="علي") == ["hello one"]
    assert texts(index, "hello", speaker="SARA") == ["hello two"]
    assert texts(index, "hello", speaker="nobody\x00") == []
    assert texts(index, "hello", order="date", since=TUESDAY) == ["hello three", "hello two"]
    assert texts(index, "hello", order="date", until=TUESDAY) == ["hello one"]
    assert texts(index, "hello", since=MONDAY + timedelta(hours=1), until=TUESDAY + timedelta(hours=1)) == [
        "hello two"
    ]


@pytest.mark.parametrize("order", ["relevance", "date"])
def test_pages_follow_each_other_without_gap_or_repetition(index: TranscriptIndex, order: Order) -> None:
    index.put("user_anna", "job_a", 0, said(*(f"word {'word ' * (n % 3)}{n}" for n in range(13))), MONDAY)
    index.put("user_anna", "job_a", 1, said(*(f"word again {n}" for n in range(5))), MONDAY)
    index.put("user_anna", "job_b", 0, said("word"), TUESDAY)
    whole = [hit.text for hit in index.find("user_anna", "word", limit=100, order=order).hits]
    found: list[str] = []
    after: str | None = None
    for _ in range(4):
        page = index.find("user_anna", "word", limit=5, after=after, order=order)
        found += [hit.text for hit in page.hits]
        after = page.after
    assert after is None
    assert found == whole
    assert len(set(found)) == 19
    if order == "date":
        assert found[0] == "word"


@pytest.mark.parametrize(
    "after",
    ["", "x", "é", "AAAA", "W10", "WyJyZWxldmFuY2UiLCJ4IiwxXQ", "WyJyZWxldmFuY2UiLDFlOTk5LDFd", "=" * 9],
)
def test_a_cursor_that_is_none_is_refused(index: TranscriptIndex, after: str) -> None:
    for order in ("relevance", "date"):
        with pytest.raises(OptionInvalid, match="cursor"):
            index.find("user_anna", "word", after=after, order=order)  # type: ignore[arg-type]
    with pytest.raises(OptionInvalid, match="limit"):
        index.find("user_anna", "word", limit=0)


def test_a_long_line_is_shown_around_the_match(index: TranscriptIndex) -> None:
    index.put("user_anna", "job_a", 0, said("before " * 300 + "needle" + " after" * 300))
    (hit,) = index.find("user_anna", "needle").hits
    ((start, end),) = hit.snippet.marks
    assert hit.snippet.text[start:end] == "needle"
    assert len(hit.snippet.text) <= SNIPPET_CHARACTERS
    assert hit.snippet.text.startswith("before") and hit.snippet.text.endswith("after")


def test_text_that_no_database_takes_is_kept_as_far_as_it_goes(index: TranscriptIndex) -> None:
    index.put(
        "user_anna", "job_a", 0, said("nul\x00 and \ud800 lone", "x" * 5000 + " tail", speaker="a\x00b")
    )
    assert texts(index, "lone") == ["nul\ufffd and \ufffd lone"]
    assert len(texts(index, "tail")) == 1
    assert len(texts(index, "x" * 900)) == 1
    assert index.put("user_anna", "job_a", 0, said("", " ", "…")) == 0


HOSTILE = [
    *(
        '"',
        "*",
        "NEAR(a b)",
        "-a",
        "a -b",
        "^a",
        "plain:a",
        "a'b",
        "a:*",
        "!a & b |",
        "<->",
        "\\",
        "a\x00b",
    ),
    *("{plain}:a", "a + b", "(a", "a)", "1.5e3", "http://a.b/c?d=e", "a@b.c", "%", "_", "\ud800a", "１２"),
]


@pytest.mark.parametrize("query", HOSTILE)
def test_the_engines_language_is_only_text(index: TranscriptIndex, query: str) -> None:
    index.put("user_anna", "job_a", 0, said("a b c 12 plain"))
    try:
        index.find("user_anna", query)
    except OptionInvalid as error:
        assert "no word" in error.message


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80) | st.text(alphabet='ab"*()-:^ ‌«»می', max_size=30))
def test_no_query_breaks_the_engine(index: TranscriptIndex, query: str) -> None:
    try:
        index.find("user_anna", query, order="date")
    except OptionInvalid:
        return


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(alphabet="ابپتکگیيكمنوها‌  aBé۱٢3'-_/.:@%&<>|!*\"", min_size=1, max_size=40),
    st.sampled_from(["{}", "«{}»"]),
)
def test_every_line_is_found_by_its_own_words(index: TranscriptIndex, text: str, form: str) -> None:
    index.put("user_anna", "job_a", 0, said("before", text, "after"))
    asked = form.format(" ".join(word.text for word in words(text)))
    if words(text):
        (hit,) = [hit for hit in index.find("user_anna", asked, limit=100).hits if hit.text == text]
        assert hit.snippet.marks
