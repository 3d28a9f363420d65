"""The page about capacity: made from what was measured, by arithmetic that is right at its ends."""

from __future__ import annotations

import numpy as np
import pytest

from tools import capacity_page
from tools.capacity_page import (
    BUSY,
    PAGE,
    Figures,
    cores_for_hours,
    cores_for_rooms,
    page,
    read_figures,
    waits_s,
)

FIGURES = Figures(rtf={}, rooms_per_core=20, listeners_per_core=400)


def test_the_page_is_what_the_measurements_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_figures()), "run: python -m tools.capacity_page"


def test_a_core_that_needs_no_more_than_its_share_of_a_day_is_one_core() -> None:
    assert cores_for_hours(rtf=0.5, hours_a_day=48 * BUSY) == pytest.approx(1)


def test_rooms_of_one_speaker_cost_what_was_measured_and_listeners_come_on_top() -> None:
    empty, full = (cores_for_rooms(FIGURES, 20, 1, listeners) for listeners in (0, 400))
    assert empty == pytest.approx((1 + 20 / 400) / BUSY)
    assert full - empty == pytest.approx(20 / BUSY)


def test_one_server_at_random_waits_as_long_as_theory_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pollaczek and Khinchine: for M/G/1 the mean wait is λ E[S²] / 2 (1 - ρ).
    monkeypatch.setattr(capacity_page, "RECORDINGS", 200_000)
    load, mean_s = 0.5, 0.3 * capacity_page.MEETING_S
    second_moment = mean_s**2 * np.exp(capacity_page.SPREAD**2)
    expected_s = load / mean_s * second_moment / (2 * (1 - load))
    assert waits_s(0.3, 1, load).mean() == pytest.approx(expected_s, rel=0.05)
