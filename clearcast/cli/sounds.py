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

from clearcast.audio.atomic import whole_or_absent
from clearcast.audio.encode import FORMATS
from clearcast.audio.sound import encode_sound
from clearcast.cli import exit_codes
from clearcast.cli.inputs import Source, collect
from clearcast.cli.job_view import follow_job
from clearcast.cli.options import ServerOptions, SoundFiles
from clearcast.cli.outputs import bases_in
from clearcast.cli.progress import StageBars
from clearcast.cli.session import Session
from clearcast.cli.workers import LocalWorker, connect, temporary_folder
from clearcast.client import ClearCast
from clearcast.client.types import Job, JobResult
from clearcast.client.wire import error_of_task
from clearcast.errors import (
    AccessError,
    Cancelled,
    ClearCastError,
    ModelError,
    NotFound,
    OptionInvalid,
    SettingsInvalid,
)
from clearcast.speech.extraction import Extracted
from clearcast.speech.extraction_file import write_extracted
from clearcast.speech.json_file import write_json
from clearcast.speech.keywords import Keywords
from clearcast.speech.keywords_file import write_keywords
from clearcast.speech.provenance import Provenance
from clearcast.storage.voices import Voice
from pipelines.recipe import Document, KeptSound, Recipe
from pipelines.recipes import all_recipes
from pipelines.stages import StageProgress

Facts = Mapping[str, Any]
Made = Sequence[tuple[Path, Facts]]
Make = Callable[[Source, Path, StageProgress], Made]
"""Makes the sounds of a source; their paths begin with the one given."""

# The services whose models a recipe needs.
_SERVICES = {
    "enhance": ("denoise", "boost"),
    "boost": ("boost",),
    "separate": ("separate",),
    "extract": ("voice_activity", "embed", "diarize", "extract", "boost"),
    "diarization": ("voice_activity", "embed", "diarize"),
    "classify": ("classify",),
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
    if files.bits not in (None, *FORMATS[files.format_name].codecs):
        raise OptionInvalid(f"{files.format_name} does not have --bits {files.bits}.")
    recipe = all_recipes()[pipeline]
    options = {name: value for name, value in given.items() if value not in (None, ())}
    with ExitStack() as stack:
        temporary = stack.enter_context(temporary_folder())
        sources = collect(files.inputs, temporary, session.settings.audio.max_upload_bytes)
        if server.url is None:
            worker = LocalWorker(session, session.settings, temporary, voices)
            make = _locally(worker, recipe, options, files)
        else:
            client = stack.enter_context(connect(session, server))
            make = _by_server(session, client, pipeline, options, files)
        failed = _run(session, bases_in(files.folder, sources), make)
    if failed:
        raise click.exceptions.Exit(exit_codes.SOME_FAILED)


def _run(session: Session, bases: Mapping[Source, Path], make: Make) -> int:
    bars, failed = StageBars(session, len(bases)), 0
    for source, base in bases.items():
        base.parent.mkdir(parents=True, exist_ok=True)
        try:
            with bars.file(source.shown) as progress:
                made = make(source, base, progress)
        except ClearCastError as error:
            if len(bases) == 1 or isinstance(error, _HOPELESS):
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
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise OptionInvalid(f"{where}: {first['msg']}." if where else f"{first['msg']}.") from error
    worker.require(*services_of(recipe.name, texts))

    def make(source: Source, base: Path, progress: StageProgress) -> Made:
        bench, outcome = worker.make_sounds(recipe, source.path, wanted, progress)
        made: list[tuple[Path, Facts]] = []
        for name, result in outcome.results.items():
            if isinstance(result, KeptSound):
                target = _target(source, base, name, files.format_name)
                encode_sound(bench.sound_path(name), target, files.format_name, files.bits_per_sample)
                made_by = "; ".join(map(str, result.provenance))
                made.append((target, {"made by": made_by, **result.score}))
            else:
                target = _target(source, base, name, "json")
                text = _text_of(result)
                with whole_or_absent(target) as temporary:
                    temporary.write_text(text, encoding="utf-8", newline="\n")
                made.append((target, {}))
        return made

    return make


def _text_of(document: Document) -> str:
    if isinstance(document, Keywords):
        return write_keywords(document)
    return write_extracted(document) if isinstance(document, Extracted) else write_json(document)


def services_of(pipeline: str, options: Mapping[str, Any]) -> set[str]:
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

    def make(source: Source, base: Path, _progress: StageProgress) -> Made:
        job = client.jobs.submit(pipeline, source.path, options=known)
        ended = _succeeded(follow_job(session, client, job.id))
        made: list[tuple[Path, Facts]] = []
        for result in ended.results:
            suffix = files.format_name if result.kind == "sound" else "json"
            target = _target(source, base, result.name, suffix)
            # Documents are stored as JSON.
            form = suffix if result.kind == "sound" else None
            client.jobs.download(job.id, target, result.name, result.task, form)
            made.append((target, _facts_of(result)))
        return made

    return make


def _succeeded(job: Job) -> Job:
    """Raises what the job failed of; what it made before that stays on the server."""
    if job.state == "cancelled":
        raise Cancelled(f"The job {job.id} was cancelled.")
    for task in job.tasks:
        if task.error is not None:
            raise error_of_task(task.error)
    return job


def _facts_of(result: JobResult) -> Facts:
    """What made a sound, and its score card; nothing for documents, as for those made here."""
    if result.kind != "sound":
        return {}
    made_by = [Provenance(**one) for one in result.facts.get("provenance", ())]
    return {"made by": "; ".join(map(str, made_by)), **result.facts.get("score", {})}


def _target(source: Source, base: Path, name: str, suffix: str) -> Path:
    path = base.with_name(f"{base.name}.{name}.{suffix}")
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
