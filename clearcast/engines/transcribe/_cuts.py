"""Where long sound may be cut so that no word is lost: at its quietest moment.

What lives here: cutting a stretch into pieces and joining close spans, for engines that cannot take
everything at once. What does not: finding speech (see `voice_activity`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.speech.turns import Span

_FRAME_SAMPLES = SAMPLE_RATE_HZ // 50  # 20 ms: shorter than the pause between two words
_SEARCHED_S = 15.0  # how far before the limit a quiet moment is looked for, at most


def cut_at_quiet(recording: Recording, stretch: Span, longest_s: float) -> Iterator[Span]:
    """Pieces of `stretch` in turn, without gaps, none longer than `longest_s` (seconds)."""
    start_s = stretch.start_s
    while stretch.end_s - start_s > longest_s:
        searched_s = min(_SEARCHED_S, longest_s / 3)
        limit_s = start_s + longest_s
        cut_s = limit_s - searched_s + quietest_s(recording.read(limit_s - searched_s, limit_s))
        yield Span(start_s, cut_s)
        start_s = cut_s
    yield Span(start_s, stretch.end_s)


def quietest_s(samples: FloatAudio) -> float:
    """The middle of the quietest 100 ms of `samples` (float32, 16 kHz, shape (n,)), in seconds."""
    frames = len(samples) // _FRAME_SAMPLES
    if frames < 5:
        return len(samples) / SAMPLE_RATE_HZ / 2
    energy = np.square(samples[: frames * _FRAME_SAMPLES]).reshape(frames, _FRAME_SAMPLES).mean(axis=1)
    smooth = np.convolve(energy, np.ones(5) / 5, mode="valid")  # 5 frames: 100 ms
    last_quietest = len(smooth) - 1 - int(np.argmin(smooth[::-1]))  # of equals the last: longer pieces
    return (last_quietest + 2.5) * _FRAME_SAMPLES / SAMPLE_RATE_HZ


def within(spans: Iterable[Span], stretch: Span) -> Iterator[Span]:
    """The parts of `spans` that lie in `stretch`."""
    for span in spans:
        start_s, end_s = max(span.start_s, stretch.start_s), min(span.end_s, stretch.end_s)
        if start_s < end_s:
            yield Span(start_s, end_s)


def join_close(spans: Iterable[Span], gap_s: float, longest_s: float) -> list[Span]:
    """Sorted spans with neighbours joined across pauses up to `gap_s`, unless longer than `longest_s`."""
    joined: list[Span] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last and span.start_s - last.end_s <= gap_s and span.end_s - last.start_s <= longest_s:
            joined[-1] = Span(last.start_s, max(last.end_s, span.end_s))
        else:
            joined.append(span)
    return joined


def widen(spans: list[Span], margin_s: float, bounds: Span) -> list[Span]:
    """Each span with up to `margin_s` more on either side: no further than `bounds`, and no further than
    half-way to its neighbours."""
    widened = []
    for index, span in enumerate(spans):
        lowest_s = (spans[index - 1].end_s + span.start_s) / 2 if index else bounds.start_s
        is_last = index == len(spans) - 1
        highest_s = bounds.end_s if is_last else (span.end_s + spans[index + 1].start_s) / 2
        start_s = min(span.start_s, max(lowest_s, span.start_s - margin_s))
        end_s = max(span.end_s, min(highest_s, span.end_s + margin_s))
        widened.append(Span(start_s, end_s))
    return widened
