"""Gates that touch add up to one, whatever the stretches and wherever blocks are cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clearcast.engines.extract._gate import FADE_S, Gate
from clearcast.speech.turns import Span

rates = st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000])
places_s = st.lists(st.floats(0.0, 0.5), min_size=2, max_size=8, unique=True).map(sorted)


def fade_samples(rate_hz: int) -> int:
    """Half a fade, rounded up."""
    return round(FADE_S * rate_hz / 2) + 1


@given(places_s, rates)
def test_gates_of_stretches_that_touch_add_up_to_one(places: list[float], rate_hz: int) -> None:
    pieces = [Span(*edges) for edges in pairwise(places)]
    total = sum(Gate([piece], rate_hz).gains(0, rate_hz) for piece in pieces)
    np.testing.assert_allclose(
        total, Gate([Span(places[0], places[-1])], rate_hz).gains(0, rate_hz), atol=1e-6
    )
    np.testing.assert_allclose(total, Gate(pieces, rate_hz).gains(0, rate_hz), atol=1e-6)


@given(places_s, rates)
def test_a_gate_is_shut_outside_and_open_inside_away_from_its_edges(
    places: list[float], rate_hz: int
) -> None:
    stretches = [Span(*edges) for edges in zip(places[::2], places[1::2], strict=False)]
    gains = Gate(stretches, rate_hz).gains(0, rate_hz)
    assert gains.dtype == np.float32
    assert gains.min() >= -1e-6
    assert gains.max() <= 1.0 + 1e-6
    edges = [round(edge * rate_hz) for span in stretches for edge in (span.start_s, span.end_s)]
    inside = np.zeros(rate_hz, np.float32)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        inside[start:stop] = 1.0
    places_of_edges = np.array(edges)
    distance = np.abs(np.arange(rate_hz)[:, np.newaxis] - places_of_edges).min(axis=1)
    far = distance > fade_samples(rate_hz)
    np.testing.assert_array_equal(gains[far], inside[far])


@given(places_s, rates, st.lists(st.integers(0, 48_000), max_size=6))
def test_blocks_change_nothing(places: list[float], rate_hz: int, cuts: list[int]) -> None:
    gate = Gate([Span(*edges) for edges in zip(places[::2], places[1::2], strict=False)], rate_hz)
    bounds = sorted({0, rate_hz, *(cut for cut in cuts if cut < rate_hz)})
    parts = [gate.gains(*block) for block in pairwise(bounds)]
    np.testing.assert_array_equal(np.concatenate(parts), gate.gains(0, rate_hz))


def test_a_gate_without_stretches_stays_shut() -> None:
    assert not Gate([], 16_000).gains(0, 1000).any()
    assert not Gate([Span(0.01, 0.01)], 16_000).gains(0, 1000).any()


def test_a_fade_is_a_raised_cosine_of_20_ms() -> None:
    gains = Gate([Span(0.1, 1.0)], 8_000).gains(700, 900)
    assert gains[19] == 0.0
    assert gains[180] == 1.0
    np.testing.assert_allclose(gains[20:180] + gains[20:180][::-1], 1.0, atol=1e-6)
    assert np.all(np.diff(gains[20:180]) > 0.0)
