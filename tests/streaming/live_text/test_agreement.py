"""Words once shown as stable stay, and a recogniser's loops are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.live_text.agreement import Agreement, without_loops

WORDS = st.lists(st.sampled_from(["a", "b", "c", "no"]), max_size=12)


def test_words_are_stable_once_two_hearings_agree() -> None:
    agreement = Agreement()
    assert agreement.hear(["the", "cat"]).stable == 0
    second = agreement.hear(["the", "cat", "sad"])
    assert (second.words, second.stable) == (("the", "cat", "sad"), 2)
    third = agreement.hear(["The", "cat", "sat", "down"])
    assert (third.words, third.stable) == (("the", "cat", "sat", "down"), 2)


@given(st.lists(WORDS, max_size=8))
def test_stable_words_are_never_taken_back(hearings: list[list[str]]) -> None:
    agreement = Agreement()
    stable: tuple[str, ...] = ()
    for words in hearings:
        heard = agreement.hear(words)
        assert heard.words[: len(stable)] == stable
        assert heard.stable >= len(stable)
        stable = heard.words[: heard.stable]


def test_a_loop_is_cut_after_three_times() -> None:
    assert without_loops(("and", "then") * 5 + ("we",)) == ("and", "then") * 3 + ("we",)


@given(WORDS)
def test_what_is_no_loop_stays(words: list[str]) -> None:
    kept = without_loops(words)
    assert len(kept) <= len(words)
    assert without_loops(kept) == kept
