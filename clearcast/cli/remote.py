"""What the commands that talk to a server share: the client, and where results of many files go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from clearcast.cli.options import ServerOptions
from clearcast.cli.session import Session
from clearcast.cli.workers import connect
from clearcast.client import ClearCast


@contextmanager
def client_of(session: Session, server: ServerOptions) -> Iterator[ClearCast]:
    """The client of the server that is named, or of the one on this machine."""
    if server.url is None:
        http = session.settings.http
        server = replace(server, url=f"http://{http.host}:{http.port}")
    with connect(session, server) as client:
        yield client


def parse_settings(texts: tuple[str, ...]) -> dict[str, Any]:
    """`name=value` pairs; values are JSON where they read as JSON, else text. Raises UsageError."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{text!r} is not NAME=VALUE.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def place_for(to: str | None, name: str, *, is_folder: bool = False) -> Path:
    """The file to write: `to`, or a file called `name` in it where that is a folder, or here."""
    safe = Path(name.replace("\\", "/")).name or "download"
    if to is None:
        return Path(safe)
    target = Path(to)
    if is_folder or target.is_dir() or to.endswith("/"):
        target.mkdir(parents=True, exist_ok=True)
        return target / safe
    return target
