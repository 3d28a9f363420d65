"""Reading the recordings to train on: a folder for each word, decoded in the sandbox.

What lives here: which files belong to which word and speaker. What does not: how they are divided
(`corpus`).

    FOLDER/yes/a.wav            a recording of "yes" by somebody
    FOLDER/yes/sara/a.wav       a recording of "yes" by sara
    FOLDER/unknown/…            other words, or long recordings of other speech
    FOLDER/silence/…            noises without speech
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.classify.training.corpus import Example
from clearcast.errors import InputError, TrainingSetUnusable
from clearcast.settings import AudioSettings
from clearcast.speech.keywords import SILENCE, UNKNOWN

_LONGEST_WORD_S = 2.0
_LONGEST_OTHER_S = 120.0  # of each recording in "unknown" and "silence"; more would only fill the memory
_MOST_LABELS = 500


@dataclass(frozen=True, slots=True)
class Found:
    """A recording to be read: its word, its speaker where the folders tell, and where it lies."""

    label: str
    speaker: str | None
    path: Path


@dataclass(frozen=True, slots=True)
class Refused:
    """A recording that cannot be used, and why."""

    path: Path
    reason: str


def find_recordings(folder: Path, suffixes: frozenset[str]) -> list[Found]:
    """All recordings below the folders of `folder`, in order. Raises TrainingSetUnusable."""
    if not folder.is_dir():
        raise TrainingSetUnusable(f"There is no folder {str(folder)!r}.")
    labels = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found: list[Found] = []
    for label in labels:
        for path in sorted(label.rglob("*")):
            places = path.relative_to(label).parts
            hidden = any(place.startswith(".") for place in places)
            if path.suffix.lower() in suffixes and path.is_file() and not hidden:
                found.append(Found(label.name, places[0] if len(places) > 1 else None, path))
    keywords = {one.label for one in found} - {UNKNOWN, SILENCE}
    if not 2 <= len(keywords) <= _MOST_LABELS:
        raise TrainingSetUnusable(
            f"{str(folder)!r} has recordings of {len(keywords)} words; 2 to {_MOST_LABELS} are needed.",
            hint="One folder for each word, with its recordings in it.",
        )
    return found


def read_recordings(
    found: Sequence[Found],
    limits: AudioSettings,
    progress: Callable[[int], None],
    workers: int = 2,
) -> tuple[list[Example], list[Refused]]:
    """The examples, in order, and what cannot be used. `progress` hears how many are read."""
    examples: list[Example] = []
    refused: list[Refused] = []
    with tempfile.TemporaryDirectory(prefix="clearcast-") as temporary:
        read = partial(_read, limits=limits, temporary=Path(temporary))
        pool = ThreadPoolExecutor(workers)
        try:
            for count, one in enumerate(pool.map(read, range(len(found)), found), start=1):
                (examples if isinstance(one, Example) else refused).append(one)  # type: ignore[arg-type]
                progress(count)
        finally:
            pool.shutdown(cancel_futures=True)
    return examples, refused


def _read(number: int, found: Found, limits: AudioSettings, temporary: Path) -> Example | Refused:
    copy = temporary / f"{number}.wav"
    is_word = found.label not in {UNKNOWN, SILENCE}
    try:
        prepare_sync(found.path, copy, limits)
        with Recording.open(copy) as recording:
            if is_word and recording.duration_s > _LONGEST_WORD_S:
                return Refused(found.path, f"longer than a word: {recording.duration_s:.1f} s")
            samples = recording.read(0.0, _LONGEST_OTHER_S)
    except InputError as error:
        return Refused(found.path, error.code)
    finally:
        copy.unlink(missing_ok=True)
    if len(samples) < SAMPLE_RATE_HZ // 20 or not samples.any():
        return Refused(found.path, "no sound in it")
    return Example(found.label, found.speaker, samples)
