"""`clearcast diarize`: who speaks when."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from clearcast.cli import options
from clearcast.cli.options import FileOptions, ServerOptions
from clearcast.cli.session import Session, pass_session
from clearcast.cli.speech import over_files
from clearcast.cli.view import show_diarization
from clearcast.cli.workers import LocalWorker
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.speech.turns import Diarization


@click.command(short_help="Who speaks when.")
@options.files
@options.speakers
@options.server
@pass_session
def diarize(session: Session, files: FileOptions, speakers: DiarizeOptions, server: ServerOptions) -> None:
    """Who speaks when: turns of SPEAKER_00, SPEAKER_01 … without words.

    A server (--server) also puts the names of the voices enrolled there.

    \b
    clearcast diarize panel.wav                     show it; the number of speakers is found out
    clearcast diarize panel.wav --speakers 4        exactly four
    clearcast diarize panel.wav -o panel.rttm       RTTM, as evaluation tools read it
    clearcast diarize shows/ -o turns/ -f rttm,json a folder; add --skip-existing to go on later
    """

    def local(temporary: Path) -> LocalWorker:
        worker = LocalWorker(session, session.settings, temporary)
        worker.require("diarize")
        return worker

    over_files(
        session,
        files,
        server,
        Diarization,
        lambda worker, path, progress: worker.diarize(path, speakers, progress),
        partial(show_diarization, session.results),
        local,
    )
