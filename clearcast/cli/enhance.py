"""`clearcast enhance`: without the noise."""

from __future__ import annotations

import click

from clearcast.cli import options
from clearcast.cli.boost import mode as boost_mode
from clearcast.cli.boost import target_lufs as boost_lufs
from clearcast.cli.options import ServerOptions, SoundFiles
from clearcast.cli.session import Session, pass_session
from clearcast.cli.sounds import over_sounds


@click.command(short_help="Without the noise and, if asked, louder.")
@options.sounds
@click.option(
    "--limit-db",
    "attenuation_limit_db",
    type=click.FloatRange(0, 200),
    metavar="DB",
    help="At most so much noise is taken away: 12 cleans lightly, 30 thoroughly.",
)
@click.option(
    "--mix", type=click.FloatRange(0, 1), help="Share of the cleaned sound; the rest stays as it was."
)
@click.option("--post-filter", is_flag=True, help="Take a little more away, where the engine can.")
@boost_mode
@boost_lufs
@options.server
@pass_session
def enhance(
    session: Session,
    files: SoundFiles,
    attenuation_limit_db: float | None,
    mix: float | None,
    post_filter: bool,
    mode: str | None,
    target_lufs: float | None,
    server: ServerOptions,
) -> None:
    """A recording, or the sound of a video, without its noise; rate and channels stay as they are.

    With --lufs or --times the clean sound is also made louder.

    \b
    clearcast enhance street.m4a                    street.denoised.flac
    clearcast enhance talk.mp4 --lufs -16           clean, and as loud as podcasts are
    clearcast enhance tapes/ -o clean/ --limit-db 12
    """
    given = {
        "attenuation_limit_db": attenuation_limit_db,
        "mix": mix,
        "post_filter": post_filter or None,
        "mode": mode,
        "target_lufs": target_lufs,
    }
    over_sounds(session, files, server, "enhance", given)
