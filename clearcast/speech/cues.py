"""Subtitle cues: which words are shown together, on which lines, from when to when.

What lives here: planning, shared by SRT and WebVTT. What does not: their syntax (`srt`, `vtt`) and where a
line may be broken (`line_breaks`).

The limits are those most broadcasters and streaming services publish for subtitles; where speech is too
fast or speakers talk at once they cannot all be met, and then what may not give (no overlap, line length,
nothing lost, nothing past the end) wins over what may (reading speed, shortest time on screen).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from clearcast.speech.line_breaks import (
    LINE_COLUMNS,
    Atom,
    atoms_of,
    balanced_lines,
    columns,
    ends_clause,
    ends_sentence,
    joint,
    width,
)
from clearcast.speech.transcript import Segment, Transcript

READING_CPS = 17.0  # characters a second that adults read at ease
FAST_READING_CPS = 20.0  # and the most that is still accepted
MIN_CUE_MS = 834  # 5/6 s
MAX_CUE_MS = 7000
GAP_MS = 84  # 2 frames at 24 frames a second, so that the eye sees one cue leave and the next one come
CHAIN_MS = 500  # a shorter silence between two cues would only flicker; the first one stays on
RUN_PAUSE_MS = 1000  # a longer silence ends a cue
GLIMPSE_MS = 300  # even where speakers talk at once, no cue is shorter
MAX_DELAY_MS = 1000  # nor later than this, unless the glimpses of others leave no room
_CUE_COLUMNS = 2 * LINE_COLUMNS


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle.

    Attributes:
        lines: one or two, without the speaker's name.
        speaker: who says it, or None.
        speaker_changes: True where somebody else, or nobody, spoke in the cue before.
    """

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    speaker: str | None
    speaker_changes: bool


@dataclass(frozen=True, slots=True)
class _Run:
    """What one speaker says without a long pause; `lead_columns` are kept free for the name, in the first
    cue or, where others talk in between, in `every_cue`."""

    speaker: str | None
    atoms: tuple[Atom, ...]
    lead_columns: int = 0
    every_cue: bool = False

    @property
    def start_ms(self) -> int:
        return self.atoms[0].start_ms

    @property
    def end_ms(self) -> int:
        return self.atoms[-1].end_ms


def plan_cues(transcript: Transcript, names_in_text: bool = False) -> tuple[Cue, ...]:
    """The transcript as cues: sorted, never overlapping, within the recording, every word in exactly one.

    A line holds at most 42 columns and a cue two lines; cues last 5/6 to 7 s where there is room, two
    frames apart; a change of speaker starts a new one. With `names_in_text`, room is kept in the first line
    for `spoken_by(cue.speaker)` wherever `speaker_changes`.
    """
    duration_ms = _duration_ms(transcript)
    drafts = [
        draft for run in _runs(transcript.segments, duration_ms, names_in_text) for draft in _split_run(run)
    ]
    drafts.sort(key=lambda draft: draft.start_ms)
    cues: list[Cue] = []
    for draft, (start_ms, end_ms) in zip(drafts, _schedule(drafts, duration_ms), strict=True):
        changes = draft.speaker != (cues[-1].speaker if cues else None)
        lines = balanced_lines(draft.atoms, draft.lead_columns if changes else 0)
        cues.append(Cue(start_ms, end_ms, lines, draft.speaker, changes))
    return tuple(cues)


def spoken_by(name: str) -> str:
    """The name short enough to leave room for words beside it."""
    limit = LINE_COLUMNS // 2
    if columns(name) <= limit:
        return name
    while columns(name) >= limit:
        name = name[:-1]
    return f"{name.rstrip()}…"


def _duration_ms(transcript: Transcript) -> int:
    if transcript.duration_s > 0:
        return int(transcript.duration_s * 1000 + 1e-6)  # rounded down: nothing may pass the end
    return max((round(segment.end_s * 1000) for segment in transcript.segments), default=0)


def _runs(segments: Sequence[Segment], duration_ms: int, names_in_text: bool) -> list[_Run]:
    grown: list[tuple[str | None, list[Atom]]] = []
    last_start_ms: dict[str | None, int] = {}  # what one speaker says stays in order, whatever its times
    for segment in sorted(segments, key=lambda segment: segment.start_s):
        atoms = atoms_of(segment)
        speaker, run = grown[-1] if grown else (None, [])
        continues = bool(atoms and run) and speaker == segment.speaker
        if continues:
            atoms[0] = replace(atoms[0], spaced=joint(run[-1].text, atoms[0].text) == " ")
        for atom in _in_order(atoms, duration_ms, last_start_ms.get(segment.speaker, 0)):
            if not continues or atom.start_ms - run[-1].end_ms >= RUN_PAUSE_MS:
                run = []
                grown.append((segment.speaker, run))
            run.append(atom)
            continues = True
            last_start_ms[segment.speaker] = atom.start_ms
    runs = sorted((_Run(speaker, tuple(atoms)) for speaker, atoms in grown), key=lambda run: run.start_ms)
    return _with_room_for_names(runs) if names_in_text else runs


def _in_order(atoms: Sequence[Atom], duration_ms: int, not_before_ms: int) -> list[Atom]:
    """The same atoms with times that never run backwards, overlap or pass the end.

    Where two disagree, the start of the later one is believed: engines err about ends much more often.
    """
    starts = [*accumulate((min(max(atom.start_ms, not_before_ms), duration_ms) for atom in atoms), max)]
    limits = [*starts[1:], duration_ms]
    return [
        replace(atom, start_ms=start_ms, end_ms=max(start_ms, min(atom.end_ms, limit_ms)))
        for atom, start_ms, limit_ms in zip(atoms, starts, limits, strict=False)
    ]


def _with_room_for_names(runs: Sequence[_Run]) -> list[_Run]:
    talked_until_ms = accumulate((run.end_ms for run in runs), max, initial=0)
    next_starts_ms = [*(run.start_ms for run in runs[1:]), runs[-1].end_ms if runs else 0]
    made = []
    for run, before_ms, next_ms in zip(runs, talked_until_ms, next_starts_ms, strict=False):
        crowded = before_ms > run.start_ms or next_ms < run.end_ms
        # Colon, space and the two isolates that a name of the other direction needs.
        lead_columns = columns(spoken_by(run.speaker)) + 4 if run.speaker else 0
        made.append(replace(run, lead_columns=lead_columns, every_cue=crowded))
    return made


def _split_run(run: _Run) -> list[_Run]:
    """The run in cues, at the breaks that cost least in sum (a shortest path over its atoms)."""
    atoms = run.atoms
    # Columns up to each atom, without the space that a line start swallows.
    sums = [0, *accumulate(atom.columns for atom in atoms)]
    reach = _reach(atoms, sums, LINE_COLUMNS)
    led_reach = _reach(atoms, sums, LINE_COLUMNS - run.lead_columns)
    pauses = [0, *accumulate(_inner_pause_cost(a, b) for a, b in pairwise(atoms))]
    best = [(0.0, 0)] + [(float("inf"), 0)] * len(atoms)
    for start in range(len(atoms)):
        led = run.lead_columns and (start == 0 or run.every_cue)
        # Two lines: as much as fits on the first, then as much as fits on the second.
        furthest = reach[led_reach[start] if led else reach[start]]
        for stop in range(start + 1, furthest + 1):
            if stop > start + 1 and atoms[stop - 1].end_ms - atoms[start].start_ms > MAX_CUE_MS:
                break
            cost = _cue_cost(atoms, start, stop, sums[stop] - sums[start])
            cost += best[start][0] + pauses[stop - 1] - pauses[start]
            if cost < best[stop][0]:
                best[stop] = (cost, start)
    cuts = [len(atoms)]
    while cuts[-1] > 0:
        cuts.append(best[cuts[-1]][1])
    cuts.reverse()
    return [replace(run, atoms=atoms[start:stop]) for start, stop in pairwise(cuts)]


def _reach(atoms: Sequence[Atom], sums: Sequence[int], line_columns: int) -> list[int]:
    """For each atom, the end of the longest line that starts with it; one more entry for the end."""
    reach: list[int] = []
    stop = 0
    for start, atom in enumerate(atoms):
        stop = max(stop, start)
        while stop < len(atoms) and sums[stop + 1] - sums[start] - atom.spaced <= line_columns:
            stop += 1
        reach.append(stop)
    return [*reach, len(atoms)]


def _inner_pause_cost(before: Atom, after: Atom) -> float:
    return max(0, after.start_ms - before.end_ms - 300) / 500


def _cue_cost(atoms: Sequence[Atom], start: int, stop: int, cue_columns: int) -> float:
    """How unwelcome this cue is: 1 for being one more, and more for a bad end, haste and emptiness."""
    is_last = stop == len(atoms)
    # The run's last cue may stay on in the silence after it, so it is never too short here.
    until_ms = atoms[stop - 1].end_ms + RUN_PAUSE_MS if is_last else atoms[stop].start_ms
    room_ms = max(1, until_ms - atoms[start].start_ms)
    cost = 1.0 + 0.6 * (1 - min(1.0, cue_columns / _CUE_COLUMNS)) ** 2  # even filling
    cost += 3.0 * max(0.0, 1 - room_ms / MIN_CUE_MS)
    cost += min(2.0, max(0.0, cue_columns * 1000 / room_ms / FAST_READING_CPS - 1))
    if not is_last:
        pause_ms = atoms[stop].start_ms - atoms[stop - 1].end_ms
        cost += _break_cost(atoms[stop - 1].text) - 0.8 * min(1.0, pause_ms / RUN_PAUSE_MS)
    return cost


def _break_cost(text: str) -> float:
    return 0.0 if ends_sentence(text) else 0.6 if ends_clause(text) else 2.0


def _schedule(drafts: Sequence[_Run], duration_ms: int) -> list[tuple[int, int]]:
    """When each cue comes and goes: sorted, apart, within the recording."""
    if not drafts:
        return []
    # Where more cues than glimpses fit into the recording, glimpses and gaps shrink alike.
    scale = min(1.0, duration_ms / len(drafts) / (GLIMPSE_MS + GAP_MS))
    glimpse_ms, gap_ms = int(GLIMPSE_MS * scale), int(GAP_MS * scale)
    starts = _starts(drafts, duration_ms, glimpse_ms, gap_ms)
    limits = [*(start - gap_ms for start in starts[1:]), duration_ms]
    times = []
    for draft, start_ms, limit_ms in zip(drafts, starts, limits, strict=True):
        reading_ms = round(width(draft.atoms) * 1000 / READING_CPS)
        end_ms = min(max(draft.end_ms, start_ms + max(reading_ms, MIN_CUE_MS)), start_ms + MAX_CUE_MS)
        if limit_ms - end_ms < CHAIN_MS and limit_ms < duration_ms:
            end_ms = min(limit_ms, start_ms + MAX_CUE_MS)
        times.append((start_ms, min(end_ms, limit_ms)))
    return times


def _starts(drafts: Sequence[_Run], duration_ms: int, glimpse_ms: int, gap_ms: int) -> list[int]:
    starts: list[int] = []
    for index, draft in enumerate(drafts):
        start_ms = draft.start_ms
        if index:
            before = drafts[index - 1]
            # Somebody talks into another's words: let those be read first, if that is soon.
            reading_ms = round(width(before.atoms) * 1000 / FAST_READING_CPS)
            read_ms = min(before.end_ms, starts[-1] + reading_ms)
            if read_ms > start_ms:
                start_ms = min(read_ms + gap_ms, start_ms + MAX_DELAY_MS)
            start_ms = max(start_ms, starts[-1] + glimpse_ms + gap_ms)
        starts.append(start_ms)
    # The last cue gets its time even at the very end, if nobody speaks just before it.
    free_ms = drafts[-2].end_ms + gap_ms if len(drafts) > 1 else 0
    starts[-1] = min(starts[-1], max(free_ms, duration_ms - MIN_CUE_MS, 0))
    latest_ms = duration_ms - glimpse_ms
    for index in range(len(starts) - 1, -1, -1):
        starts[index] = max(0, min(starts[index], latest_ms))
        latest_ms = starts[index] - gap_ms - glimpse_ms
    return starts
