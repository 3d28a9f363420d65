"""`clearcast search`: where something was said."""

from __future__ import annotations

from typing import Literal

import click
from rich.text import Text

from clearcast.cli import options
from clearcast.cli.options import ServerOptions
from clearcast.cli.remote import client_of
from clearcast.cli.session import Session, pass_session
from clearcast.cli.view import clock
from clearcast.client.types import Moment
from clearcast.client.wire import SearchFields


@click.command(short_help="Where something was said.")
@click.argument("query")
@click.option("--speaker", metavar="NAME", help="Only what this person said.")
@click.option("--since", metavar="DATE", help="Recorded then or later: 2026-03-02, or with a time.")
@click.option("--until", metavar="DATE", help="Recorded before then.")
@click.option(
    "--order",
    type=click.Choice(["relevance", "date"]),
    default="relevance",
    help="The best first (relevance), or the newest recording first.",
)
@click.option("--limit", type=click.IntRange(min=1), default=20, metavar="N", help="The first N (20).")
@options.server
@pass_session
def search(
    session: Session,
    query: str,
    speaker: str | None,
    since: str | None,
    until: str | None,
    order: Literal["relevance", "date"],
    limit: int,
    server: ServerOptions,
) -> None:
    """Find the moments at which something was said, in the transcripts of your jobs on a server.

    All words must be there; "a phrase" goes in quotes, begin* is the beginning of a word. Persian is found
    however its letters, digits and joiners are written.

    \b
    clearcast search budget
    clearcast search '"good morning"' --speaker Sara
    clearcast search 'می‌خواهم' --order date --since 2026-03-01
    """
    narrower: SearchFields = {"order": order}
    if speaker is not None:
        narrower["speaker"] = speaker
    if since is not None:
        narrower["since"] = since
    if until is not None:
        narrower["until"] = until
    count = 0
    with client_of(session, server) as client:
        for _, moment in zip(range(limit), client.search(query, **narrower), strict=False):
            session.results.print(_line(moment))
            count += 1
    session.note(f"{count} {'moment' if count == 1 else 'moments'}.", style="dim")


def _line(moment: Moment) -> Text:
    name = moment.file_name or moment.job_id
    line = Text(f"{name}  {clock(moment.start_s)}  ", style="dim")
    if moment.speaker:
        line.append(f"{moment.speaker}  ", style="not dim bold")
    text = Text(moment.text, style="not dim")
    for start, end in moment.marks:
        text.stylize("bold yellow", start, end)
    return line.append_text(text)
