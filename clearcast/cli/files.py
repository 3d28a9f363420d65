"""`clearcast files`: files on a ClearCast server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from clearcast.cli import options
from clearcast.cli.options import ServerOptions
from clearcast.cli.progress import byte_bar
from clearcast.cli.remote import client_of, place_for
from clearcast.cli.session import Session, pass_session
from clearcast.client.files import FileKind
from clearcast.errors import ClearCastError


@click.group(short_help="Files on a server.")
def files() -> None:
    """Files on a ClearCast server: sent once, used by as many jobs as you like.

    Without --server the server on this machine is meant.

    \b
    clearcast files upload interview.mp3
    clearcast files list
    clearcast files download file_01k9z3x5c8m2v7q4w6t1r0y9pb -f wav
    """


@files.command()
@click.argument("paths", nargs=-1, required=True, type=options.file, metavar="FILE …")
@click.option("--resume", metavar="ID", help="Go on with this upload, which an earlier try began.")
@options.server
@pass_session
def upload(session: Session, paths: Sequence[Path], resume: str | None, server: ServerOptions) -> None:
    """Send files; prints their ids. A large file goes on by itself after a broken connection.

    \b
    clearcast files upload interview.mp3
    clearcast files upload day-1.wav day-2.wav --server https://sound.example.org
    clearcast files upload long.wav --resume file_01k9z3x5c8m2v7q4w6t1r0y9pb
    """
    if resume is not None and len(paths) != 1:
        raise click.UsageError("--resume goes with one file.")
    with client_of(session, server) as client:
        for path in paths:
            try:
                with byte_bar(session, path.name) as progress:
                    stored = client.files.upload(path, progress, upload_id=resume)
            except ClearCastError as error:
                begun = error.fields.get("upload_id")
                if begun is not None and error.hint is None:
                    error.hint = f"Go on later: clearcast files upload {path} --resume {begun}"
                raise
            click.echo(stored.id)


@files.command(name="list")
@click.option(
    "--kind", type=click.Choice(["upload", "result", "recording"]), help="Only those of one kind."
)
@click.option("--limit", type=click.IntRange(min=1), default=50, metavar="N", help="The newest N (50).")
@options.server
@pass_session
def list_(session: Session, kind: FileKind | None, limit: int, server: ServerOptions) -> None:
    """Show your files, the newest first.

    \b
    clearcast files list
    clearcast files list --kind result --limit 10
    """
    table = Table("id", "kind", "name", "MB", "state", "created", box=None)
    with client_of(session, server) as client:
        for _, file in zip(range(limit), client.files.list(kind), strict=False):
            created = file.created_at.isoformat(sep=" ", timespec="minutes")
            table.add_row(
                file.id, file.kind, file.name, f"{file.size_bytes / 1e6:.1f}", file.state, created
            )
    if not table.row_count:
        session.note("There are no files. Send one: clearcast files upload FILE")
        return
    session.results.print(table)


@files.command()
@click.argument("file_id", metavar="ID")
@click.option(
    "--format",
    "-f",
    "format_name",
    metavar="FORMAT",
    help="wav, flac, mp3, ogg, opus, m4a; for speech json, txt, srt, vtt, rttm. As stored when not given.",
)
@click.option("--output", "-o", metavar="FILE|FOLDER", help="Where to; its own name when not given.")
@options.server
@pass_session
def download(
    session: Session, file_id: str, format_name: str | None, output: str | None, server: ServerOptions
) -> None:
    """Fetch a file, as it is stored or in another format. It appears whole or not at all.

    \b
    clearcast files download file_01k9z3x5c8m2v7q4w6t1r0y9pb
    clearcast files download file_01k9z3x5c8m2v7q4w6t1r0y9pb -f flac -o interview.flac
    """
    with client_of(session, server) as client:
        name = client.files.get(file_id).name or file_id
        if format_name is not None:
            name = f"{Path(name).stem}.{format_name.lower()}"
        target = place_for(output, name)
        with byte_bar(session, target.name) as progress:
            client.files.download(file_id, target, format_name, progress)
    session.note(f"→ {target}")


@files.command()
@click.argument("file_ids", nargs=-1, required=True, metavar="ID …")
@options.server
@pass_session
def delete(session: Session, file_ids: Sequence[str], server: ServerOptions) -> None:
    """Remove files from the server; links to them end, and jobs that wait for them fail.

    \b
    clearcast files delete file_01k9z3x5c8m2v7q4w6t1r0y9pb
    """
    with client_of(session, server) as client:
        for file_id in file_ids:
            client.files.delete(file_id)
            session.note(f"{file_id} is deleted.", style="green")
