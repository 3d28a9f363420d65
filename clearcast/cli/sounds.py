"""What the commands that make sounds share: running a recipe on each file, and bringing the sounds home.

What lives here: one file or many, in this process or by a server's jobs. What does not: each command's own
options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from rich.table import Table

from clearcast.audio.sound import encode_sound
from clearcast.cli import exit_codes
from clearcast.cli.inputs import Source, collect
from clearcast.cli.job_view import follow_job
from clearcast.cli.options import ServerOptions, SoundFiles
from clearcast.cli.progress import StageBars
from clearcast.cli.session import Session
from clearcast.cli.workers import LocalWorker, connect, temporary_folder
from clearcast.client import ClearCast
from clearcast.errors import (
    AccessError,
    ClearCastError,
    ModelError,
    NotFound,
    OptionInvalid,
    SettingsInvalid,
)
from clearcast.speech.extraction import Extracted
from clearcast.speech.extraction_file import write_extracted
from clearcast.speech.json_file import write_json
from clearcast.storage.voices import Voice
from pipelines.recipe import KeptSound, Recipe
from pipelines.recipes import all_recipes
from pipelines.stages import StageProgress

Facts = Mapping[str, Any]
Made = Sequence[tuple[Path, Facts]]
Make = Callable[[Source, StageProgress], Made]

# The services whose models a recipe needs.
_SERVICES = {
    "enhance": ("denoise", "boost"),
    "boost": ("boost",),
    "separate": ("separate",),
    "extract": ("voice_activity", "embed", "diarize", "extract", "boost"),
    "diarization": ("voice_activity", "embed", "diarize"),
    "transcription": ("voice_activity", "embed", "transcribe"),
    "meeting": ("voice_activity", "embed", "diarize", "transcribe"),
}

# These say nothing about the file: every other file would fail in the same way.
_HOPELESS = (AccessError, ModelError, OptionInvalid, SettingsInvalid)


def over_sounds(
    session: Session,
    files: SoundFiles,
    server: ServerOptions,
    pipeline: str,
    given: Mapping[str, Any],
    voices: Sequence[Voice] = (),
) -> None:
    """Run the recipe `pipeline` with the options that were `given` (None: not given) on every input.

    An option that is a path names another file, which a server gets first. `voices`: those enrolled here.

    A single file's error is raised. Of several files the failed ones are told, and the program exits with
    SOME_FAILED; an error that every file would meet ends the run at once.
    """
    recipe = all_recipes()[pipeline]
    options = {name: value for name, value in given.items() if value not in (None, ())}
    with ExitStack() as stack:
        temporary = stack.enter_context(temporary_folder())
        sources = collect(files.inputs, temporary, session.settings.audio.max_upload_bytes)
        files.folder.mkdir(parents=True, exist_ok=True)
        if server.url is None:
            worker = LocalWorker(session, session.settings, temporary, voices)
            make = _locally(worker, recipe, options, files)
        else:
            client = stack.enter_context(connect(session, server))
            make = _by_server(session, client, pipeline, options, files)
        failed = _run(session, sources, make)
    if failed:
        raise click.exceptions.Exit(exit_codes.SOME_FAILED)


def _run(session: Session, sources: Sequence[Source], make: Make) -> int:
    bars, failed = StageBars(session, len(sources)), 0
    for source in sources:
        try:
            with bars.file(source.shown) as progress:
                made = make(source, progress)
        except ClearCastError as error:
            if len(sources) == 1 or isinstance(error, _HOPELESS):
                raise
            session.show_error(error, about=source.shown)
            failed += 1
            continue
        for path, facts in made:
            session.results.print(f"{source.shown} → {path}", markup=False)
            _show_facts(session, facts)
    return failed


def _locally(worker: LocalWorker, recipe: Recipe, options: Mapping[str, Any], files: SoundFiles) -> Make:
    for path in options.values():
        if isinstance(path, Path) and not path.is_file():
            raise NotFound(f"There is no file {str(path)!r}.")
    texts = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    try:
        wanted = recipe.Options.model_validate(texts)
    except ValidationError as error:
        raise OptionInvalid(error.errors(include_url=False)[0]["msg"]) from error
    worker.require(*_needed(recipe.name, texts))

    def make(source: Source, progress: StageProgress) -> Made:
        bench, outcome = worker.make_sounds(recipe, source.path, wanted, progress)
        made: list[tuple[Path, Facts]] = []
        for name, result in outcome.results.items():
            if isinstance(result, KeptSound):
                target = _target(source, name, files.format_name, files)
                encode_sound(bench.sound_path(name), target, files.format_name, files.bits_per_sample)
                made_by = "; ".join(map(str, result.provenance))
                made.append((target, {"made by": made_by, **result.score}))
            else:
                target = _target(source, name, "json", files)
                text = write_extracted(result) if isinstance(result, Extracted) else write_json(result)
                target.write_text(text, encoding="utf-8")
                made.append((target, {}))
        return made

    return make


def _needed(pipeline: str, options: Mapping[str, Any]) -> set[str]:
    """The services that a job with these options calls."""
    if pipeline != "chain":
        return set(_SERVICES[pipeline])
    return {service for step in options["steps"] for service in _SERVICES[step["pipeline"]]}


def _by_server(
    session: Session, client: ClearCast, pipeline: str, options: Mapping[str, Any], files: SoundFiles
) -> Make:
    if files.bits is not None:
        raise click.UsageError("--bits does not go with --server: flac has 24 bits from there, wav 16.")
    known = {
        name: client.files.upload(value).id if isinstance(value, Path) else value
        for name, value in options.items()
    }

    def make(source: Source, _progress: StageProgress) -> Made:
        job = client.jobs.submit(pipeline, source.path, options=known)
        ended = follow_job(session, client, job.id)
        made: list[tuple[Path, Facts]] = []
        for result in ended.results:
            suffix = files.format_name if result.kind == "sound" else "json"
            target = _target(source, result.name, suffix, files)
            client.jobs.download(job.id, target, result.name, result.task, suffix)
            made.append((target, {}))
        return made

    return make


def _target(source: Source, name: str, suffix: str, files: SoundFiles) -> Path:
    path = files.folder / f"{source.relative.stem}.{name}.{suffix}"
    if path.resolve() == source.path.resolve():
        raise click.UsageError(f"The result would overwrite the input {path}.")
    return path


def _show_facts(session: Session, facts: Facts) -> None:
    """The score card, as two columns."""
    told = {name: value for name, value in facts.items() if value is not None}
    if not told or session.quiet:
        return
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in told.items():
        table.add_row(name, f"{value:.2f}" if isinstance(value, float) else str(value))
    session.notes.print(table)
