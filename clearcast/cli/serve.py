"""`clearcast serve`: the whole platform on this machine."""

from __future__ import annotations

import click

from clearcast.cli import exit_codes
from clearcast.cli.session import Session, pass_session
from clearcast.errors import Conflict


@click.command(short_help="Start the whole platform.")
@pass_session
def serve(session: Session) -> None:
    """Start the platform: Ray Serve, the models, the HTTP API. Ctrl-C stops it.

    \b
    clearcast serve
    clearcast --profile gpu serve
    CLEARCAST__HTTP__PORT=9000 clearcast serve

    It listens on this machine only (127.0.0.1) unless the profile says otherwise. The first start makes the
    user `admin`, prints a link that logs in once, and stores an API key for the command line; `clearcast
    users` and `clearcast keys` make more.
    """
    from deployments.server import serve_forever  # Ray takes seconds to import

    try:
        serve_forever(session.profile, say=lambda text: session.results.print(text, markup=False))
    except Conflict as error:
        session.show_error(error)
        raise click.exceptions.Exit(exit_codes.SERVICE) from error
