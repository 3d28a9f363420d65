"""`clearcast chain`: several steps in one go."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from clearcast.cli import options
from clearcast.cli.options import ServerOptions, SoundFiles
from clearcast.cli.session import Session, pass_session
from clearcast.cli.sounds import over_sounds
from clearcast.cli.voice_shelves import local_voices
from clearcast.cli.workers import refuse_with_server

# A comma ends a value only where another option begins: names and JSON lists have commas too.
_NEXT_OPTION = re.compile(r",(?=\s*[a-z_]+\s*=)")


def parse_step(text: str) -> dict[str, Any]:
    """A step: "boost:target_lufs=-16,hears=original" → its pipeline, options and what it hears.

    Values are JSON where they can be, else text: a voice called 7 is voice="7". Raises BadParameter.
    """
    pipeline, _, rest = text.partition(":")
    step: dict[str, Any] = {"pipeline": pipeline.strip(), "options": {}}
    for part in filter(None, (part.strip() for part in _NEXT_OPTION.split(rest))):
        name, equals, value = part.partition("=")
        if not equals:
            raise click.BadParameter(f"{part!r} is not NAME=VALUE", param_hint="--step")
        if name.strip() == "hears":
            step["hears"] = value.strip()
        else:
            step["options"][name.strip()] = _value(value.strip())
    return step


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _steps(_ctx: click.Context, _param: click.Parameter, texts: Sequence[str]) -> list[dict[str, Any]]:
    return [parse_step(text) for text in texts]


@click.command(short_help="Several steps in one go: clean, make louder, write down.")
@options.sounds
@click.option(
    "--step",
    "-s",
    "steps",
    multiple=True,
    required=True,
    callback=_steps,
    metavar="STEP",
    help="enhance, boost, separate, extract, meeting, diarization or transcription, with options after a"
    " colon: boost:target_lufs=-16. Given once for each step, in their order.",
)
@options.voices_file
@options.server
@pass_session
def chain(
    session: Session,
    files: SoundFiles,
    steps: list[dict[str, Any]],
    voices_file: Path | None,
    server: ServerOptions,
) -> None:
    """Several steps, each going on from the sound that the one before made; every result is kept.

    Steps that write down speech hear the original, since taking noise away often hurts recognition (the
    rough engine pocketsphinx gains by it); hears=previous says otherwise. After extract and separate they
    hear what was taken out.

    \b
    clearcast chain talk.mp3 -s enhance -s boost:target_lufs=-16 -s meeting:language=en
    clearcast chain talk.mp3 -s extract:voice=Anna -s transcription
    clearcast chain song.mp3 -s 'separate:stems=["vocals"]' -s enhance
    clearcast chain noisy.wav -s enhance:attenuation_limit_db=12 -s transcription:hears=previous
    """
    refuse_with_server(server, voices=voices_file)
    voices = () if server.url is not None else local_voices(session.settings, voices_file)
    over_sounds(session, files, server, "chain", {"steps": steps}, voices)
