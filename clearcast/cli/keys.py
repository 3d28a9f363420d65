"""`clearcast keys`: who may use the server on this machine."""

from __future__ import annotations

import click
from rich.table import Table

from clearcast.auth import KeyFile
from clearcast.cli.session import Session, pass_session


@click.group(short_help="Who may use the server.")
def keys() -> None:
    """API keys of the server that runs with this profile's data folder. Changes count at once.

    \b
    clearcast keys create --owner newsroom
    clearcast keys list
    clearcast keys revoke key_0123456789ab
    """


def _file(session: Session) -> KeyFile:
    return KeyFile(session.settings.data_path / "keys.json")


@keys.command()
@click.option("--owner", default="local", metavar="NAME", help="Whose key it is; voices belong to owners.")
@pass_session
def create(session: Session, owner: str) -> None:
    """Make a key and print it, this once: only a hash of it is kept.

    \b
    clearcast keys create
    export CLEARCAST_API_KEY=$(clearcast --quiet keys create --owner newsroom)
    """
    click.echo(_file(session).create(owner))
    session.note("Keep it now: it cannot be shown again.", style="yellow")


@keys.command(name="list")
@pass_session
def list_(session: Session) -> None:
    """Show whose keys there are.

    \b
    clearcast keys list
    """
    records = _file(session).list()
    if not records:
        session.note("There are no keys. Make one: clearcast keys create")
        return
    table = Table("id", "owner", "created", box=None)
    for record in records:
        table.add_row(record.id, record.owner, record.created_at.isoformat(timespec="seconds"))
    session.results.print(table)


@keys.command()
@click.argument("key_id", metavar="ID")
@pass_session
def revoke(session: Session, key_id: str) -> None:
    """Make the key with this id (see `keys list`) worthless from now on.

    \b
    clearcast keys revoke key_0123456789ab
    """
    _file(session).revoke(key_id)
    session.note(f"{key_id} is revoked.", style="green")
