"""Cutting long sound at quiet moments loses nothing, and joining spans keeps within limits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.engines.transcribe._cuts import cut_at_quiet, join_close, quietest_s, widen, within
from clearcast.speech.turns import Span


@pytest.fixture
def noise_with_a_pause() -> Recording:
    """A minute of noise with a pause from 25.0 s to 25.4 s."""
    samples = np.random.default_rng(0).normal(0, 0.1, 60 * SAMPLE_RATE_HZ).astype(np.float32)
    samples[25 * SAMPLE_RATE_HZ : round(25.4 * SAMPLE_RATE_HZ)] = 0.0
    return Recording.from_array(samples)


def test_a_long_stretch_is_cut_in_the_pause(noise_with_a_pause: Recording) -> None:
    pieces = list(cut_at_quiet(noise_with_a_pause, Span(0.0, 60.0), 30.0))
    assert 25.0 < pieces[0].end_s < 25.4


def test_pieces_follow_each_other_without_gaps_and_keep_to_the_limit(noise_with_a_pause: Recording) -> None:
    pieces = list(cut_at_quiet(noise_with_a_pause, Span(1.5, 59.0), 7.0))
    assert pieces[0].start_s == 1.5
    assert pieces[-1].end_s == 59.0
    assert all(one.end_s == two.start_s for one, two in pairwise(pieces))
    assert all(0.0 < piece.duration_s <= 7.0 for piece in pieces)


def test_a_short_stretch_stays_whole(noise_with_a_pause: Recording) -> None:
    assert list(cut_at_quiet(noise_with_a_pause, Span(2.0, 9.0), 30.0)) == [Span(2.0, 9.0)]


def test_too_little_sound_to_judge_is_cut_in_the_middle() -> None:
    assert quietest_s(np.zeros(800, np.float32)) == pytest.approx(0.025)


def test_only_the_parts_inside_the_stretch_are_kept() -> None:
    spans = [Span(0.0, 2.0), Span(3.0, 5.0), Span(6.0, 9.0), Span(9.5, 10.0)]
    assert list(within(spans, Span(1.0, 7.0))) == [Span(1.0, 2.0), Span(3.0, 5.0), Span(6.0, 7.0)]


def test_spans_are_joined_across_short_pauses_up_to_the_limit() -> None:
    spans = [Span(0.0, 4.0), Span(4.3, 8.0), Span(8.2, 12.0), Span(14.0, 15.0)]
    assert join_close(spans, gap_s=0.5, longest_s=10.0) == [
        Span(0.0, 8.0),
        Span(8.2, 12.0),
        Span(14.0, 15.0),
    ]


def test_spans_are_widened_no_further_than_half_way_to_the_next() -> None:
    widened = widen([Span(0.2, 1.0), Span(1.4, 2.0)], margin_s=0.5, bounds=Span(0.0, 10.0))
    assert widened == [Span(0.0, 1.2), Span(1.2, 2.5)]
