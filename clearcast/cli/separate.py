"""`clearcast separate`: music taken apart."""

from __future__ import annotations

import click

from clearcast.cli import options
from clearcast.cli.options import ServerOptions, SoundFiles
from clearcast.cli.session import Session, pass_session
from clearcast.cli.sounds import over_sounds


@click.command(short_help="Music taken apart: vocals, accompaniment and more.")
@options.sounds
@click.option(
    "--stem",
    "stems",
    multiple=True,
    metavar="NAME",
    help="vocals, accompaniment, and with Demucs drums, bass, other; may be given several times.",
)
@options.server
@pass_session
def separate(session: Session, files: SoundFiles, stems: tuple[str, ...], server: ServerOptions) -> None:
    """Music taken apart into stems, each a file; vocals and accompaniment when none is named.

    The engine that needs no download (centre) is experimental and wants stereo; Demucs, in the profile gpu,
    does far better.

    \b
    clearcast separate song.mp3                     song.vocals.flac and song.accompaniment.flac
    clearcast separate song.mp3 --stem vocals -f wav
    clearcast --profile gpu separate song.mp3 --stem drums --stem bass
    """
    over_sounds(session, files, server, "separate", {"stems": stems})
