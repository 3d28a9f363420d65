"""Asking a sender again for what did not come (NACK, RFC 4585 §6.2.1), and whether to wait for it.

What lives here: which packets are asked for, and how long answers take. What does not: packets and their
order (`packet_tap`).

Waiting delays what follows, so it must pay: only once answers have been seen to come within
`LONGEST_WAIT_S` is a gap held open for one, and for no longer than they take. A sender far away, or one
that knows no NACK, costs nothing; FEC and concealment serve then.
"""

from __future__ import annotations

# A gap is concealed well for one or two packets; what is held back for longer is a pause that is heard, and
# listeners' jitter buffers grow by it.
LONGEST_WAIT_S = 0.040
# More packets missing at once than this are an outage: what comes again would come too late, and worsen it.
MOST_PACKETS = 16

_SMOOTHING = 0.25  # as TCP does for its round trips: RFC 6298 §2, for the deviation
_MARGIN_DEVIATIONS, _MARGIN_S = 4.0, 0.002
_GIVEN_UP = 3  # so many in a row without an answer: it is not waited for any more
_REMEMBERED_S = 1.0


class Retransmission:
    """One sender's. Attributes:
    asked: packets that were asked for again.
    came: those of them that did come, in time or not.
    """

    def __init__(self) -> None:
        self.asked = self.came = 0
        self._asked_s: dict[int, float] = {}
        self._trip_s: float | None = None
        self._deviation_s = 0.0
        self._unanswered = 0

    @property
    def wait_s(self) -> float:
        """How long a gap is held open for an answer; 0 where it is not worth it."""
        if self._trip_s is None or self._unanswered >= _GIVEN_UP:
            return 0.0
        wait_s = self._trip_s + _MARGIN_DEVIATIONS * self._deviation_s + _MARGIN_S
        return wait_s if wait_s <= LONGEST_WAIT_S else 0.0

    def missing(self, numbers: range, now_s: float) -> list[int]:
        """What to ask for of these, seen to be missing for the first time."""
        self._forget(now_s)
        if len(numbers) > MOST_PACKETS:
            return []
        for number in numbers:
            self._asked_s[number] = now_s
        self.asked += len(numbers)
        return list(numbers)

    def arrived(self, number: int, now_s: float) -> None:
        """Any packet that came out of order; one that was asked for tells how long an answer takes."""
        asked_s = self._asked_s.pop(number, None)
        if asked_s is None:
            return
        self.came += 1
        self._unanswered = 0
        trip_s = now_s - asked_s
        if self._trip_s is None:
            self._trip_s, self._deviation_s = trip_s, trip_s / 2
            return
        self._deviation_s += _SMOOTHING * (abs(trip_s - self._trip_s) - self._deviation_s)
        self._trip_s += _SMOOTHING * (trip_s - self._trip_s)

    def _forget(self, now_s: float) -> None:
        """Those that will not come any more."""
        for number, asked_s in list(self._asked_s.items()):
            if now_s - asked_s <= _REMEMBERED_S:
                break
            del self._asked_s[number]
            self._unanswered += 1
