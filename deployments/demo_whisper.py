"""Which transcription engine the demo uses: a Whisper that lies on disk, one fetched now, or the rough one.

Nothing is chosen silently: every way out of here prints a line and ends up in the demo's profile.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from clearcast.engines.engine import engine_class
from clearcast.errors import ModelError
from clearcast.models.hub import Hub
from clearcast.models.pull import pull
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate
from clearcast.settings import Settings

# In the order the demo likes them: small is good and quick enough on a laptop.
PREFERRED = ("small", "base", "tiny", "medium", "turbo", "large-v3")
ANSWER_WITHIN_S = 3.0


def choose_transcriber(
    settings: Settings, console: Console, *, interactive: bool, hub: str | None = None
) -> tuple[str, dict[str, Any]]:
    """(engine name, engine options) for the demo's profile.

    `interactive` says whether somebody is there to be asked; `hub` is another hub's address than usual.
    """
    found = on_disk(settings)
    if found is not None:
        console.print(f"Words by Whisper {found!r}, which is on this machine.")
        return "faster_whisper", {"model": found}
    if interactive and Hub(endpoint=hub).answers(ANSWER_WITHIN_S) and fetch(settings, console, hub):
        return "faster_whisper", {"model": "small"}
    console.print(
        "Words by the rough English engine (pocketsphinx). Far better: clearcast models pull whisper-small",
        style="yellow",
    )
    return "pocketsphinx", {}


def on_disk(settings: Settings) -> str | None:
    """The first preferred Whisper model that is whole on this machine, or None."""
    for model in PREFERRED:
        try:
            locate(whisper_spec(model), settings.models_path)
        except ModelError:
            continue
        return model
    return None


def whisper_spec(model: str) -> ModelSpec:
    cls = engine_class("transcribe", "faster_whisper")
    (spec,) = cls.models(cls.Options(model=model))  # type: ignore[call-arg]
    return spec


def fetch(settings: Settings, console: Console, hub: str | None) -> bool:
    """Offer to download Whisper small; True when it is there afterwards."""
    spec = whisper_spec("small")
    size_mb = spec.size_bytes / 1e6
    answer = console.input(f"Fetch Whisper small ({size_mb:.0f} MB, {spec.licence}) for good words? [Y/n] ")
    if answer.strip().lower() not in ("", "y", "yes"):
        return False
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        with Progress("{task.description}", *columns, console=console) as shown:
            task = shown.add_task("Whisper small", total=spec.size_bytes or None)
            pull(
                spec,
                settings,
                lambda done, total: shown.update(task, completed=done, total=total or None),
                endpoint=hub,
            )
    except ModelError as error:
        console.print(f"{error}", style="red")
        return False
    return True
