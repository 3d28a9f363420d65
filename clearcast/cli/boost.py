"""`clearcast boost`: louder."""

from __future__ import annotations

import click

from clearcast.cli import options
from clearcast.cli.options import ServerOptions, SoundFiles
from clearcast.cli.session import Session, pass_session
from clearcast.cli.sounds import over_sounds

mode = click.option(
    "--times",
    "mode",
    type=click.Choice(["2x", "3x", "4x", "5x"]),
    help="So many times the amplitude, limited where it would clip.",
)
target_lufs = click.option(
    "--lufs",
    "target_lufs",
    type=float,
    metavar="LUFS",
    help="The loudness wanted: -14 for music players, -16 for podcasts, -23 for broadcast.",
)


@click.command(short_help="Louder, or as loud as asked for, without clipping.")
@options.sounds
@mode
@target_lufs
@options.server
@pass_session
def boost(
    session: Session, files: SoundFiles, mode: str | None, target_lufs: float | None, server: ServerOptions
) -> None:
    """Louder, without ever clipping: to a loudness (-16 LUFS when nothing is said), or so many times.

    Shows loudness and peaks before and after, by EBU R 128.

    \b
    clearcast boost talk.wav                        to -16 LUFS, as podcasts want it
    clearcast boost talk.wav --lufs -23             as broadcasters want it
    clearcast boost talk.wav --times 3x -f mp3      three times as loud, as MP3
    """
    over_sounds(session, files, server, "boost", {"mode": mode, "target_lufs": target_lufs})
