"""`clearcast models`: what engines need, what is here, how to get the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Column, Table

from clearcast.catalogue import CatalogueEntry, catalogue, find_model, needed_models
from clearcast.cli import exit_codes, options
from clearcast.cli.options import ServerOptions
from clearcast.cli.progress import byte_bar
from clearcast.cli.session import Session, pass_session
from clearcast.cli.workers import connect
from clearcast.errors import ModelError
from clearcast.models.pull import adopt, pull
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate, remove, status, verify

_STATES = {
    "ready": "green",
    "in package": "green",
    "missing": "dim",
    "partial": "yellow",
    "corrupt": "red",
}


@click.group(short_help="What engines need, what is here, how to get it.")
def models() -> None:
    """Models on this machine. Nothing is ever fetched while a recording is worked on; only `pull` does.

    \b
    clearcast models list                       what there is, what is here, what the profile needs
    clearcast models pull                       all that the profile needs
    clearcast models pull whisper-small         one by name
    clearcast models pull whisper-small --from /media/stick/whisper-small
    clearcast models verify                     read every file and compare checksums
    """


@models.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@options.server
@pass_session
def list_(session: Session, as_json: bool, server: ServerOptions) -> None:
    """Every model that an engine here can use; those that the profile needs come first, marked *.

    \b
    clearcast models list
    clearcast --profile gpu models list
    clearcast models list --json | jq '.[] | select(.state == "ready") | .name'
    clearcast models list --server http://127.0.0.1:8000
    """
    if server.url is not None:
        with connect(session, server) as client:
            click.echo(json.dumps(client.models(), ensure_ascii=False, indent=1))
        return
    rows = [_row(entry, session) for entry in catalogue(session.settings)]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    table = Table("", Column("model", no_wrap=True), "state", "size", "licence", "used by", box=None)
    for row in rows:
        size = f"{max(1, row['size_bytes'] / 1e6):,.0f} MB" if row["size_bytes"] else ""
        state = f"[{_STATES[row['state']]}]{row['state']}"
        gated = " (gated)" if row["gated"] else ""
        users = ", ".join(row["used_by"])
        table.add_row(
            "*" if row["needed"] else "", row["name"], state, size, f"{row['licence']}{gated}", users
        )
    session.results.print(table)
    session.note(f"\n* needed by the profile. Models lie in {session.settings.models_path}")


def _row(entry: CatalogueEntry, session: Session) -> dict[str, Any]:
    """A model as JSON shows it; the size is what lies here, or what a download would bring."""
    spec = entry.spec
    found = None if spec is None else status(spec, session.settings.models_path)
    size_bytes = 0 if found is None or spec is None else spec.size_bytes
    if found is not None and found.state == "ready":
        size_bytes = found.size_bytes
    return {
        "name": entry.name,
        "state": "in package" if found is None else found.state,
        "needed": entry.needed,
        "used_by": list(entry.used_by),
        "size_bytes": size_bytes,
        "licence": "" if spec is None else spec.licence,
        "gated": spec is not None and spec.gated,
        "repo": None if spec is None else spec.repo,
        "folder": None if found is None else str(found.folder),
        "detail": None if found is None else found.detail,
    }


@models.command(name="pull")
@click.argument("names", nargs=-1, metavar="[NAME …]")
@click.option(
    "--from",
    "source",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Copy the files from a folder instead: for machines without a network.",
)
@click.option("--force", is_flag=True, help="Check what is here and fetch what is damaged or outdated.")
@pass_session
def pull_(session: Session, names: Sequence[str], source: Path | None, force: bool) -> None:
    """Fetch models by name; without names all that the profile's engines need.

    A download that was interrupted goes on where it stopped. Gated models need a token once, see the
    message or docs/models.md.

    \b
    clearcast models pull whisper-small
    clearcast --profile gpu models pull
    CLEARCAST__MODELS__HUB_TOKEN=hf_… clearcast models pull pyannote-community-1
    """
    settings = session.settings
    specs = [find_model(name, settings) for name in names] if names else list(needed_models(settings))
    if not specs:
        session.note("This profile needs no downloads: its models come inside their packages.")
    if source is not None and len(specs) != 1:
        raise click.UsageError("--from goes with exactly one model.")
    for spec in specs:
        if not force and source is None and _is_here(spec, settings.models_path):
            session.note(f"{spec.name} is here already.")
            continue
        with byte_bar(session, spec.name) as progress:
            if source is not None:
                folder = adopt(spec, source, settings, progress)
            else:
                folder = pull(spec, settings, progress)
        session.note(f"{spec.name} → {folder}  (licence: {spec.licence})", style="green")


def _is_here(spec: ModelSpec, models_dir: Path) -> bool:
    try:
        locate(spec, models_dir)
    except ModelError:
        return False
    return True


@models.command(name="verify")
@click.argument("names", nargs=-1, metavar="[NAME …]")
@pass_session
def verify_(session: Session, names: Sequence[str]) -> None:
    """Read every file of a model and compare it with its checksum; without names all that are here.

    \b
    clearcast models verify
    clearcast models verify whisper-small
    """
    settings = session.settings
    if names:
        specs = [find_model(name, settings) for name in names]
    else:
        known = [entry.spec for entry in catalogue(settings) if entry.spec is not None]
        specs = [spec for spec in known if status(spec, settings.models_path).state != "missing"]
    damaged = 0
    for spec in specs:
        try:
            _verify_one(session, spec)
        except ModelError as error:
            damaged += 1
            session.show_error(error)
    if not specs:
        session.note("No models are here.")
    if damaged:
        raise click.exceptions.Exit(exit_codes.MODEL)


def _verify_one(session: Session, spec: ModelSpec) -> None:
    total_bytes = status(spec, session.settings.models_path).size_bytes
    read_bytes = 0
    with byte_bar(session, spec.name) as progress:

        def on_bytes(count: int) -> None:
            nonlocal read_bytes
            read_bytes += count
            progress(read_bytes, total_bytes)

        manifest = verify(spec, session.settings.models_path, on_bytes)
    session.results.print(
        f"{spec.name}: whole ({len(manifest.files)} files, revision {manifest.revision[:12]})"
    )


@models.command(name="remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME …")
@pass_session
def remove_(session: Session, names: Sequence[str]) -> None:
    """Delete models from this machine, unfinished downloads included.

    \b
    clearcast models remove whisper-medium
    """
    for name in names:
        freed_bytes = remove(find_model(name, session.settings), session.settings.models_path)
        session.note(f"{name}: {freed_bytes / 1e6:.0f} MB freed.")
