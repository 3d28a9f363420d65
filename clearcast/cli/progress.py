"""How far the work is: bars on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from clearcast.cli.session import Session
from clearcast.client.types import JobEvent
from pipelines.stages import StageProgress, ignore_stages

if TYPE_CHECKING:
    from clearcast.models.pull import PullProgress  # the hub's library takes most of a second


_PERCENT = TextColumn("{task.percentage:>3.0f} %")

STAGES = {
    "decode": "reading the file",
    "diarize": "telling speakers apart",
    "identify": "looking up names",
    "listen": "finding speech",
    "transcribe": "writing down words",
    "denoise": "taking noise away",
    "boost": "making it louder",
    "separate": "taking it apart",
    "score": "measuring it",
    "match": "comparing voices",
    "extract": "keeping the voice",
    "classify": "spotting keywords",
    "server": "waiting for the server",
}


def title_of(stage: str) -> str:
    """A stage in words; those of a chain ("2-enhance-denoise") with the number of their step."""
    number, _, rest = stage.partition("-")
    if number.isdigit():
        return f"step {number}: {title_of(rest.partition('-')[2])}"
    return STAGES.get(stage, stage)


class StageBars:
    """Bars for the files of one run: one for each stage of the file in work, one for all files."""

    def __init__(self, session: Session, num_files: int) -> None:
        self._session = session
        self._num_files = num_files
        self._num_done = 0

    @contextmanager
    def file(self, name: str) -> Iterator[StageProgress]:
        """Show the stages of one file. The bars are gone at the end, before its result is shown."""
        if self._session.quiet:
            yield ignore_stages
        elif self._session.notes.is_terminal:
            with _bars(self._session, BarColumn(), _PERCENT, TimeElapsedColumn()) as bars:
                if self._num_files > 1:
                    bars.add_task("files", total=self._num_files, completed=self._num_done)
                yield _Stages(bars, name)
        else:
            yield _StageLines(self._session, name)
        self._num_done += 1


class _Stages:
    """A `StageProgress` that adds a bar for each stage as it begins."""

    def __init__(self, bars: Progress, name: str) -> None:
        self._bars = bars
        self._name = name
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, fraction: float) -> None:
        if stage not in self._tasks:
            for task in self._tasks.values():
                self._bars.update(task, completed=1.0)
            words = title_of(stage)
            self._tasks[stage] = self._bars.add_task(f"{self._name}: {words}", total=1.0)
        self._bars.update(self._tasks[stage], completed=fraction)


class _StageLines:
    """A `StageProgress` that prints a line for each stage as it begins."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self._told: set[str] = set()

    def __call__(self, stage: str, fraction: float) -> None:
        if stage not in self._told:
            self._told.add(stage)
            self._session.note(f"{self._name}: {title_of(stage)} …")


def _bars(session: Session, *columns: ProgressColumn) -> Progress:
    # Standard output stays as it is: rich would lead it to the console of the bars, standard error.
    return Progress(
        TextColumn("{task.description}"),
        *columns,
        TimeRemainingColumn(),
        console=session.notes,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


@contextmanager
def byte_bar(session: Session, name: str) -> Iterator[PullProgress]:
    """A bar for bytes that arrive or are read; on no terminal a line for each quarter."""
    if session.quiet or not session.notes.is_terminal:
        yield _quarters(session, name)
        return
    with _bars(session, BarColumn(), DownloadColumn(), TransferSpeedColumn()) as bars:
        task = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def count_bar(session: Session, words: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for things that are done one by one, told how many are; on no terminal one line."""
    if session.quiet or not session.notes.is_terminal:
        session.note(f"{words} ({total}) …")
        yield lambda _done: None
        return
    with _bars(session, BarColumn(), _PERCENT, TimeElapsedColumn()) as bars:
        task = bars.add_task(words, total=total)
        yield lambda done: bars.update(task, completed=done)


def _quarters(session: Session, name: str) -> PullProgress:
    told = -1

    def tell(done_bytes: int, total_bytes: int) -> None:
        nonlocal told
        quarter = 4 * done_bytes // total_bytes if total_bytes else 4
        if quarter > told:
            told = quarter
            session.note(f"{name}: {done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB")

    return tell


class JobBars:
    """The files of a job on a server: a bar for each one in work, named by its stage, and one for all.

    Elsewhere than on a terminal, a line for each stage of each file as it begins.
    """

    def __init__(self, session: Session, names: Mapping[int, str]) -> None:
        self._session = session
        self._names = names
        self._told: set[tuple[int, str]] = set()
        self._num_done = 0
        self._bars: Progress | None = None
        self._tasks: dict[int, TaskID] = {}
        self._all: TaskID | None = None

    def __enter__(self) -> Self:
        if not self._session.quiet and self._session.notes.is_terminal:
            self._bars = _bars(self._session, BarColumn(), _PERCENT, TimeElapsedColumn())
            self._bars.start()
            if len(self._names) > 1:
                self._all = self._bars.add_task("files", total=len(self._names))
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def hear(self, event: JobEvent) -> None:
        """Show what an event tells."""
        if event.task is None:
            return
        if event.name == "task":
            self._ended(event.task)
        elif event.name == "progress" and event.stage is not None:
            self._goes_on(event.task, event.stage.partition("/")[0], event.fraction or 0.0)

    def _goes_on(self, number: int, stage: str, fraction: float) -> None:
        words = f"{self._names.get(number, number)}: {title_of(stage)}"
        if self._bars is not None:
            if number not in self._tasks:
                self._tasks[number] = self._bars.add_task(words, total=1.0)
            self._bars.update(self._tasks[number], description=words, completed=fraction)
        elif (number, stage) not in self._told:
            self._told.add((number, stage))
            self._session.note(f"{words} …")

    def _ended(self, number: int) -> None:
        self._num_done += 1
        if self._bars is None:
            return
        if number in self._tasks:
            self._bars.remove_task(self._tasks.pop(number))
        if self._all is not None:
            self._bars.update(self._all, completed=self._num_done)
