"""Windows cover a recording and are cut in its silences."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from clearcast.speech.turns import Span, Turn
from clearcast.speech.windows import plan_windows
from tests.speech.random_speech import random_turns


def test_windows_cover_everything_once_and_are_never_too_long() -> None:
    rng = random.Random(11)
    for _ in range(400):
        duration_s = rng.uniform(0.1, 400)
        turns = random_turns(rng, duration_s)[: rng.randint(0, 20)]
        target_s = rng.uniform(1, 60)
        max_s = target_s * rng.uniform(1, 1.5)
        windows = plan_windows(turns, duration_s, target_s, max_s)
        assert windows[0].start_s == 0
        assert windows[-1].end_s == duration_s
        assert all(before.end_s == after.start_s for before, after in pairwise(windows))
        assert all(0 < window.duration_s <= max_s + 1e-9 for window in windows)


def test_no_cut_lies_in_speech_while_there_is_a_silence_in_reach() -> None:
    rng = random.Random(12)
    for _ in range(300):
        clock_s, turns = 0.0, []
        while clock_s < 200:
            length_s = rng.uniform(0.5, 14)
            turns.append(Turn(clock_s, clock_s + length_s, "A"))
            clock_s += length_s + rng.uniform(0.05, 2)
        windows = plan_windows(turns, clock_s, 25.0, 30.0)
        for window in windows[:-1]:
            assert not [turn for turn in turns if turn.start_s < window.end_s < turn.end_s]


def test_the_longest_silence_near_the_target_is_chosen_and_cut_away_from_speech() -> None:
    speech = [Span(0, 20), Span(20.2, 24), Span(26, 29), Span(29.1, 60)]
    windows = plan_windows(speech, 60.0, 28.0, 30.0)
    assert 24.4 < windows[0].end_s < 25.6


def test_in_a_long_silence_the_cut_lies_at_the_target() -> None:
    windows = plan_windows([Span(0, 10), Span(100, 110)], 110.0, 28.0, 30.0)
    assert windows[0].end_s == 28.0


def test_an_early_silence_is_better_than_a_cut_through_speech() -> None:
    windows = plan_windows([Span(0, 4), Span(5, 100)], 100.0, 28.0, 30.0)
    assert [window.end_s for window in windows][:2] == [4.5, 34.5]


def test_speech_without_any_silence_is_cut_at_the_limit() -> None:
    windows = plan_windows([Span(0, 70)], 70.0, 28.0, 30.0)
    assert [window.duration_s for window in windows] == [30, 30, 10]


def test_what_is_left_is_halved_instead_of_leaving_a_sliver() -> None:
    windows = plan_windows([], 31.0, 30.0, 30.0)
    assert [window.duration_s for window in windows] == [15.5, 15.5]


def test_overlapping_turns_and_turns_past_the_end_are_speech_all_the_same() -> None:
    turns = [Turn(0, 20, "A"), Turn(10, 29, "B"), Turn(29.5, 500, "A")]
    windows = plan_windows(turns, 50.0, 28.0, 32.0)
    assert windows == (Span(0.0, 29.25), Span(29.25, 50.0))


def test_a_short_recording_is_one_window_and_an_empty_one_none() -> None:
    assert plan_windows([Span(0, 5)], 5.0, 28.0, 30.0) == (Span(0.0, 5.0),)
    assert plan_windows([], 0.0, 28.0, 30.0) == ()


@pytest.mark.parametrize(("target_s", "max_s"), [(0.0, 30.0), (31.0, 30.0), (-1.0, 5.0)])
def test_a_target_that_makes_no_sense_is_refused(target_s: float, max_s: float) -> None:
    with pytest.raises(ValueError, match="target"):
        plan_windows([], 10.0, target_s, max_s)
