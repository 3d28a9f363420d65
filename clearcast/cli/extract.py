"""`clearcast extract`: one person's voice."""

from __future__ import annotations

from pathlib import Path

import click

from clearcast.cli import options
from clearcast.cli.boost import mode as boost_mode
from clearcast.cli.boost import target_lufs as boost_lufs
from clearcast.cli.options import ServerOptions, SoundFiles
from clearcast.cli.session import Session, pass_session
from clearcast.cli.sounds import over_sounds
from clearcast.cli.voice_shelves import local_voices
from clearcast.cli.workers import refuse_with_server
from clearcast.engines.diarize.contract import DiarizeOptions


@click.command(short_help="One person's voice, or everybody's in a file of their own.")
@options.sounds
@click.option(
    "--reference",
    "-r",
    type=options.file,
    metavar="CLIP",
    help="A recording in which the wanted person speaks alone, for three seconds or more.",
)
@click.option("--voice", metavar="NAME", help="An enrolled voice: see clearcast voices.")
@click.option("--everyone", is_flag=True, help="Everybody apart: a file for each speaker.")
@click.option("--mute-crowded", is_flag=True, help="Silence, too, where others speak at the same time.")
@options.speakers
@options.voices_file
@boost_mode
@boost_lufs
@options.server
@pass_session
def extract(
    session: Session,
    files: SoundFiles,
    reference: Path | None,
    voice: str | None,
    everyone: bool,
    mute_crowded: bool,
    speakers: DiarizeOptions,
    voices_file: Path | None,
    mode: str | None,
    target_lufs: float | None,
    server: ServerOptions,
) -> None:
    """One person's voice out of a recording; silence where they do not speak.

    Give --reference, --voice or --everyone. For a person who is not in the recording nothing is written.
    Beside the sound goes a timeline (JSON): where they speak, and how sure that is.

    \b
    clearcast extract meeting.mp3 --reference anna.wav     meeting.extracted.flac, meeting.timeline.json
    clearcast extract meeting.mp3 --voice Anna --lufs -16
    clearcast extract call.m4a --everyone --speakers 2     call.speaker-1.flac, call.speaker-2.flac
    """
    refuse_with_server(server, voices=voices_file)
    given = {
        "voice": voice,
        "reference_file_id": reference,
        "everyone": everyone or None,
        "mute_crowded": mute_crowded or None,
        "num_speakers": speakers.num_speakers,
        "min_speakers": speakers.min_speakers,
        "max_speakers": speakers.max_speakers,
        "mode": mode,
        "target_lufs": target_lufs,
    }
    voices = () if server.url is not None else local_voices(session.settings, voices_file)
    over_sounds(session, files, server, "extract", given, voices)
