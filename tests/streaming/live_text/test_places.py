"""So many at a time, in the order they came; the next is sent away at once."""

from __future__ import annotations

import asyncio

import pytest

from clearcast.errors import Overloaded
from streaming.live_text.places import Places


async def test_turns_come_in_order_and_a_free_place_is_taken_again() -> None:
    places = Places(most=2, most_waiting=2)
    order: list[str] = []
    told: dict[str, list[int]] = {}
    may_end = asyncio.Event()

    async def work(name: str) -> None:
        async with places.taken_by(told.setdefault(name, []).append):
            order.append(name)
            await may_end.wait()

    tasks = [asyncio.create_task(work(name)) for name in "abcd"]
    await asyncio.sleep(0)
    assert (order, places.waiting) == (["a", "b"], 2)
    with pytest.raises(Overloaded) as refused:
        async with places.taken_by(lambda _: None):
            raise AssertionError("there is no place")
    assert refused.value.retry_after_s > 0
    assert places.refused == 1
    tasks[2].cancel()  # `d` moves up
    await asyncio.wait([tasks[2]])
    assert told == {"a": [], "b": [], "c": [1], "d": [2, 1]}
    may_end.set()
    await asyncio.wait(tasks)
    assert order == ["a", "b", "d"]
    assert (places.taken, places.waiting) == (0, 0)


async def test_who_is_cancelled_when_his_turn_has_come_hands_it_on() -> None:
    places = Places(most=1, most_waiting=2)
    first = places.taken_by(lambda _: None)
    await first.__aenter__()
    second, third = places.taken_by(lambda _: None), places.taken_by(lambda _: None)
    tasks = [asyncio.ensure_future(one.__aenter__()) for one in (second, third)]
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert tasks[1].done()
    assert not tasks[1].cancelled()
    await third.__aexit__(None, None, None)
    assert places.taken == 0
