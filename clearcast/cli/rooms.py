"""`clearcast rooms`: live rooms on a ClearCast server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from clearcast.cli import options
from clearcast.cli.options import ServerOptions
from clearcast.cli.progress import byte_bar
from clearcast.cli.remote import client_of, place_for
from clearcast.cli.session import Session, pass_session
from clearcast.client import ClearCast
from clearcast.client.room_types import Room, RoomRole, Visibility
from clearcast.client.rooms import RoomChanges, RoomFields
from clearcast.errors import NotFound

_VISIBILITIES = click.Choice(["public", "friends", "invited", "password"])
_ROOM = click.argument("room", metavar="ROOM")
_LOCK = click.option("--lock/--unlock", "is_locked", default=None, help="Whether nobody new may come in.")


@click.group(short_help="Live rooms on a server.")
def rooms() -> None:
    """Live rooms on a ClearCast server: who may come in, and what they left. A ROOM is an id or a name.

    Without --server the server on this machine is meant.

    \b
    clearcast rooms create "Morning show" --visibility public --record
    clearcast rooms token "Morning show" --role publish
    clearcast rooms download "Morning show" -o shows
    """


@rooms.command(name="list")
@click.option("--others", is_flag=True, help="Open rooms of others that you may enter, instead of yours.")
@options.server
@pass_session
def list_(session: Session, others: bool, server: ServerOptions) -> None:
    """Show your rooms, the newest first.

    \b
    clearcast rooms list
    clearcast rooms list --others
    """
    table = Table("id", "name", "owner", "visibility", "state", "created", box=None)
    with client_of(session, server) as client:
        for room in client.rooms.list("others" if others else "mine"):
            created = room.created_at.isoformat(sep=" ", timespec="minutes")
            table.add_row(
                room.id, escape(room.name), escape(room.owner), room.visibility, _state(room), created
            )
    if not table.row_count:
        session.note("There are no rooms. Make one: clearcast rooms create NAME")
        return
    session.results.print(table)


@rooms.command()
@click.argument("name")
@click.option("--visibility", type=_VISIBILITIES, default="friends", help="Who may come in (friends).")
@click.option("--music", is_flag=True, help="Stereo at 192 kbit/s, never denoised.")
@click.option("--low-delay", is_flag=True, help="Frames of 10 ms instead of 20.")
@click.option("--no-denoise", is_flag=True, help="Voices cannot be denoised here, which saves its delay.")
@click.option("--record", is_flag=True, help="Record while somebody speaks; everybody is told.")
@click.option("--transcribe", is_flag=True, help="Make the recording a meeting when the room empties.")
@click.option("--captions", is_flag=True, help="Show what is said as text from the beginning.")
@options.server
@pass_session
def create(
    session: Session,
    name: str,
    visibility: Visibility,
    music: bool,
    low_delay: bool,
    no_denoise: bool,
    record: bool,
    transcribe: bool,
    captions: bool,
    server: ServerOptions,
) -> None:
    """Make a room and print its id. The password of a room that has one is asked for, or read from a pipe.

    \b
    clearcast rooms create "Morning show" --visibility public --record
    clearcast rooms create Choir --music --low-delay --visibility invited
    """
    wanted = RoomFields(visibility=visibility, record=record, transcribe=transcribe, captions=captions)
    if music:
        wanted["sound"] = "music"
    if low_delay:
        wanted["frame_ms"] = 10
    if no_denoise:
        wanted["denoise"] = False
    if visibility == "password":
        wanted["password"] = _password()
    with client_of(session, server) as client:
        room = client.rooms.create(name, **wanted)
    click.echo(room.id)
    if room.live_url is not None:
        session.note(f"Live at {room.live_url}; OBS and the like: {room.whip_url}")


@rooms.command()
@_ROOM
@options.server
@pass_session
def show(session: Session, room: str, server: ServerOptions) -> None:
    """Show one room: its settings, addresses, invitations and tokens.

    \b
    clearcast rooms show "Morning show"
    clearcast rooms show room_01k9zr5x8m2c4v6b8n0q2w4e6r
    """
    table = Table("", "", box=None, show_header=False)
    with client_of(session, server) as client:
        found = _find(client, room)
        for name in ("id", "name", "owner", "visibility", "sound", "frame_ms"):
            table.add_row(name, escape(str(getattr(found, name))))
        table.add_row("state", _state(found))
        kinds = [kind for kind in ("denoise", "record", "transcribe", "captions") if getattr(found, kind)]
        table.add_row("does", ", ".join(kinds) or "–")
        for name in ("live_url", "whip_url", "whep_url"):
            table.add_row(name, getattr(found, name) or "–")
        if found.is_mine:
            table.add_row("invited", escape(", ".join(client.rooms.invites(found.id))) or "–")
            for token in client.rooms.tokens(found.id):
                until = token.expires_at.isoformat(sep=" ", timespec="minutes")
                table.add_row("token", f"{token.id} {token.role} until {until} {escape(token.label)}")
    session.results.print(table)


@rooms.command()
@_ROOM
@click.option("--name", help="Its new name.")
@click.option("--visibility", type=_VISIBILITIES, help="Who may come in from now on.")
@click.option("--record/--no-record", default=None, help="Whether what is said is recorded.")
@click.option("--captions/--no-captions", default=None, help="Whether what is said is shown as text.")
@_LOCK
@options.server
@pass_session
def change(
    session: Session,
    room: str,
    name: str | None,
    visibility: Visibility | None,
    record: bool | None,
    captions: bool | None,
    is_locked: bool | None,
    server: ServerOptions,
) -> None:
    """Change a room; who may no longer be there is sent away within a second.

    \b
    clearcast rooms change "Morning show" --visibility invited
    clearcast rooms change "Morning show" --lock
    """
    given = {
        "name": name,
        "visibility": visibility,
        "record": record,
        "captions": captions,
        "is_locked": is_locked,
    }
    changes = RoomChanges(**{key: value for key, value in given.items() if value is not None})  # type: ignore[typeddict-item]
    if visibility == "password":
        changes["password"] = _password()
    if not changes:
        raise click.UsageError("Say what is to change.")
    with client_of(session, server) as client:
        changed = client.rooms.change(_find(client, room).id, **changes)
    session.note(f"{changed.name}: {changed.visibility}, {_state(changed)}", style="green")


@rooms.command()
@_ROOM
@click.option("--erase", is_flag=True, help="Forget it with its recordings.")
@click.option("--yes", is_flag=True, help="Erase without asking.")
@options.server
@pass_session
def end(session: Session, room: str, erase: bool, yes: bool, server: ServerOptions) -> None:
    """Send everybody away for good. What was recorded stays, unless the room is erased.

    \b
    clearcast rooms end "Morning show"
    clearcast rooms end "Morning show" --erase
    """
    with client_of(session, server) as client:
        found = _find(client, room)
        if not erase:
            client.rooms.end(found.id)
            session.note(f"{found.name} has ended.", style="green")
            return
        if not yes:
            click.confirm(f"Erase {found.name} with all its recordings?", abort=True, err=True)
        client.rooms.erase(found.id)
        session.note(f"{found.name} is erased.", style="green")


@rooms.command()
@_ROOM
@click.argument("names", nargs=-1, required=True, metavar="NAME …")
@click.option("--take-back", is_flag=True, help="Take the invitations back instead.")
@options.server
@pass_session
def invite(
    session: Session, room: str, names: Sequence[str], take_back: bool, server: ServerOptions
) -> None:
    """Invite people by name. It counts while the visibility is `invited`.

    \b
    clearcast rooms invite "Morning show" Sara Reza
    clearcast rooms invite "Morning show" Reza --take-back
    """
    with client_of(session, server) as client:
        room_id = _find(client, room).id
        for name in names:
            (client.rooms.uninvite if take_back else client.rooms.invite)(room_id, name)


@rooms.command()
@_ROOM
@click.option(
    "--role",
    type=click.Choice(["listen", "publish", "moderate"]),
    default="listen",
    help="What its bearer may do (listen).",
)
@click.option("--minutes", type=click.IntRange(1, 1440), default=60, help="How long it works (60).")
@click.option("--label", default="", metavar="TEXT", help="The name of a bearer who gives none.")
@click.option("--revoke", metavar="ID", help="Make this token worthless instead; see `rooms show`.")
@options.server
@pass_session
def token(
    session: Session,
    room: str,
    role: RoomRole,
    minutes: int,
    label: str,
    revoke: str | None,
    server: ServerOptions,
) -> None:
    """Make a room token, for people and programs without an account, and print it, this once.

    \b
    clearcast rooms token "Morning show" --role publish --minutes 120 --label Studio
    clearcast rooms token "Morning show" --revoke rtk_01k9zr7a2c4e6g8j0m2p4r6t8w
    """
    with client_of(session, server) as client:
        room_id = _find(client, room).id
        if revoke is not None:
            client.rooms.revoke_token(room_id, revoke)
            session.note(f"{revoke} is revoked.", style="green")
            return
        click.echo(client.rooms.create_token(room_id, role, lasts_s=60 * minutes, label=label).token)
    session.note("Keep it now: it cannot be shown again.", style="yellow")


@rooms.command()
@_ROOM
@options.server
@pass_session
def recordings(session: Session, room: str, server: ServerOptions) -> None:
    """Show what a room recorded, the newest first.

    \b
    clearcast rooms recordings "Morning show"
    """
    table = Table("id", "began", "minutes", "state", "job", "files", "MB", box=None)
    with client_of(session, server) as client:
        for one in client.rooms.recordings(_find(client, room).id):
            began = one.started_at.isoformat(sep=" ", timespec="minutes")
            length_s = (one.ended_at - one.started_at).total_seconds() if one.ended_at else None
            minutes = "–" if length_s is None else f"{length_s / 60:.1f}"
            size = sum(file.size_bytes for file in one.files) / 1e6
            state = one.state if one.failure is None else f"{one.state} ({one.failure})"
            table.add_row(
                one.id, began, minutes, state, one.job_id or "–", str(len(one.files)), f"{size:.1f}"
            )
    if not table.row_count:
        session.note("Nothing is recorded.")
        return
    session.results.print(table)


@rooms.command()
@_ROOM
@click.option("--recording", metavar="ID", help="Only this recording.")
@click.option(
    "--all-voices",
    is_flag=True,
    help="Also every single voice and the events, not only the mix and its captions.",
)
@click.option("--output", "-o", metavar="FOLDER", help="Where to; a folder per recording is made in it.")
@options.server
@pass_session
def download(
    session: Session,
    room: str,
    recording: str | None,
    all_voices: bool,
    output: str | None,
    server: ServerOptions,
) -> None:
    """Fetch a room's recordings.

    \b
    clearcast rooms download "Morning show" -o shows
    clearcast rooms download "Morning show" --recording rec_01k9zrb3d5f7h9k1n3q5s7v9xz --all-voices
    """
    with client_of(session, server) as client:
        for one in client.rooms.recordings(_find(client, room).id):
            if recording not in {None, one.id}:
                continue
            folder = Path(output or ".") / one.id
            for file in one.files:
                if all_voices or file.role in {"mix", "captions"}:
                    target = place_for(str(folder), file.name, is_folder=True)
                    with byte_bar(session, target.name) as progress:
                        client.files.download(file.file_id, target, on_progress=progress)
                    session.note(f"→ {target}")


def _find(client: ClearCast, room: str) -> Room:
    """The room of this id, or one's own of this name: the open one, else the one that ended last."""
    if room.startswith("room_"):
        return client.rooms.get(room)
    named = [one for one in client.rooms.list() if one.name.casefold() == room.strip().casefold()]
    if not named:
        raise NotFound(f"You have no room {room!r}.", hint="See: clearcast rooms list")
    return next((one for one in named if one.state == "open"), named[0])


def _state(room: Room) -> str:
    return "locked" if room.state == "open" and room.is_locked else room.state


def _password() -> str:
    return str(click.prompt("Password of the room", hide_input=True, err=True))
