"""What waits is one batch, what is alone begins at once, and one's failure is one's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from clearcast.gathering import Gathering

WITHIN_S = 30.0


class Oven:
    """Doubles numbers, and is held up until it is told. Attributes:
    batches: what it was given at a time.
    """

    def __init__(self, most: int = 8) -> None:
        self.batches: list[list[int]] = []
        self.gathering = Gathering(most)
        self._may_go_on = threading.Event()
        self._threads = ThreadPoolExecutor(16)

    def bake(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        assert self._may_go_on.wait(WITHIN_S)
        if 13 in numbers:
            raise ValueError("13 is not baked")
        return [2 * number for number in numbers]

    def put(self, number: int, kind: Hashable = "bread") -> Future[int]:
        """It is at work or waits when this returns."""
        before = self.gathering.waiting + len(self.batches)
        done = self._threads.submit(self.gathering.do, kind, number, self.bake)
        until_s = time.monotonic() + WITHIN_S
        while self.gathering.waiting + len(self.batches) == before:
            assert time.monotonic() < until_s
            time.sleep(0.001)
        return done

    def go_on(self) -> None:
        self._may_go_on.set()


def test_who_is_alone_begins_at_once_and_what_comes_meanwhile_is_one_batch() -> None:
    oven = Oven()
    done = [oven.put(number) for number in range(5)]
    assert oven.batches == [[0]]
    oven.go_on()
    assert [one.result(WITHIN_S) for one in done] == [0, 2, 4, 6, 8]
    assert oven.batches == [[0], [1, 2, 3, 4]]


def test_a_batch_has_its_most_and_one_kind_in_the_order_of_the_first() -> None:
    oven = Oven(most=2)
    done = [oven.put(number, "cake" if number == 2 else "bread") for number in range(6)]
    oven.go_on()
    assert [one.result(WITHIN_S) for one in done] == [0, 2, 4, 6, 8, 10]
    assert oven.batches == [[0], [1, 3], [2], [4, 5]]


def test_what_fails_for_one_hurts_no_other() -> None:
    oven = Oven()
    done = [oven.put(number) for number in (1, 12, 13, 14)]
    oven.go_on()
    with pytest.raises(ValueError, match="13"):
        done.pop(2).result(WITHIN_S)
    assert [one.result(WITHIN_S) for one in done] == [2, 24, 28]
    assert oven.batches == [[1], [12, 13, 14], [12], [13], [14]]
