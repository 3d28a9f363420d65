"""Cutting a long recording into windows at its silences.

What lives here: choosing the cuts. What does not: reading sound, and finding out where somebody speaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clearcast.speech.turns import Span, Turn

_SHORTEST_SHARE = 0.5  # of the target: no window is cut shorter as long as there is another silence


def plan_windows(
    speech_or_turns: Iterable[Span | Turn], duration_s: float, target_s: float, max_s: float
) -> tuple[Span, ...]:
    """Windows that follow each other without a gap from 0 to `duration_s`.

    Each cut lies in the longest silence near `target_s` after the cut before (between half of it and
    `max_s`), else in the last silence before that, and only where speech goes on without any for `max_s`
    inside speech. No window is longer than `max_s`. What is left over at the end is halved, so that no
    sliver remains.

    Raises ValueError unless 0 < target_s <= max_s.
    """
    if not 0 < target_s <= max_s:
        raise ValueError("the target must lie above 0 and not above the longest window")
    silences = _silences(speech_or_turns, duration_s)
    windows: list[Span] = []
    start_s = 0.0
    first = 0  # of the silences, the first that does not end before `start_s`
    while duration_s - start_s > max_s:
        while first < len(silences) and silences[first].end_s <= start_s:
            first += 1
        left_s = duration_s - start_s
        aim_s = start_s + (target_s if left_s >= 2 * target_s else left_s / 2)
        cut_s = _cut(silences[first:], start_s, aim_s, start_s + max_s)
        windows.append(Span(start_s, cut_s))
        start_s = cut_s
    if duration_s > start_s:
        windows.append(Span(start_s, duration_s))
    return tuple(windows)


def _cut(silences: Sequence[Span], start_s: float, aim_s: float, limit_s: float) -> float:
    low_s = start_s + (aim_s - start_s) * _SHORTEST_SHARE
    within: list[Span] = []
    earlier: Span | None = None
    for silence in silences:
        if silence.start_s >= limit_s:
            break
        if silence.end_s > low_s:
            within.append(Span(max(silence.start_s, start_s), min(silence.end_s, limit_s)))
        elif silence.start_s > start_s:  # a silence that the window starts in does not count
            earlier = silence
    if within:
        longest = max(
            within, key=lambda span: (round(span.duration_s, 2), -abs(_near(span, aim_s) - aim_s))
        )
        return _near(longest, aim_s)
    if earlier is not None:
        return (earlier.start_s + earlier.end_s) / 2
    return limit_s


def _near(silence: Span, aim_s: float) -> float:
    """The time nearest to the aim that keeps well away from the speech on either side."""
    margin_s = min(0.5, silence.duration_s / 2)
    return min(max(aim_s, silence.start_s + margin_s), silence.end_s - margin_s)


def _silences(speech: Iterable[Span | Turn], duration_s: float) -> list[Span]:
    silences: list[Span] = []
    quiet_since_s = 0.0
    for span in sorted((item.start_s, item.end_s) for item in speech):
        start_s, end_s = min(span[0], duration_s), min(span[1], duration_s)
        if start_s > quiet_since_s:
            silences.append(Span(quiet_since_s, start_s))
        quiet_since_s = max(quiet_since_s, end_s)
    if duration_s > quiet_since_s:
        silences.append(Span(quiet_since_s, duration_s))
    return silences
