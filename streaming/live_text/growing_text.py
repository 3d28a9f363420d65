"""What was understood of the utterance that goes on.

What lives here: which of its words are settled, so that their sound need not be heard again, and when one
more preview is worth its cost. What does not: asking the recogniser (`session`).

Words are settled on which two hearings agreed (LocalAgreement-2, `agreement`), once so much sound came
after them that it would change nothing: a hearing then costs what came since, however long somebody speaks,
and the end of a long sentence is understood as soon as that of a short one. A little of the sound before is
heard again each time: without it, whatever word comes first would lack its beginning or what leads to it
(21 clips, PocketSphinx: 50 % of words wrong without, 48 % with it and where nothing is settled).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.speech.transcript import Segment, Transcript, Word, join_words
from streaming.live_text.agreement import Agreement, Hearing

_FIRST_PREVIEW = round(0.7 * SAMPLE_RATE_HZ)
_PREVIEW_STEP = SAMPLE_RATE_HZ
_EMPTY_STEP = round(0.2 * SAMPLE_RATE_HZ)  # after a preview without a word
_REST = 3  # times as long as a hearing took, from the beginning of one to that of the next
_WINDOW = 2 * SAMPLE_RATE_HZ  # of sound that is heard again; from here on words are settled
_CONTEXT = round(0.6 * SAMPLE_RATE_HZ)  # of settled sound, heard once more
_LEAST_SETTLED_S = 1.0
_SETTLING_S = 0.5  # the latest words may still change
_GAP_S = 0.03  # silence between words, the better place for a cut


@dataclass(frozen=True, slots=True)
class Settled:
    """Attributes:
    until: the sample up to which all words are known.
    segments: what was said up to there.
    """

    until: int
    segments: tuple[Segment, ...] = ()

    @property
    def heard_from(self) -> int:
        """The first sample to be heard for the rest."""
        return self.until - _CONTEXT if self.segments else self.until

    def followed_by(self, heard: Transcript) -> Transcript:
        """All of it, by a hearing from `heard_from` on, in seconds of the whole stream."""
        if not self.segments:
            return heard
        until_s = self.until / SAMPLE_RATE_HZ
        rest = (_after(until_s, segment) for segment in heard.segments)
        return replace(heard, segments=(*self.segments, *(one for one in rest if one is not None)))


class GrowingText:
    """Attributes:
    start: the sample where the utterance began.
    settled: what will not change any more.
    heard_until: how far the latest hearing went.
    """

    def __init__(self, start: int, *, settles: bool) -> None:
        """With `settles` false the whole utterance is heard every time."""
        self.start = self.heard_until = start
        self.settled = Settled(start)
        self._settles = settles
        self._agreement = Agreement()
        self._due_at = start + _FIRST_PREVIEW

    def is_due(self, position: int) -> bool:
        """Whether so much was said by then that a preview is worth it."""
        return position >= self._due_at

    def postpone(self, position: int) -> None:
        """A preview failed: the next one only after a rest, or a broken recogniser would get no other."""
        self._due_at = max(self._due_at, position + _PREVIEW_STEP)

    def hear(self, transcript: Transcript, until: int, position: int) -> Hearing:
        """One more hearing of the whole utterance, up to `until`; it was there at `position`."""
        took = position - until
        self._due_at = until + (max(_PREVIEW_STEP, _REST * took) if transcript.text else took + _EMPTY_STEP)
        self.heard_until = until
        hearing = self._agreement.hear(transcript.text.split())
        if self._settles and until - self.settled.until > _WINDOW:
            words = [word for segment in transcript.segments for word in segment.words]
            # Not one for one where there are no times, no spaces, or a loop was cut out.
            if len(words) == len(hearing.words):
                self._settle(words, hearing.stable, until)
        return hearing

    def _settle(self, words: Sequence[Word], stable: int, until: int) -> None:
        first_s = self.settled.until / SAMPLE_RATE_HZ + _LEAST_SETTLED_S
        last_s = until / SAMPLE_RATE_HZ - _SETTLING_S
        places = [
            (one.end_s, other.start_s)
            for one, other in pairwise(words[: stable + 1])
            if first_s <= one.end_s <= last_s
        ]
        places = [(end_s, start_s) for end_s, start_s in places if start_s - end_s >= _GAP_S] or places
        if not places:
            return
        end_s, start_s = places[-1]
        kept = tuple(word for word in words if word.end_s <= end_s)
        segment = Segment(kept[0].start_s, end_s, join_words(kept), kept)
        self.settled = Settled(round((end_s + start_s) / 2 * SAMPLE_RATE_HZ), (segment,))


def _after(moment_s: float, segment: Segment) -> Segment | None:
    """What of it was said after that, or None; all of it where it has no words with times."""
    if not segment.words:
        return segment
    words = tuple(word for word in segment.words if (word.start_s + word.end_s) / 2 > moment_s)
    if not words:
        return None
    return replace(segment, start_s=words[0].start_s, text=join_words(words), words=words)
