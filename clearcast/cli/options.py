"""Options that several commands share. Groups of them reach a command as one argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from clearcast.audio.encode import FORMATS as SOUND_FORMATS
from clearcast.engines.diarize.contract import DiarizeOptions

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Which server does the work; `url` None means this process."""

    url: str | None
    api_key: str | None = field(repr=False)
    key_file: Path | None


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What goes in and where results go, as given."""

    inputs: tuple[str, ...]
    output: str | None
    formats: tuple[str, ...]
    skip_existing: bool

    @property
    def wanted_formats(self) -> frozenset[str]:
        """Formats named by --format or by the suffix of --output."""
        named = {name.strip().lower() for text in self.formats for name in text.split(",")}
        return frozenset(named | {Path(self.output or "").suffix.removeprefix(".").lower()})


@dataclass(frozen=True, slots=True)
class SoundFiles:
    """Recordings that go in, and where and in which format the sounds made of them go."""

    inputs: tuple[str, ...]
    folder: Path
    format_name: str
    bits: int | None

    @property
    def bits_per_sample(self) -> int | None:
        """As asked for; without that, 24 where the format is lossless. 32 means floating point."""
        if self.bits is not None:
            return self.bits
        return SOUND_FORMATS[self.format_name].result_bits


def _as_one(
    name: str, kind: Callable[..., Any], fields: dict[str, str], *parameters: Decorator
) -> Decorator:
    """Put click's `parameters` on a command and hand their values over as one argument `name`.

    `fields` maps the names of click's values to those of `kind`'s fields.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def gathered(*positional: Any, **values: Any) -> Any:
            own = {field: values.pop(value) for value, field in fields.items()}
            return command(*positional, **{name: kind(**own)}, **values)

        gathered.__name__, gathered.__doc__ = command.__name__, command.__doc__
        # Options below this decorator have left their descriptions on the command.
        gathered.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
        decorated: Callable[..., Any] = gathered
        for parameter in reversed(parameters):
            decorated = parameter(decorated)
        return decorated

    return decorate


file = click.Path(dir_okay=False, path_type=Path)

files = _as_one(
    "files",
    FileOptions,
    {name: name for name in ("inputs", "output", "formats", "skip_existing")},
    click.argument("inputs", nargs=-1, required=True, metavar="FILE|FOLDER|- …"),
    click.option(
        "--output",
        "-o",
        metavar="FILE|FOLDER|-",
        help="Where results go; without it the result is shown. The suffix of FILE tells its format.",
    ),
    click.option(
        "--format",
        "-f",
        "formats",
        multiple=True,
        metavar="FORMAT",
        help="json, txt, srt, vtt or rttm; may be given several times or as a list: -f json,srt",
    ),
    click.option("--skip-existing", is_flag=True, help="Leave out files whose results are there already."),
)

sounds = _as_one(
    "files",
    SoundFiles,
    {name: name for name in ("inputs", "folder", "format_name", "bits")},
    click.argument("inputs", nargs=-1, required=True, metavar="FILE|FOLDER|- …"),
    click.option(
        "--output",
        "-o",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(),
        metavar="FOLDER",
        help="Where the sounds go: talk.wav becomes talk.denoised.flac there. (this folder)",
    ),
    click.option(
        "--format",
        "-f",
        "format_name",
        type=click.Choice(sorted(SOUND_FORMATS)),
        default="flac",
        help="Of the sounds: flac and wav lose nothing. (flac)",
    ),
    click.option(
        "--bits",
        type=click.Choice(["16", "24", "32"]),
        callback=lambda _ctx, _param, bits: None if bits is None else int(bits),
        help="For each sample of flac (16, 24) and wav (16, 24; 32 is floating point). (24)",
    ),
)

server = _as_one(
    "server",
    ServerOptions,
    {"server": "url", "api_key": "api_key", "key_file": "key_file"},
    click.option(
        "--server",
        metavar="URL",
        envvar="CLEARCAST_SERVER",
        help="Have a ClearCast server do the work. [env: CLEARCAST_SERVER]",
    ),
    click.option(
        "--api-key",
        envvar="CLEARCAST_API_KEY",
        metavar="KEY",
        help="The server's API key; better in the variable than here. [env: CLEARCAST_API_KEY]",
    ),
    click.option("--key-file", type=file, metavar="FILE", help="File whose first line is the API key."),
)

speakers = _as_one(
    "speakers",
    DiarizeOptions,
    {"speakers": "num_speakers", "min_speakers": "min_speakers", "max_speakers": "max_speakers"},
    click.option("--speakers", type=click.IntRange(min=1), metavar="N", help="How many people speak."),
    click.option("--min-speakers", type=click.IntRange(min=1), metavar="N", help="At least so many."),
    click.option("--max-speakers", type=click.IntRange(min=1), metavar="N", help="At most so many."),
)

language = click.option(
    "--language", "-l", metavar="CODE", help="Language spoken: en, fa, de …; found out when not given."
)

model = click.option(
    "--model",
    "-m",
    metavar="NAME|FOLDER",
    help="Whisper model instead of the profile's engine: small, large-v3 …, or a CTranslate2 folder.",
)

hotwords = click.option(
    "--hotwords",
    metavar="WORDS",
    default="",
    callback=lambda _ctx, _param, text: tuple(word.strip() for word in text.split(",") if word.strip()),
    help="Names and words to expect, with commas: 'Tehran,Zagros'.",
)

voices_file = click.option(
    "--voices",
    "voices_file",
    type=file,
    metavar="FILE",
    help="Voice file (JSON) instead of the voices enrolled on this machine.",
)
