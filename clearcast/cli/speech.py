"""One file or many: each is worked on in turn, a bad one does not stop the rest, a table sums up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import click
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clearcast.cli import exit_codes
from clearcast.cli.inputs import Source, collect
from clearcast.cli.options import FileOptions, ServerOptions
from clearcast.cli.outputs import OutputPlan, plan_outputs
from clearcast.cli.progress import StageBars
from clearcast.cli.session import Session
from clearcast.cli.view import is_rough, provenance_of
from clearcast.cli.workers import LocalWorker, ServerWorker, Worker, connect, temporary_folder
from clearcast.errors import (
    AccessError,
    ClearCastError,
    LanguageUnsupported,
    ModelError,
    OptionInvalid,
    ServiceUnavailable,
    SettingsInvalid,
)
from clearcast.speech.formats import write_result
from clearcast.speech.meeting import Meeting
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization
from pipelines.stages import StageProgress

ResultT = TypeVar("ResultT", Transcript, Diarization, Meeting)

# These say nothing about the file: every other file would fail in the same way.
_HOPELESS = (
    AccessError,
    LanguageUnsupported,
    ModelError,
    OptionInvalid,
    ServiceUnavailable,
    SettingsInvalid,
)


@dataclass(frozen=True, slots=True)
class _Outcome:
    source: Source
    state: str
    detail: str
    seconds: float


def over_files(
    session: Session,
    files: FileOptions,
    server: ServerOptions,
    kind: type[ResultT],
    work: Callable[[Worker, Path, StageProgress], ResultT],
    show: Callable[[ResultT], None],
    make_local: Callable[[Path], LocalWorker],
) -> None:
    """Do `work` on every input, in this process by the worker that `make_local(temporary folder)` gives, or
    by a server, and bring the results where they belong; `show` is for those that a person reads.

    A single file's error is raised. Of several files the failed ones are told at the end, and the program
    exits with SOME_FAILED; an error that every file would meet ends the run at once.
    """
    with ExitStack() as stack:
        temporary = stack.enter_context(temporary_folder())
        sources = collect(files.inputs, temporary, session.settings.audio.max_upload_bytes)
        plan = plan_outputs(sources, files.output, files.formats, kind)
        worker: Worker
        if server.url is not None:
            worker = ServerWorker(session, stack.enter_context(connect(session, server)))
        else:
            worker = make_local(temporary)
        done = [source for source in sources if files.skip_existing and plan.is_done(source)]
        batch = _Batch(session, plan, partial(work, worker), show, alone=len(sources) == 1)
        batch.run([source for source in sources if source not in done], done)


class _Batch(Generic[ResultT]):
    """One run over several files, or over one alone."""

    def __init__(
        self,
        session: Session,
        plan: OutputPlan,
        work: Callable[[Path, StageProgress], ResultT],
        show: Callable[[ResultT], None],
        *,
        alone: bool,
    ) -> None:
        self.session = session
        self.plan = plan
        self.work: Callable[[Path, StageProgress], ResultT] = work
        self.show: Callable[[ResultT], None] = show
        self.alone = alone
        self.outcomes: list[_Outcome] = []
        self.made_by: dict[Provenance, None] = {}

    def run(self, sources: Sequence[Source], done: Sequence[Source]) -> None:
        self.outcomes += [_Outcome(source, "skipped", "its results are there", 0.0) for source in done]
        bars = StageBars(self.session, len(sources))
        try:
            for source in sources:
                self.outcomes.append(self._outcome(source, bars))
        finally:
            if not self.alone:
                self._sum_up(len(sources) + len(done))
        self._tell_makers()
        if any(outcome.state == "failed" for outcome in self.outcomes):
            raise click.exceptions.Exit(exit_codes.SOME_FAILED)

    def _outcome(self, source: Source, bars: StageBars) -> _Outcome:
        started_s = time.monotonic()
        try:
            with bars.file(source.shown) as progress:
                result = self.work(source.path, progress)
            state, detail = "done", self._deliver(source, result)
            self.made_by.update(dict.fromkeys(provenance_of(result)))
        except Exception as error:
            if self.alone or isinstance(error, _HOPELESS):
                raise
            self.session.show_error(error, about=source.shown)
            state = "failed"
            detail = error.code if isinstance(error, ClearCastError) else type(error).__name__
        return _Outcome(source, state, detail, time.monotonic() - started_s)

    def _deliver(self, source: Source, result: ResultT) -> str:
        """Bring the result where it belongs; returns where that was."""
        if self.plan.files:
            written = ", ".join(str(path) for path in self.plan.write(source, result))
            self.session.note(f"{source.shown} → {written}")
            return written
        if self.plan.formats:
            click.echo(write_result(result, self.plan.formats[0], source.relative.stem), nl=False)
            return "standard output"
        if not self.alone:
            self.session.results.print(source.shown, style="bold underline", markup=False)
        self.show(result)
        return "shown"

    def _sum_up(self, num_sources: int) -> None:
        if self.session.quiet:
            return
        title = f"{len(self.outcomes)} of {num_sources} files"
        table = Table("file", "result", "where or why", "seconds", title=title)
        styles = {"done": "green", "skipped": "dim", "failed": "red"}
        for outcome in self.outcomes:
            state = Text(outcome.state, style=styles[outcome.state])
            seconds = f"{outcome.seconds:.1f}"
            table.add_row(escape(outcome.source.shown), state, escape(outcome.detail), seconds)
        self.session.notes.print(table)

    def _tell_makers(self) -> None:
        """Which engines and models made the results, where those do not show it, and which are rough."""
        if self.made_by and (self.plan.files or self.plan.formats):
            self.session.note("Made by " + "; ".join(map(str, self.made_by)), style="dim")
        for made_by in self.made_by:
            if is_rough(made_by):
                self.session.note(
                    f"{made_by.engine} is rough: expect many wrong words. Far better:"
                    " clearcast models pull whisper-small, then the same command with --model small.",
                    style="yellow",
                )
