"""`clearcast batch`: any pipeline over many files, to be stopped and gone on with at will."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from clearcast.audio.encode import FORMATS as SOUND_FORMATS
from clearcast.cli import exit_codes, options
from clearcast.cli.batch_view import BatchView, show_plan
from clearcast.cli.remote import parse_settings
from clearcast.cli.session import Session, pass_session
from clearcast.cli.sounds import services_of
from clearcast.cli.voice_shelves import local_voices
from clearcast.cli.workers import LocalWorker, temporary_folder, with_model
from clearcast.errors import OptionInvalid
from clearcast.settings import Settings
from clearcast.speech.formats import format_named
from pipelines.batch.estimate import estimate
from pipelines.batch.folder_lock import only_batch_in
from pipelines.batch.plan import BatchOrder, BatchPlan, Item, plan_batch
from pipelines.batch.record import Record
from pipelines.batch.sources import find_items
from pipelines.batch.table import write_table


@click.command(short_help="Any pipeline over many files; stop and go on at will.")
@click.argument("pipeline")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE …")
@click.option(
    "--output",
    "-o",
    "destination",
    required=True,
    metavar="FOLDER|s3://BUCKET/PREFIX",
    help="Where results, records and the table go.",
)
@click.option(
    "--option",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the pipeline, for example language=fa; may be given several times.",
)
@click.option(
    "--format",
    "-f",
    "formats",
    default="json",
    metavar="FORMATS",
    help="Of documents, with commas: json, txt, srt, vtt, rttm. (json)",
)
@click.option(
    "--sound-format",
    type=click.Choice(sorted(SOUND_FORMATS)),
    default="flac",
    help="Of the sounds that are made. (flac)",
)
@options.model
@options.voices_file
@click.option(
    "--workers",
    "-w",
    type=click.IntRange(min=1),
    metavar="N",
    help="Files worked on at a time on CPUs. (one for each core)",
)
@click.option("--retry-failed", is_flag=True, help="Try files again that could not be used before.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and how long that may take.")
@pass_session
def batch(
    session: Session,
    pipeline: str,
    sources: Sequence[str],
    destination: str,
    given: tuple[str, ...],
    formats: str,
    sound_format: str,
    model: str | None,
    voices_file: Path | None,
    workers: int | None,
    retry_failed: bool,
    dry_run: bool,
) -> None:
    """Run PIPELINE over every SOURCE: a folder, a pattern, files, a manifest, or a prefix of a bucket.

    A manifest is a CSV file with a column `file`, or a JSONL file with that field; what else is in a line
    are options for this file. A bad file is a row of the table, never a stop. Stopped or killed at any
    moment, the same command goes on where it was: what is finished is not done again.

    \b
    clearcast batch meeting calls/ -o results/
    clearcast batch transcription 'talks/**/*.mp3' -o text/ -f txt,srt --option language=fa
    clearcast batch enhance s3://radio/raw -o s3://radio/clean --sound-format opus
    clearcast batch diarization calls.csv -o turns/ --dry-run
    clearcast batch chain tapes/ -o out/ --option 'steps=[{"pipeline":"enhance"},{"pipeline":"meeting"}]'
    """
    settings = _without_token(with_model(session.settings, model))
    order = BatchOrder(
        pipeline=pipeline,
        options=_absolute(parse_settings(given)),
        formats=_formats(formats),
        sound_format=sound_format,
        bits=SOUND_FORMATS[sound_format].result_bits,
        destination=_address(destination),
        settings=settings,
        voices=local_voices(settings, voices_file),
        run_id=secrets.token_hex(6),
    )
    _do(session, order, sources, workers, retry_failed=retry_failed, dry_run=dry_run)


def _do(
    session: Session,
    order: BatchOrder,
    sources: Sequence[str],
    workers: int | None,
    *,
    retry_failed: bool,
    dry_run: bool,
) -> None:
    _check(session, order)
    items = find_items(sources, order.destination, order.settings.storage)
    plan = plan_batch(order, items, retry_failed=retry_failed)
    workers = workers or len(os.sched_getaffinity(0))
    if dry_run:
        services = services_of(order.pipeline, order.options)
        show_plan(session, order, plan, estimate(order, plan, workers, sorted(services)))
        return
    with only_batch_in(order.destination):
        rows = _run(session, order, plan, workers)
    if any(record.outcome == "failed" for _, record in rows):
        raise click.exceptions.Exit(exit_codes.SOME_FAILED)


def _run(session: Session, order: BatchOrder, plan: BatchPlan, workers: int) -> list[tuple[Item, Record]]:
    """Do what is to do; the table is written whatever happens. Returns its rows."""
    rows = list(plan.done)
    with temporary_folder() as temporary, BatchView(session, plan) as view:
        try:
            if plan.todo:
                with _interruptible(session), _alone_on_the_terminal(session):
                    from deployments.batch import run_batch  # Ray takes seconds to import

                    with closing(run_batch(order, plan.todo, workers)) as ended:
                        for item, record in ended:
                            rows.append((item, record))
                            view.ended(item, record)
        except KeyboardInterrupt:
            session.note("What is finished stays; the same command goes on from here.")
            raise
        finally:
            names = write_table(order.place, order.pipeline, rows, temporary)
            session.note(f"{len(rows)} of {len(plan.todo) + len(plan.done)} files in {' and '.join(names)}")
    return rows


@contextmanager
def _interruptible(session: Session) -> Iterator[None]:
    """Ctrl-C ends the batch in an orderly way, a second one at once: the kernel then ends Ray too."""
    was_asked = False

    def interrupted(_number: int, _frame: object) -> None:
        nonlocal was_asked
        if was_asked:
            session.notes.show_cursor(True)
            os._exit(exit_codes.INTERRUPTED)
        was_asked = True
        session.note("Stopping … (Ctrl-C again to leave at once)")
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _alone_on_the_terminal(session: Session) -> Iterator[None]:
    """Keep Ray's own words, some of them from its C++ parts, out of ours; --debug shows them."""
    if session.debug:
        yield
        return
    ours = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    notes = session.notes.file
    try:
        os.dup2(silence, 2)
        with os.fdopen(os.dup(ours), "w", buffering=1, encoding="utf-8") as file:
            session.notes.file = file
            yield
    finally:
        session.notes.file = notes
        os.dup2(ours, 2)
        os.close(ours)
        os.close(silence)


def _check(session: Session, order: BatchOrder) -> None:
    """Raises OptionInvalid, ModelMissing, ModelCorrupt before any work, where every file would fail."""
    order.options_of(Item("", "", 0, ""))
    worker = LocalWorker(session, order.settings, Path())
    worker.require(*services_of(order.pipeline, order.options))


def _without_token(settings: Settings) -> Settings:
    """Workers download nothing: the hub's token stays in this process."""
    models = settings.models.model_copy(update={"hub_token": None})
    return settings.model_copy(update={"models": models})


def _absolute(given: Mapping[str, Any]) -> dict[str, Any]:
    """Workers have another current folder: what names a file here is given as its whole path."""
    return {
        name: str(Path(value).resolve()) if isinstance(value, str) and Path(value).is_file() else value
        for name, value in given.items()
    }


def _formats(text: str) -> tuple[str, ...]:
    names = dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip())
    if not names:
        raise OptionInvalid("At least one format is needed.", hint="--format json")
    return tuple(format_named(name).name for name in names)


def _address(destination: str) -> str:
    if destination.startswith("s3://"):
        return destination.rstrip("/")
    path = Path(destination).expanduser().resolve()
    if path.is_file():
        raise click.UsageError(f"{destination} is a file; name a folder.")
    return str(path)
