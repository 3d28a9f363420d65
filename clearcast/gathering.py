"""Like work of several threads as one batch.

What lives here: who waits, and what is taken together. What does not: the work.

Nobody waits for company: whoever finds nobody at work begins at once, alone. A batch is what came while
another one was worked on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class _Place:
    """Of one who waits."""

    kind: Hashable
    item: Any
    is_done: bool = field(default=False, init=False)
    result: Any = field(default=None, init=False)
    error: BaseException | None = field(default=None, init=False)


class Gathering:
    """One batch at a time, in the order in which their first ones came.

    Attributes:
    waiting: how many wait for their turn.
    """

    def __init__(self, most: int) -> None:
        """At most `most` items in a batch. As many may wait as there are threads."""
        self._most = most
        self._changed = threading.Condition()
        self._places: list[_Place] = []
        self._is_at_work = False

    @property
    def waiting(self) -> int:
        return len(self._places)

    def do(self, kind: Hashable, item: T, work: Callable[[Sequence[T]], Sequence[R]]) -> R:
        """What `work` gives for the item, which may be done together with others of the same kind: `work`
        of any of them gets all, and gives as many results. Where it fails for several, each is tried alone.

        Blocks. Raises what `work` raises for this item alone.
        """
        place = _Place(kind, item)
        with self._changed:
            self._places.append(place)
            self._changed.wait_for(lambda: place.is_done or self._may_begin(place))
            if not place.is_done:
                batch = [one for one in self._places if one.kind == kind][: self._most]
                self._places = [one for one in self._places if one not in batch]
                self._is_at_work = True
        if not place.is_done:
            self._work(batch, work)
        if place.error is not None:
            raise place.error
        result: R = place.result
        return result

    def _may_begin(self, place: _Place) -> bool:
        return not self._is_at_work and self._places[0] is place

    def _work(self, batch: Sequence[_Place], work: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        try:
            _fill(batch, work)
        finally:
            with self._changed:
                for one in batch:
                    one.is_done = True
                self._is_at_work = False
                self._changed.notify_all()


def _fill(batch: Sequence[_Place], work: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
    try:
        results = work([one.item for one in batch])
        for one, result in zip(batch, results, strict=True):
            one.result = result
    except Exception as error:
        if len(batch) == 1:
            batch[0].error = error
            return
        logger.warning("a batch failed; each of it is tried alone", exc_info=error)
        for one in batch:
            _fill([one], work)
