"""`clearcast classify`: which keywords are said, as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from rich.table import Table

from clearcast.audio.atomic import whole_or_absent
from clearcast.cli import exit_codes, options
from clearcast.cli.inputs import Source, collect
from clearcast.cli.job_view import follow_job
from clearcast.cli.options import ServerOptions
from clearcast.cli.progress import count_bar
from clearcast.cli.session import Session, pass_session
from clearcast.cli.workers import LocalWorker, connect, refuse_with_server, temporary_folder
from clearcast.client import ClearCast
from clearcast.client.wire import error_of_task
from clearcast.engines.classify.contract import ClassifyOptions
from clearcast.errors import ClearCastError, JobUnfinished
from clearcast.settings import Settings
from clearcast.settings_section import EngineChoice
from clearcast.speech.keywords import Keywords
from clearcast.speech.keywords_file import Classified, write_all, write_table

_FILES_IN_A_JOB = 100

Outcomes = list[Keywords | ClearCastError]

_target = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Which keywords are said, and when: tables of many files.")
@click.argument("inputs", nargs=-1, required=True, metavar="FILE|FOLDER|- …")
@click.option("--csv", "csv_file", type=_target, metavar="FILE", help="A table with commas.")
@click.option("--txt", "txt_file", type=_target, metavar="FILE", help="The same with tabs, without a head.")
@click.option("--json", "json_file", type=_target, metavar="FILE", help="Complete, with engine and model.")
@click.option(
    "--model", "-m", metavar="NAME|FOLDER", help="persian-digits, or a folder of `train-keywords`."
)
@click.option(
    "--min-silence", type=float, default=0.2, metavar="S", help="A pause that ends a word, seconds. (0.2)"
)
@click.option(
    "--silence-db",
    type=float,
    metavar="DB",
    help="What is quieter is silence, such as -40; by default whatever does not rise above the noise.",
)
@click.option("--window", type=float, default=1.0, metavar="S", help="Longer stretches are cut. (1)")
@click.option("--min-probability", type=float, metavar="P", help="Less likely words are unknown.")
@click.option("--unknown", "keep_unknown", is_flag=True, help="Tell other words too, as unknown.")
@options.server
@pass_session
def classify(
    session: Session,
    inputs: tuple[str, ...],
    csv_file: Path | None,
    txt_file: Path | None,
    json_file: Path | None,
    model: str | None,
    min_silence: float,
    silence_db: float | None,
    window: float,
    min_probability: float | None,
    keep_unknown: bool,
    server: ServerOptions,
) -> None:
    """Which keywords are said in recordings, and when; without a model of your own, Persian digits.

    Every word has file, start, end (seconds), label and probability. A file that cannot be read is a line
    with its error, and does not stop the rest.

    \b
    clearcast classify digits.wav                           show them
    clearcast classify recordings/ --csv words.csv
    clearcast classify recordings/ --csv words.csv --min-silence 0.5 --silence-db -40
    clearcast classify commands/ --model ./my-model/ --json words.json
    """
    refuse_with_server(server, model=model)
    wanted = ClassifyOptions(min_silence, silence_db, window, min_probability, keep_unknown)
    with ExitStack() as stack:
        temporary = stack.enter_context(temporary_folder())
        sources = collect(inputs, temporary, session.settings.audio.max_upload_bytes)
        _refuse_overwriting(sources, (csv_file, txt_file, json_file))
        if server.url is None:
            worker = LocalWorker(session, with_keyword_model(session.settings, model), temporary)
            told = stack.enter_context(count_bar(session, "spotting keywords", len(sources)))
            outcomes = worker.classify([source.path for source in sources], wanted, told)
        else:
            client = stack.enter_context(connect(session, server))
            outcomes = _by_server(session, client, sources, wanted)
    rows = [_row(source, outcome) for source, outcome in zip(sources, outcomes, strict=True)]
    written = {csv_file: lambda: write_table(rows, "csv"), txt_file: lambda: write_table(rows, "txt")}
    _write({**written, json_file: lambda: write_all(rows)})
    if csv_file is txt_file is json_file is None:
        _show(session, rows)
    _tell_failures(session, sources, outcomes)


def with_keyword_model(settings: Settings, model: str | None) -> Settings:
    """The settings with the keyword model of --model, if one is named: a folder, or a name."""
    if model is None:
        return settings
    # A folder is one also without a slash in front: `--model my-model`.
    named = f"{Path(model).resolve()}/" if Path(model).is_dir() else model
    choice = EngineChoice(engine="residual_cnn", options={"model": named})
    return settings.model_copy(update={"engines": settings.engines.model_copy(update={"classify": choice})})


def _by_server(
    session: Session, client: ClearCast, sources: Sequence[Source], wanted: ClassifyOptions
) -> Outcomes:
    given = {
        "min_silence_s": wanted.min_silence_s,
        "silence_db": wanted.silence_db,
        "window_s": wanted.window_s,
        "min_probability": wanted.min_probability,
        "keep_unknown": wanted.keep_unknown,
    }
    outcomes: Outcomes = []
    for start in range(0, len(sources), _FILES_IN_A_JOB):
        paths = [source.path for source in sources[start : start + _FILES_IN_A_JOB]]
        job = follow_job(session, client, client.jobs.submit("classify", paths, options=given).id)
        for task in job.tasks:
            if task.error is not None:
                outcomes.append(error_of_task(task.error))
            elif task.state == "succeeded":
                outcomes.append(client.jobs.keywords(job.id, task.number))
            else:
                outcomes.append(JobUnfinished(f"{task.file_name} was not worked on: {task.state}."))
    return outcomes


def _row(source: Source, outcome: Keywords | ClearCastError) -> Classified:
    if isinstance(outcome, ClearCastError):
        return Classified(source.shown, None, outcome.code)
    return Classified(source.shown, outcome)


def _refuse_overwriting(sources: Sequence[Source], targets: Sequence[Path | None]) -> None:
    named = [target.resolve() for target in targets if target is not None]
    if len(set(named)) < len(named):
        raise click.UsageError("Two of the results would be the same file.")
    for target in set(named) & {source.path.resolve() for source in sources}:
        raise click.UsageError(f"The result would overwrite the input {target}.")


def _write(texts: dict[Path | None, Callable[[], str]]) -> None:
    for path, write in texts.items():
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_or_absent(path) as temporary:
                temporary.write_text(write(), encoding="utf-8", newline="\n")


def _show(session: Session, rows: Sequence[Classified]) -> None:
    table = Table("file", "start", "end", "label", "probability", box=None)
    for row in rows:
        for word in row.found.words if row.found is not None else ():
            times = f"{word.start_s:.2f}", f"{word.end_s:.2f}"
            table.add_row(row.file, *times, word.label, f"{word.probability:.2f}")
    session.results.print(table)


def _tell_failures(session: Session, sources: Sequence[Source], outcomes: Outcomes) -> None:
    failed = [
        (one, error)
        for one, error in zip(sources, outcomes, strict=True)
        if isinstance(error, ClearCastError)
    ]
    if len(failed) == len(sources) == 1:
        raise failed[0][1]
    for source, error in failed:
        session.show_error(error, about=source.shown)
    if failed:
        raise click.exceptions.Exit(exit_codes.SOME_FAILED)
