"""How a batch is going: a bar with pace and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from clearcast.cli.session import Session
from pipelines.batch.estimate import Estimate
from pipelines.batch.plan import BatchOrder, BatchPlan, Item
from pipelines.batch.record import Record

_LINE_EVERY_S = 10.0
_SHOWN_FILES = 20


class BatchView:
    """Told of every file that ends."""

    def __init__(self, session: Session, plan: BatchPlan) -> None:
        self._session = session
        self._num_todo, self._num_done_before = len(plan.todo), len(plan.done)
        self._total_bytes = sum(item.size_bytes for item in plan.todo)
        self._num_ended = self._num_failed = self._ended_bytes = 0
        self._heard_s = 0.0
        self._started_s = self._first_s = self._told_s = time.monotonic()
        self._bars: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._num_done_before:
            self._session.note(f"{self._num_done_before} files are done already.")
        if self._num_todo:
            self._session.note(f"{self._num_todo} files to do; the workers are starting …")
        if self._num_todo and not self._session.quiet and self._session.notes.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._bars = Progress(
                *columns,
                console=self._session.notes,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bars.start()
            self._task = self._bars.add_task("files", total=self._num_todo)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
        if self._num_ended:
            self._session.note(self._words())

    def ended(self, item: Item, record: Record) -> None:
        """Show how far it is; a failure is told at once."""
        now_s = time.monotonic()
        if self._num_ended == 0:
            self._first_s = now_s
        self._num_ended += 1
        self._ended_bytes += item.size_bytes
        self._heard_s += record.duration_s or 0.0
        if record.outcome == "failed":
            self._num_failed += 1
            self._session.note(f"{item.name}: {record.message} [{record.error_code}]", style="red")
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self._num_ended, description=self._words())
        elif now_s - self._told_s >= _LINE_EVERY_S or self._num_ended == 1:
            self._told_s = now_s
            self._session.note(self._words())

    def _words(self) -> str:
        """For example "120 of 400 files, 2 failed, 38 × real time, 3 min left"."""
        words = [f"{self._num_ended} of {self._num_todo} files"]
        if self._num_failed:
            words.append(f"{self._num_failed} failed")
        elapsed_s = time.monotonic() - self._started_s
        words.append(f"{self._heard_s / max(elapsed_s, 0.001):.1f} × real time")
        if self._ended_bytes and self._num_ended < self._num_todo:
            # Once the models are loaded the pace is even; until then only the whole time can tell.
            since_s = time.monotonic() - self._first_s if self._num_ended > 1 else elapsed_s
            left = (self._total_bytes - self._ended_bytes) / self._ended_bytes
            words.append(f"{in_words(since_s * left)} left")
        return ", ".join(words)


def show_plan(session: Session, order: BatchOrder, plan: BatchPlan, guess: Estimate) -> None:
    """What would be done, as results on standard output."""
    show = session.results
    size_mb = sum(item.size_bytes for item in plan.todo) / 1e6
    show.print(
        f"{order.pipeline}: {len(plan.todo)} files to do ({size_mb:.1f} MB), {len(plan.done)} done already,"
        f" results to {order.destination}",
        markup=False,
    )
    for item in plan.todo[:_SHOWN_FILES]:
        show.print(f"  {item.source} → {item.name}", markup=False)
    if len(plan.todo) > _SHOWN_FILES:
        show.print(f"  … and {len(plan.todo) - _SHOWN_FILES} more")
    if guess.duration_s is not None:
        show.print(f"About {in_words(guess.duration_s)} of sound.")
    time_needed = "unknown" if guess.seconds is None else in_words(guess.seconds)
    show.print(f"Estimated time: {time_needed} ({guess.basis})", markup=False)


def in_words(seconds: float) -> str:
    """For example "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
