"""`clearcast users`: the people of the server on this machine."""

from __future__ import annotations

import sys

import click
from rich.table import Table

from clearcast.accounts.accounts import accounts_of
from clearcast.accounts.tokens import CODE_S
from clearcast.cli.session import Session, pass_session

_PAGE = 500


@click.group(short_help="The people of the server.")
def users() -> None:
    """People of the server that runs with this profile's database. The first one is the admin.

    \b
    clearcast users add sara
    clearcast users list
    clearcast users login-link admin
    """


@users.command()
@click.argument("name")
@click.option("--password", is_flag=True, help="Ask for a password, or read it from standard input.")
@click.option("--admin", is_flag=True, help="Make this person an admin.")
@pass_session
def add(session: Session, name: str, password: bool, admin: bool) -> None:
    """Make a person. Without a password they use API keys and login links.

    \b
    clearcast users add sara --password
    clearcast users add newsroom
    """
    with accounts_of(session.settings) as accounts:
        person = accounts.users.create(name, _password() if password else None, is_admin=admin)
    click.echo(person.id)
    session.note(f"{person.name} is {'an admin' if person.is_admin else 'a user'}.", style="green")


@users.command(name="list")
@pass_session
def list_(session: Session) -> None:
    """Show who there is.

    \b
    clearcast users list
    """
    table = Table("id", "name", "role", "state", "password", "since", box=None)
    after = None
    with accounts_of(session.settings) as accounts:
        while people := accounts.users.list(after, _PAGE):
            for person in people:
                table.add_row(
                    person.id,
                    person.name,
                    "admin" if person.is_admin else "user",
                    "disabled" if person.is_disabled else "active",
                    "yes" if person.has_password else "no",
                    person.created_at.isoformat(timespec="seconds"),
                )
            after = people[-1].id
    session.results.print(table)


@users.command()
@click.argument("name")
@pass_session
def disable(session: Session, name: str) -> None:
    """Shut a person out; what they keep stays. A running server notices within five seconds.

    \b
    clearcast users disable sara
    """
    with accounts_of(session.settings) as accounts:
        accounts.users.change(accounts.users.find(name).id, is_disabled=True)
    session.note(f"{name} is disabled.", style="green")


@users.command()
@click.argument("name")
@pass_session
def enable(session: Session, name: str) -> None:
    """Let a disabled person in again.

    \b
    clearcast users enable sara
    """
    with accounts_of(session.settings) as accounts:
        accounts.users.change(accounts.users.find(name).id, is_disabled=False)
    session.note(f"{name} is enabled.", style="green")


@users.command()
@click.argument("name")
@pass_session
def password(session: Session, name: str) -> None:
    """Set a person's password, asked for or read from standard input; ends their log-ins and a lock-out.

    \b
    clearcast users password sara
    """
    with accounts_of(session.settings) as accounts:
        user_id = accounts.users.find(name).id
        accounts.users.set_password(user_id, _password())
    session.note(f"{name} has a new password.", style="green")


@users.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def erase(session: Session, name: str, yes: bool) -> None:
    """Erase a person with everything of theirs, and print the proof. If it is stopped, ask for it again.

    \b
    clearcast users erase sara --yes
    """
    if not yes:
        click.confirm(f"Erase {name} and everything they keep? There is no way back.", abort=True, err=True)
    with accounts_of(session.settings) as accounts:
        proof = accounts.rights.erase(accounts.users.find(name).id)
    for kind, count in sorted(proof.counts.items()):
        click.echo(f"{kind} {count}")
    click.echo(f"sha256 {proof.sha256}")
    session.note(f"{name} is erased.", style="green")


@users.command(name="login-link")
@click.argument("name")
@pass_session
def login_link(session: Session, name: str) -> None:
    """Print a link that logs a person in once, in a browser on this machine.

    \b
    clearcast users login-link admin
    """
    http = session.settings.http
    with accounts_of(session.settings) as accounts:
        code = accounts.tokens.make_code(accounts.users.find(name).id)
    click.echo(f"http://{http.host}:{http.port}/login/{code}")
    session.note(f"It works once, within {CODE_S // 60} minutes.", style="yellow")


def _password() -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    return sys.stdin.readline().rstrip("\n")
