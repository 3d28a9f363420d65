"""The real platform, killed piece by piece and as a whole under load. `make chaos` does it fifty times."""

from __future__ import annotations

import random

import pytest

from tools import chaos


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_when_parts_and_the_whole_service_are_killed() -> None:
    plan = ["jobs", "front", "service", "diarizer", "jobs"]
    assert chaos.run(plan, random.Random(5)) == 0
