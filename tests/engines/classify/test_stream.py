"""Keywords of live sound: words as they end, and no memory that grows."""

from __future__ import annotations

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.engines.classify._features import Frames
from clearcast.engines.classify._splitting import SplitRules
from clearcast.engines.classify._stream import Heard, KeywordStream
from clearcast.speech.keywords import SILENCE, UNKNOWN
from tests.engines.classify.melodies import sentence

RULES = SplitRules(min_silence_s=0.2, silence_db=None, min_word_s=0.06, window_s=1.0, settle_s=0.3)


def by_pitch(frames: Frames, _before: int, _behind: int) -> tuple[str, float]:
    """Stands in for the network: a melody's course by where its power lies."""
    heard = frames[frames.max(axis=1) > frames.max() - 20]
    course = heard.argmax(axis=1)
    rise = int(course[-3:].mean() - course[:3].mean())
    return ("up" if rise > 5 else "down" if rise < -5 else "high"), 0.9


def told(samples, piece: int, **options) -> list[Heard]:
    stream = KeywordStream(by_pitch, RULES, **options)
    heard = []
    for start in range(0, len(samples), piece):
        heard += stream.push(samples[start : start + piece])
    return heard + stream.finish()


@pytest.mark.parametrize("piece", [1, 160, 1024, 50_000])
def test_words_do_not_depend_on_how_samples_arrive(piece: int) -> None:
    heard = told(sentence("up down high"), piece)
    final = [one.word for one in heard if one.is_final]
    assert [word.label for word in final] == ["up", "down", "high"]
    whole = [one.word for one in told(sentence("up down high"), 100_000) if one.is_final]
    assert [(word.start_s, word.end_s) for word in final] == [(word.start_s, word.end_s) for word in whole]


def test_a_word_is_told_within_100_ms_of_its_end() -> None:
    samples, stream = sentence("up down high"), KeywordStream(by_pitch, RULES)
    delays_s: list[float] = []
    for start in range(0, len(samples), 160):
        now_s = (start + 160) / SAMPLE_RATE_HZ
        heard = stream.push(samples[start : start + 160])
        delays_s += [now_s - one.word.end_s for one in heard if not one.is_final]
    assert len(delays_s) == 3
    assert max(delays_s) < 0.1


def test_what_is_kept_does_not_grow() -> None:
    stream = KeywordStream(by_pitch, RULES)
    for _ in range(20):
        stream.push(sentence("up down high"))
        assert len(stream._frames) < 150
        assert len(stream._samples) < 400


def test_silence_is_never_told_and_unknown_words_only_on_request() -> None:
    samples = sentence("up down")
    for label in (SILENCE, UNKNOWN):
        stream = KeywordStream(lambda *_word, label=label: (label, 0.8), RULES)
        assert [*stream.push(samples), *stream.finish()] == []
    stream = KeywordStream(lambda *_word: (UNKNOWN, 0.8), RULES, keep_unknown=True)
    assert len([one for one in [*stream.push(samples), *stream.finish()] if one.is_final]) == 2


def test_a_word_that_proves_to_be_none_is_taken_back() -> None:
    """Its first half sounds like a word; all of it is none."""
    for label in (SILENCE, UNKNOWN):
        opinions = iter(["up", label])
        stream = KeywordStream(lambda *_word, opinions=opinions: (next(opinions), 0.8), RULES)
        told = [*stream.push(sentence("up")), *stream.finish()]
        assert [(one.word.label, one.is_final, one.is_taken_back) for one in told] == [
            ("up", False, False),
            (label, True, True),
        ]


def test_an_empty_push_is_no_trouble() -> None:
    assert KeywordStream(by_pitch, RULES).push(np.zeros(0, np.float32)) == []
