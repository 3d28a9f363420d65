"""`clearcast stream`: files to a live gateway, transcribed while they are sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clearcast.audio.atomic import whole_or_absent
from clearcast.cli import exit_codes, gateway, options
from clearcast.cli.gateway import Gateway, gateway_of, read_message
from clearcast.cli.inputs import Source, collect
from clearcast.cli.options import ServerOptions
from clearcast.cli.outputs import bases_in
from clearcast.cli.session import Session, pass_session
from clearcast.cli.view import show_transcript
from clearcast.cli.workers import temporary_folder
from clearcast.client.wire import transcript_of
from clearcast.errors import ClearCastError, InputError, Overloaded, ServiceUnavailable
from clearcast.speech.formats import FORMATS, format_names, write_result
from clearcast.speech.transcript import Transcript

_PACKET_BYTES = 32_000
_SHOWN_EVERY_S = 0.25


@dataclass
class _Sending:
    """One file and how far it is."""

    source: Source
    state: str = "waits"
    sent_bytes: int = 0
    size_bytes: int = 0
    heard_s: float = 0.0
    transcript: Transcript | None = None
    error: ClearCastError | None = None


@click.command(short_help="Many files at once to a server, with text while they are sent.")
@click.argument("inputs", nargs=-1, required=True, metavar="FILE|FOLDER|- …")
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where the transcripts go; without it they are shown.",
)
@click.option(
    "--format",
    "-f",
    "format_name",
    type=click.Choice(sorted(format_names(Transcript))),
    default="txt",
    help="Of the files in FOLDER. (txt)",
)
@click.option("--at-once", type=click.IntRange(1, 100), default=10, help="Files sent at a time. (10)")
@options.language
@gateway.option
@options.server
@pass_session
def stream(
    session: Session,
    inputs: tuple[str, ...],
    output: Path | None,
    format_name: str,
    at_once: int,
    language: str | None,
    gateway: str | None,
    server: ServerOptions,
) -> None:
    """Send recordings to a live gateway, which transcribes each while it comes. A gateway that has no place
    left says so; then the file waits as long as it was told and is sent again.

    \b
    clearcast stream talk.mp3
    clearcast stream lectures/ -o text/ -f srt
    clearcast stream *.mkv -o text/ --server https://clearcast.example
    """
    with temporary_folder() as temporary:
        sources = collect(inputs, temporary, session.settings.audio.max_upload_bytes)
        files = [_Sending(source) for source in sources]
        to = gateway_of(session, server, gateway)
        asyncio.run(_send_all(session, to, files, output, format_name, at_once, language))
    failed = [one for one in files if one.error is not None]
    if len(files) == 1 and failed:
        assert failed[0].error is not None
        raise failed[0].error
    for one in failed:
        assert one.error is not None
        session.show_error(one.error, one.source.shown)
    if failed:
        raise click.exceptions.Exit(exit_codes.SOME_FAILED)


async def _send_all(
    session: Session,
    to: Gateway,
    files: Sequence[_Sending],
    output: Path | None,
    format_name: str,
    at_once: int,
    language: str | None,
) -> None:
    bases = {} if output is None else bases_in(output, [one.source for one in files])
    places = asyncio.Semaphore(at_once)

    async def one_file(sending: _Sending) -> None:
        async with places:
            await _send(session, to, sending, language)
            if sending.transcript is None:
                return
            if output is not None:
                base = bases[sending.source]
                target = base.with_name(base.name + FORMATS[format_name].suffix)
                await asyncio.to_thread(_write, sending.transcript, target, format_name)

    async with _shown(session, files), asyncio.TaskGroup() as tasks:
        for sending in files:
            tasks.create_task(one_file(sending))
    for sending in files:
        if output is None and sending.transcript is not None:
            if len(files) > 1:
                session.results.print(f"\n{sending.source.shown}", style="bold", markup=False)
            show_transcript(session.results, sending.transcript)


def _write(transcript: Transcript, target: Path, format_name: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_absent(target) as temporary:
        temporary.write_text(write_result(transcript, format_name), encoding="utf-8")


async def _send(session: Session, to: Gateway, sending: _Sending, language: str | None) -> None:
    """Until there is a transcript or an error that stays."""
    while True:
        try:
            content = await asyncio.to_thread(_opened, sending)
            with content:
                async with to.connected("/v1/stream") as socket:
                    sending.transcript = await _converse(session, to, sending, socket, content, language)
            sending.state = "done"
            return
        except Overloaded as error:
            sending.state = f"server overloaded, again in {error.retry_after_s} s"
            _note(session, sending)
            await asyncio.sleep(error.retry_after_s)
        except ClearCastError as error:
            sending.state, sending.error = "failed", error
            return


def _note(session: Session, sending: _Sending) -> None:
    """Where no table is shown, a line."""
    if not session.notes.is_terminal:
        session.note(f"{sending.source.shown}: {sending.state}")


def _opened(sending: _Sending) -> Any:
    try:
        sending.size_bytes = sending.source.path.stat().st_size
        return sending.source.path.open("rb")
    except OSError as error:
        raise InputError(f"{sending.source.shown} cannot be read: {error.strerror}.") from error


async def _converse(
    session: Session,
    to: Gateway,
    sending: _Sending,
    socket: ClientConnection,
    content: Any,
    language: str | None,
) -> Transcript:
    order = {
        "type": "file",
        "credential": to.api_key,
        "name": sending.source.path.name,
        "size_bytes": sending.size_bytes,
        "options": {"language": language},
    }
    await socket.send(json.dumps(order))
    sending.sent_bytes = 0
    writing = asyncio.create_task(_write_to(socket, sending, content))
    try:
        async for text in socket:
            message = read_message(text)
            match message["type"]:
                case "queued":
                    sending.state = f"waits, place {message['place']}"
                case "accepted":
                    sending.state = "transcribed"
                    _note(session, sending)
                case "progress":
                    sending.heard_s = message["heard_s"]
                case "done":
                    return transcript_of(message["transcript"], session.note)
    except ConnectionClosed:
        pass  # told below, as an end without a result
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    raise ServiceUnavailable("The connection to the gateway broke off.", hint="Send the file again.")


async def _write_to(socket: ClientConnection, sending: _Sending, content: Any) -> None:
    while packet := await asyncio.to_thread(content.read, _PACKET_BYTES):
        await socket.send(packet)
        sending.sent_bytes += len(packet)
    await socket.send(json.dumps({"type": "end"}))


@asynccontextmanager
async def _shown(session: Session, files: Sequence[_Sending]) -> AsyncIterator[None]:
    """The table of all files while they are under way, on a terminal."""
    if session.quiet or not session.notes.is_terminal:
        yield
        return
    with Live(_table(files), console=session.notes, auto_refresh=False) as live:

        async def refresh() -> None:
            while True:
                live.update(_table(files), refresh=True)
                await asyncio.sleep(_SHOWN_EVERY_S)

        showing = asyncio.create_task(refresh())
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            live.update(_table(files), refresh=True)


def _table(files: Sequence[_Sending]) -> Table:
    table = Table("file", "state", "sent", "heard", box=None)
    for one in files:
        share = one.sent_bytes / one.size_bytes if one.size_bytes else 0.0
        table.add_row(escape(one.source.shown), one.state, f"{share:.0%}", f"{one.heard_s:.0f} s")
    return table
