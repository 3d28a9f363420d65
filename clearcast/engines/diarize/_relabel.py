"""Where turns begin and end: labels of fine windows made consistent in time, then painted onto speech."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from clearcast.engines.diarize._clusters import centroids, compact
from clearcast.engines.diarize._windows import Windows
from clearcast.speech.turns import Span, Turn

Labels = npt.NDArray[np.int64]

EVIDENCE = 30.0  # weight of a cosine against the cost of changing speaker
CHANGE_COST = 2.0
PAUSE_S = 1.0  # after a pause this long a change of speaker costs least
LEAST_COST_SHARE = 0.25
ROUNDS = 2
STEP_S = 0.02  # grain of the painted labels


def nearest(known_s: npt.NDArray[np.float64], wanted_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """For each of `wanted_s` the index of the nearest of `known_s`; both sorted, in seconds."""
    after = np.clip(np.searchsorted(known_s, wanted_s), 1, max(1, len(known_s) - 1))
    after = np.minimum(after, len(known_s) - 1)
    before = np.maximum(after - 1, 0)
    nearer = wanted_s - known_s[before] <= known_s[after] - wanted_s
    return np.asarray(np.where(nearer, before, after), np.int64)


def consistent(windows: Windows, labels: Labels) -> Labels:
    """Labels of all windows by Viterbi: near to a speaker's mean direction, and seldom changing."""
    labels = compact(labels)
    cost = _change_costs(windows)
    for _ in range(ROUNDS):
        if labels.max() == 0:
            break
        labels = compact(
            _viterbi(EVIDENCE * windows.embeddings @ centroids(labels, windows.embeddings).T, cost)
        )
    return labels


def _change_costs(windows: Windows) -> npt.NDArray[np.float64]:
    """Cost of another speaker in window i than in i−1: less, the longer the pause between them."""
    pause_s = np.maximum(0.0, windows.start_s[1:] - windows.end_s[:-1])
    share = np.where(
        windows.stretch[1:] == windows.stretch[:-1],
        1.0,
        np.maximum(LEAST_COST_SHARE, 1.0 - pause_s / PAUSE_S),
    )
    return np.concatenate([[0.0], CHANGE_COST * share])


def _viterbi(score: npt.NDArray[np.floating], cost: npt.NDArray[np.float64]) -> Labels:
    count, speakers = score.shape
    stay = np.arange(speakers)
    back = np.empty((count, speakers), np.int64)
    best = score[0].astype(np.float64)
    for index in range(1, count):
        leader = int(best.argmax())
        challenge = best[leader] - cost[index]
        back[index] = np.where(best >= challenge, stay, leader)
        best = np.maximum(best, challenge) + score[index]
    labels = np.empty(count, np.int64)
    labels[-1] = best.argmax()
    for index in range(count - 1, 0, -1):
        labels[index - 1] = back[index, labels[index]]
    return labels


def painted(windows: Windows, labels: Labels, speech: Sequence[Span]) -> tuple[Turn, ...]:
    """Turns: each 20 ms of a stretch goes to the speaker with the most weight of windows centred nearby."""
    turns: list[Turn] = []
    first = np.searchsorted(windows.stretch, np.arange(len(speech) + 1))
    for index, span in enumerate(speech):
        own = slice(first[index], first[index + 1])
        here = labels[own]
        if len(here) and (here == here[0]).all():
            turns.append(Turn(span.start_s, span.end_s, str(here[0])))
        elif len(here):
            turns.extend(_voted(span, windows.start_s[own], windows.end_s[own], here))
    return _joined(turns)


def _voted(
    span: Span, start_s: npt.NDArray[np.float64], end_s: npt.NDArray[np.float64], labels: Labels
) -> list[Turn]:
    count = max(1, int(np.ceil(span.duration_s / STEP_S - 1e-6)))
    # The last step may reach past the end; there no window would have a say.
    times_s = np.minimum(span.start_s + (np.arange(count) + 0.5) * STEP_S, span.end_s - STEP_S / 4)
    reach_s = np.maximum(0.2, (end_s - start_s) / 2)
    distance = np.abs(times_s[:, None] - (start_s + end_s) / 2) / reach_s
    weight = np.square(np.maximum(1.0 - distance, 1e-6))
    speakers = np.unique(labels)
    votes = np.stack([weight[:, labels == speaker].sum(axis=1) for speaker in speakers])
    winner = speakers[votes.argmax(axis=0)]
    edges = [0, *(np.flatnonzero(np.diff(winner)) + 1), len(winner)]
    return [
        Turn(
            span.start_s + begin * STEP_S,
            min(span.end_s, span.start_s + end * STEP_S),
            str(winner[begin]),
        )
        for begin, end in pairwise(edges)
    ]


def _joined(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Turns of one speaker that touch (a stretch cut for its length) as one."""
    joined: list[Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        if last and last.speaker == turn.speaker and turn.start_s - last.end_s < 1e-6:
            joined[-1] = Turn(last.start_s, turn.end_s, turn.speaker)
        else:
            joined.append(turn)
    return tuple(joined)
