"""Which words of a live transcription will stay: those that two hearings agree on.

What lives here: LocalAgreement-2 (Macháček et al., "Turning Whisper into Real-Time Transcription System",
2023) on words, and the guard against a recogniser that repeats itself. What does not: when to listen again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST_LOOP_WORDS = 6
_MOST_REPEATS = 3  # people do say "no, no, no"


@dataclass(frozen=True, slots=True)
class Hearing:
    """Attributes:
    words: all that was understood so far.
    stable: how many of them, from the first, will not change for the listener.
    """

    words: tuple[str, ...]
    stable: int


class Agreement:
    """Over the hearings of one utterance, each of more sound than the one before."""

    def __init__(self) -> None:
        self._before: tuple[str, ...] = ()
        self._stable: tuple[str, ...] = ()

    def hear(self, words: Sequence[str]) -> Hearing:
        """Words on which this hearing and the last one agree become stable; stable ones are never taken
        back, whatever is heard."""
        heard = without_loops(words)
        agreed = _common(self._before, heard)
        if len(agreed) > len(self._stable) and agreed[: len(self._stable)] == self._stable:
            self._stable = agreed
        self._before = heard
        return Hearing(self._stable + heard[len(self._stable) :], len(self._stable))


def without_loops(words: Sequence[str]) -> tuple[str, ...]:
    """Where the same one to six words stand more than three times in a row, only three times."""
    kept: list[str] = []
    for word in words:
        kept.append(word)
        for length in range(1, _LONGEST_LOOP_WORDS + 1):
            repeated = (_MOST_REPEATS + 1) * length
            tail = [one.casefold() for one in kept[-repeated:]]
            if len(tail) == repeated and tail == tail[:length] * (_MOST_REPEATS + 1):
                del kept[-length:]
                break
    return tuple(kept)


def _common(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one.casefold() != other.casefold():
            break
        count += 1
    return tuple(second[:count])
