"""`clearcast jobs`: work that a ClearCast server does by itself, and that survives everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from clearcast.audio.atomic import whole_or_absent
from clearcast.audio.encode import FORMATS as SOUND_FORMATS
from clearcast.cli import exit_codes, options
from clearcast.cli.job_view import follow_job, show_job
from clearcast.cli.options import ServerOptions
from clearcast.cli.progress import byte_bar
from clearcast.cli.remote import client_of, parse_settings, place_for
from clearcast.cli.session import Session, pass_session
from clearcast.client import ClearCast
from clearcast.client.orders import FileWithOptions, GivenFile, OrderFields
from clearcast.client.types import JobState, Priority
from clearcast.errors import JobUnfinished
from clearcast.storage.places import S3
from pipelines.batch.manifest import is_manifest, read_manifest

_STATES = ("queued", "running", "succeeded", "failed", "cancelled")


@click.group(short_help="Work that a server queues and does by itself.")
def jobs() -> None:
    """Work that a ClearCast server queues and does by itself: this program may end meanwhile.

    Without --server the server on this machine is meant.

    \b
    clearcast jobs submit meeting monday.mp3 --follow
    clearcast jobs list
    clearcast jobs download job_01k9x3v7w2e8m5q4r6t9y0z1ab -f srt
    """


@jobs.command()
@click.argument("pipeline")
@click.argument("files", nargs=-1, required=True, metavar="FILE|ID|s3://BUCKET/PREFIX …")
@click.option(
    "--option",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the pipeline, for example language=fa; may be given several times.",
)
@click.option(
    "--priority",
    type=click.Choice(["low", "normal", "high"]),
    default="normal",
    help="Among your own jobs (normal).",
)
@click.option("--label", default="", metavar="TEXT", help="For you to know it by.")
@click.option("--webhook", metavar="URL", help="Address that is told, signed, when the job has ended.")
@click.option("--key", metavar="TEXT", help="The same key again gives the same job, not a second one.")
@click.option(
    "--output",
    "-o",
    "destination",
    metavar="s3://BUCKET/PREFIX",
    help="A prefix of a bucket that results go to as well, if the server may write there.",
)
@click.option(
    "--format", "formats", metavar="FORMATS", help="Of documents there, with commas: json, txt, srt, …"
)
@click.option(
    "--sound-format", type=click.Choice(sorted(SOUND_FORMATS)), help="Of sounds there; flac if not given."
)
@click.option("--follow", "-f", "is_followed", is_flag=True, help="Stay and show how it goes.")
@options.server
@pass_session
def submit(
    session: Session,
    pipeline: str,
    files: Sequence[str],
    given: tuple[str, ...],
    priority: Priority,
    label: str,
    webhook: str | None,
    key: str | None,
    destination: str | None,
    formats: str | None,
    sound_format: str | None,
    is_followed: bool,
    server: ServerOptions,
) -> None:
    """Queue PIPELINE on files of this machine, on files sent before, by id, or on all recordings below a
    prefix of a bucket that the server reads from; prints the job's id.

    A manifest (.csv with a column `file`, or .jsonl), here or in a bucket, names files with options of
    their own in its other columns.

    \b
    clearcast jobs submit meeting monday.mp3
    clearcast jobs submit meeting week/*.mp3 --option language=fa --label 'week 9' --follow
    clearcast jobs submit transcription file_01k9z3x5c8m2v7q4w6t1r0y9pb --priority high
    clearcast jobs submit meeting s3://radio/2026/march -o s3://radio/text --format json,srt
    clearcast jobs submit transcription calls.csv --priority low
    """
    order: OrderFields = {"options": parse_settings(given), "priority": priority, "label": label}
    if webhook is not None:
        order["webhook_url"] = webhook
    if key is not None:
        order["idempotency_key"] = key
    if destination is not None:
        order["destination"] = destination
    if formats is not None:
        order["formats"] = [name.strip() for name in formats.split(",") if name.strip()]
    if sound_format is not None:
        order["sound_format"] = sound_format
    with client_of(session, server) as client:
        with byte_bar(session, "upload") as progress:
            job = client.jobs.submit(pipeline, list(_with_manifests(files)), progress, **order)
        click.echo(job.id)
        if is_followed:
            _follow(session, client, job.id)


@jobs.command(name="list")
@click.option("--state", type=click.Choice(_STATES), help="Only jobs in this state.")
@click.option("--pipeline", metavar="NAME", help="Only jobs of this kind.")
@click.option("--limit", type=click.IntRange(min=1), default=20, metavar="N", help="The newest N (20).")
@options.server
@pass_session
def list_(
    session: Session, state: JobState | None, pipeline: str | None, limit: int, server: ServerOptions
) -> None:
    """Show your jobs, the newest first.

    \b
    clearcast jobs list
    clearcast jobs list --state failed --limit 5
    """
    table = Table("id", "pipeline", "label", "state", "created", box=None)
    with client_of(session, server) as client:
        for _, job in zip(range(limit), client.jobs.list(state, pipeline), strict=False):
            created = job.created_at.isoformat(sep=" ", timespec="minutes")
            table.add_row(job.id, job.pipeline, Text(job.label), job.state, created)
    if not table.row_count:
        session.note("There are no such jobs. Queue one: clearcast jobs submit PIPELINE FILE …")
        return
    session.results.print(table)


@jobs.command()
@click.argument("job_id", metavar="ID")
@options.server
@pass_session
def show(session: Session, job_id: str, server: ServerOptions) -> None:
    """Show how a job goes: state, progress, time left, place in the queue, results.

    \b
    clearcast jobs show job_01k9x3v7w2e8m5q4r6t9y0z1ab
    """
    with client_of(session, server) as client:
        show_job(session.results, client.jobs.get(job_id))


@jobs.command()
@click.argument("job_id", metavar="ID")
@options.server
@pass_session
def follow(session: Session, job_id: str, server: ServerOptions) -> None:
    """Show how a job goes until it has ended. Ctrl-C ends the showing; the job goes on.

    \b
    clearcast jobs follow job_01k9x3v7w2e8m5q4r6t9y0z1ab
    """
    with client_of(session, server) as client:
        _follow(session, client, job_id)


@jobs.command()
@click.argument("job_id", metavar="ID")
@options.server
@pass_session
def cancel(session: Session, job_id: str, server: ServerOptions) -> None:
    """Stop what runs and drop what waits; what is finished stays.

    \b
    clearcast jobs cancel job_01k9x3v7w2e8m5q4r6t9y0z1ab
    """
    with client_of(session, server) as client:
        job = client.jobs.cancel(job_id)
    session.note(f"{job_id} is {'stopping' if not job.has_ended else job.state}.", style="green")


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.option("--follow", "-f", "is_followed", is_flag=True, help="Stay and show how it goes.")
@options.server
@pass_session
def retry(session: Session, job_id: str, is_followed: bool, server: ServerOptions) -> None:
    """Try again what failed or was cancelled; goes on after the last finished stage of each file.

    \b
    clearcast jobs retry job_01k9x3v7w2e8m5q4r6t9y0z1ab --follow
    """
    with client_of(session, server) as client:
        client.jobs.retry(job_id)
        session.note(f"{job_id} is queued again.", style="green")
        if is_followed:
            _follow(session, client, job_id)


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.option(
    "--format", "-f", "format_name", metavar="FORMAT", help="json (as stored), txt, srt, vtt, rttm."
)
@click.option("--name", metavar="NAME", help="Which result; the main one when not given.")
@click.option(
    "--task", type=click.IntRange(min=0), metavar="N", help="Only the file with this number, from 0."
)
@click.option("--output", "-o", metavar="FILE|FOLDER", help="Where to; this folder when not given.")
@options.server
@pass_session
def download(
    session: Session,
    job_id: str,
    format_name: str | None,
    name: str | None,
    task: int | None,
    output: str | None,
    server: ServerOptions,
) -> None:
    """Fetch the results of a job, one for each of its files.

    \b
    clearcast jobs download job_01k9x3v7w2e8m5q4r6t9y0z1ab
    clearcast jobs download job_01k9x3v7w2e8m5q4r6t9y0z1ab -f srt -o subtitles/
    """
    suffix = (format_name or "json").lower()
    with client_of(session, server) as client:
        tasks = [each for each in client.jobs.tasks(job_id) if task is None or each.number == task]
        done = 0
        for each in tasks:
            stem = Path(each.file_name).stem or job_id
            numbered = stem if len({Path(one.file_name).stem for one in tasks}) == len(tasks) else None
            shown = f"{numbered or f'{each.number:04d}-{stem}'}.{suffix}"
            target = place_for(output, shown, is_folder=output is not None and len(tasks) > 1)
            try:
                client.jobs.download(job_id, target, name, each.number, format_name)
            except JobUnfinished as error:
                if len(tasks) == 1:
                    raise
                session.show_error(error, about=each.file_name)
                continue
            done += 1
            session.note(f"→ {target}")
    if done < len(tasks):
        raise click.exceptions.Exit(exit_codes.SOME_FAILED)
    if not tasks:
        raise click.UsageError(f"The job has no file with the number {task}.")


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.option("--output", "-o", metavar="FILE", help="Where to: .csv or .parquet; printed when not given.")
@options.server
@pass_session
def table(session: Session, job_id: str, output: str | None, server: ServerOptions) -> None:
    """What became of every file of a job: a row for each, with its error, its length and the seconds taken.

    \b
    clearcast jobs table job_01k9x3v7w2e8m5q4r6t9y0z1ab
    clearcast jobs table job_01k9x3v7w2e8m5q4r6t9y0z1ab -o march.parquet
    """
    is_parquet = output is not None and output.lower().endswith(".parquet")
    with client_of(session, server) as client:
        found = client.jobs.table(job_id, "parquet" if is_parquet else "csv")
    if output is None:
        click.echo(found.decode(), nl=False)
        return
    with whole_or_absent(Path(output)) as temporary:
        temporary.write_bytes(found)
    session.note(f"→ {output}")


@jobs.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="ID …")
@options.server
@pass_session
def erase(session: Session, job_ids: Sequence[str], server: ServerOptions) -> None:
    """Erase jobs that have ended, with their results. The files that were sent for them stay.

    \b
    clearcast jobs erase job_01k9x3v7w2e8m5q4r6t9y0z1ab
    """
    with client_of(session, server) as client:
        for job_id in job_ids:
            client.jobs.erase(job_id)
            session.note(f"{job_id} is erased.", style="green")


def _with_manifests(files: Sequence[str]) -> Iterator[GivenFile]:
    """The files, and in place of every manifest on this machine those that it names."""
    for file in files:
        path = Path(file).expanduser()
        if not is_manifest(file) or not path.is_file():
            yield file
            continue
        for entry in read_manifest(path.name, path.read_bytes()):
            is_elsewhere = entry.file.startswith((S3, "file_"))
            here = path.parent / Path(entry.file).expanduser()
            yield FileWithOptions(entry.file if is_elsewhere else here, entry.options)


def _follow(session: Session, client: ClearCast, job_id: str) -> None:
    """Show a job to its end. Exits with SOME_FAILED unless it succeeded."""
    job = follow_job(session, client, job_id)
    if job.state != "succeeded":
        raise click.exceptions.Exit(exit_codes.SOME_FAILED)
