"""`clearcast voices`: whose voice is whose."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from clearcast.audio.atomic import whole_or_absent
from clearcast.cli import options
from clearcast.cli.options import ServerOptions
from clearcast.cli.progress import StageBars
from clearcast.cli.session import Session, pass_session
from clearcast.cli.view import clock
from clearcast.cli.voice_shelves import FileShelf, ServerShelf, StoreShelf, VoiceShelf
from clearcast.cli.workers import LocalWorker, connect, temporary_folder
from clearcast.errors import InputError
from pipelines.enrol import Enrolment


@click.group(short_help="Enrol voices, so that people are called by name.")
def voices() -> None:
    """Enrol voices, so that meetings call people by name.

    Voices are kept on this machine (in the profile's data folder), or in a voice file with --voices FILE,
    or on a server with --server URL. A voiceprint is biometric data: enrol people who agreed to it.

    \b
    clearcast voices add Sara sara-1.wav sara-2.m4a    one or more recordings of Sara alone
    clearcast voices list
    clearcast voices rename Sara 'Sara K.'
    clearcast voices erase Sara
    clearcast voices export -o team.json               to take along; import on another machine
    clearcast voices import team.json
    clearcast voices add Sara sara.wav --voices team.json
    """


def _on_shelf(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its shelf and the options that choose it."""

    @options.server
    @options.voices_file
    @pass_session
    def with_shelf(
        session: Session,
        /,
        server: ServerOptions,
        voices_file: Path | None,
        **arguments: Any,
    ) -> None:
        if server.url is not None and voices_file is not None:
            raise click.UsageError("--voices and --server name two places; choose one.")
        with _shelf(session, server, voices_file) as shelf:
            command(session, shelf, **arguments)

    with_shelf.__name__, with_shelf.__doc__ = command.__name__, command.__doc__
    return with_shelf


@contextmanager
def _shelf(session: Session, server: ServerOptions, voices_file: Path | None) -> Iterator[VoiceShelf]:
    with temporary_folder() as temporary:
        if server.url is not None:
            with connect(session, server) as client:
                yield ServerShelf(client)
            return

        def enrol(files: Sequence[Path]) -> tuple[Enrolment, str | None]:
            worker = LocalWorker(session, session.settings, temporary)
            worker.require("voice_activity", "embed")
            with StageBars(session, 1).file("voice") as progress:
                return worker.enrol(files, progress)

        if voices_file is not None:
            yield FileShelf(voices_file, enrol)
        else:
            yield StoreShelf(session.settings, enrol)


@voices.command()
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=options.file, metavar="FILE …")
@_on_shelf
def add(session: Session, shelf: VoiceShelf, name: str, files: Sequence[Path]) -> None:
    """Enrol NAME from recordings in which this person alone speaks.

    8 seconds of speech or more are best, in the room and with the microphone of the meetings. Called again
    for a known name it adds a sample, and any of its samples can match.

    \b
    clearcast voices add Sara sara.wav
    clearcast voices add Omid omid-phone.m4a omid-office.wav
    """
    speech_s, advice = shelf.add(name, files)
    used = "" if speech_s is None else f" from {speech_s:.1f} s of speech"
    session.note(f"Enrolled {name}{used}.", style="green")
    if advice:
        session.note(advice, style="yellow")


@voices.command(name="list")
@_on_shelf
def list_(session: Session, shelf: VoiceShelf) -> None:
    """Show the enrolled voices.

    \b
    clearcast voices list
    clearcast voices list --voices team.json
    """
    rows = shelf.rows()
    if not rows:
        session.note("No voices are enrolled. Enrol one: clearcast voices add NAME FILE …")
        return
    table = Table("name", "samples", "speech", "model", box=None)
    for row in rows:
        spoken = "" if row.speech_s is None else clock(row.speech_s)
        table.add_row(row.name, str(row.samples), spoken, ", ".join(row.models))
    session.results.print(table)


@voices.command()
@click.argument("name")
@click.argument("new_name")
@_on_shelf
def rename(session: Session, shelf: VoiceShelf, name: str, new_name: str) -> None:
    """Call the voice NAME by NEW_NAME from now on.

    \b
    clearcast voices rename Sara 'Sara K.'
    """
    shelf.rename(name, new_name)
    session.note(f"{name} is now {new_name}.", style="green")


@voices.command()
@click.argument("name")
@_on_shelf
def erase(session: Session, shelf: VoiceShelf, name: str) -> None:
    """Delete the voice NAME with all its voiceprints. It cannot be undone.

    \b
    clearcast voices erase Sara
    """
    shelf.erase(name)
    session.note(f"{name} is erased.", style="green")


@voices.command()
@click.option("--output", "-o", metavar="FILE|-", default="-", help="Where to; standard output by default.")
@_on_shelf
def export(session: Session, shelf: VoiceShelf, output: str) -> None:
    """Write all voices to a JSON voice file, for another machine or for --voices.

    \b
    clearcast voices export -o team.json
    clearcast voices export | jq '.voices[].name'
    """
    content = shelf.export()
    if output == "-":
        click.echo(content, nl=False)
        return
    path = Path(output)
    with whole_or_absent(path) as temporary:
        temporary.touch(mode=0o600)  # voiceprints are biometric data
        temporary.write_text(content, encoding="utf-8")
    session.note(f"→ {path}")


@voices.command(name="import")
@click.argument("file", metavar="FILE|-")
@click.option("--replace", is_flag=True, help="Erase the voices that are here now and are not in the file.")
@_on_shelf
def import_(session: Session, shelf: VoiceShelf, file: str, replace: bool) -> None:
    """Take in the voices of a voice file: ours, or name → voiceprint as older systems wrote it.

    \b
    clearcast voices import team.json
    clearcast voices import - < team.json
    """
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    count = shelf.import_(content, replace=replace)
    session.note(f"{count} {'voice' if count == 1 else 'voices'} enrolled now.", style="green")
