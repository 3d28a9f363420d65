"""`clearcast keys`: who may use the server on this machine."""

from __future__ import annotations

import click
from rich.table import Table

from clearcast.accounts.accounts import accounts_of
from clearcast.accounts.first_start import ADMIN
from clearcast.cli.session import Session, pass_session


@click.group(short_help="Who may use the server.")
def keys() -> None:
    """API keys of the server that runs with this profile's database. Changes count within five seconds.

    \b
    clearcast keys create --owner newsroom
    clearcast keys list
    clearcast keys revoke key_0123456789ab
    """


@keys.command()
@click.option("--owner", default=ADMIN, metavar="NAME", help="Whose key it is; see `clearcast users`.")
@click.option("--label", default="", metavar="TEXT", help="What the key is for, shown in lists.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=("*",),
    metavar="SCOPE",
    help="What it may do: jobs:read, jobs:write …, * for everything; may be given several times.",
)
@pass_session
def create(session: Session, owner: str, label: str, scopes: tuple[str, ...]) -> None:
    """Make a key and print it, this once: only a hash of it is kept.

    \b
    clearcast keys create
    clearcast keys create --owner newsroom --scope jobs:read --scope jobs:write
    export CLEARCAST_API_KEY=$(clearcast --quiet keys create --owner newsroom)
    """
    with accounts_of(session.settings) as accounts:
        if owner == ADMIN and not accounts.users.has_admin():
            accounts.users.create(ADMIN)
            session.note(f"Made the first user, {ADMIN!r}.")
        _, key = accounts.keys.create(accounts.users.find(owner).id, label, scopes)
    click.echo(key)
    session.note("Keep it now: it cannot be shown again.", style="yellow")


@keys.command(name="list")
@pass_session
def list_(session: Session) -> None:
    """Show whose keys there are.

    \b
    clearcast keys list
    """
    with accounts_of(session.settings) as accounts:
        records = accounts.keys.list_all()
    if not records:
        session.note("There are no keys. Make one: clearcast keys create")
        return
    table = Table("id", "owner", "label", "scopes", "created", "last used", box=None)
    for owner, record in records:
        used = record.last_used_at.isoformat(timespec="minutes") if record.last_used_at else "never"
        created = record.created_at.isoformat(timespec="seconds")
        table.add_row(record.id, owner, record.label, " ".join(record.scopes), created, used)
    session.results.print(table)


@keys.command()
@click.argument("key_id", metavar="ID")
@pass_session
def revoke(session: Session, key_id: str) -> None:
    """Make the key with this id (see `keys list`) worthless; a running server notices within five seconds.

    \b
    clearcast keys revoke key_0123456789ab
    """
    with accounts_of(session.settings) as accounts:
        accounts.keys.revoke(accounts.keys.owner_of(key_id), key_id)
    session.note(f"{key_id} is revoked.", style="green")
