"""The pace of joins."""

from __future__ import annotations

import asyncio

import pytest

from clearcast.errors import Overloaded
from streaming.admission import MAX_WAIT_S, Admission, LiveLimits


async def test_joins_are_let_in_at_a_steady_pace_and_the_rest_is_sent_away() -> None:
    clock_s = 100.0
    admission = Admission(LiveLimits(joins_per_s=100.0), lambda: clock_s)
    turns = [asyncio.create_task(admission.turn()) for _ in range(400)]
    done = await asyncio.gather(*turns, return_exceptions=True)
    refused = [error for error in done if isinstance(error, Overloaded)]
    # Half a second's worth at once, and as many as wait two seconds.
    assert 400 - len(refused) == pytest.approx((0.5 + MAX_WAIT_S) * 100, abs=2)
    assert {error.retry_after_s for error in refused} == {3}
    assert admission.refused == len(refused)
    clock_s = 200.0
    await admission.turn()


def test_a_house_that_is_full_says_so() -> None:
    admission = Admission(LiveLimits(rooms=2, participants_per_room=3, listeners_per_room=1))
    admission.check_rooms(1)
    for check, count in (
        (admission.check_rooms, 2),
        (admission.check_participants, 3),
        (admission.check_listeners, 1),
    ):
        with pytest.raises(Overloaded):
            check(count)
