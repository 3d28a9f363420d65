"""Word error rate: insertions, deletions and substitutions per word of the reference.

Case and punctuation do not count, apostrophes inside words do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r"\w+(?:'\w+)*")


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Errors in so many words of reference; several can be added up."""

    errors: int = 0
    words: int = 0

    @property
    def rate(self) -> float:
        """Raises ZeroDivisionError when there is no reference."""
        return self.errors / self.words

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.errors + other.errors, self.words + other.words)


def normalised_words(text: str) -> list[str]:
    """The words of a text without case and punctuation, typographic apostrophes made plain."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold().replace("’", "'"))


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """The fewest edits that turn the hypothesis into the reference (Levenshtein distance over words)."""
    expected, written = normalised_words(reference), normalised_words(hypothesis)
    return WordErrors(_distance(expected, written), len(expected))


def _distance(expected: Sequence[str], written: Sequence[str]) -> int:
    costs = list(range(len(written) + 1))
    for row, word in enumerate(expected, start=1):
        diagonal, costs[0] = costs[0], row
        for column, other in enumerate(written, start=1):
            kept = diagonal + (word != other)
            diagonal = costs[column]
            costs[column] = min(kept, costs[column] + 1, costs[column - 1] + 1)
    return costs[-1]
