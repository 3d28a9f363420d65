"""Live rooms on a ClearCast server: `client.rooms` of the Python client.

    room = client.rooms.create("Morning show", visibility="public", record=True)
    token = client.rooms.create_token(room.id, "publish", lasts_s=7200).token
    for recording in client.rooms.recordings(room.id):
        client.files.download(recording.files[0].file_id, "mix.ogg")

What does not live here: being in a room, which goes over its WebSocket, WHIP and WHEP (`docs/rooms.md`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import quote

from clearcast.client.room_types import Recording, Room, RoomRole, RoomToken, Visibility
from clearcast.client.transport import AsyncTransport, Transport
from clearcast.client.wire import Call, read_items, read_object

Whose = Literal["mine", "others"]
_PAGE = "200"


class RoomFields(TypedDict, total=False):
    """How a room is to be: who may come in, its password where that is the way, speech or music, frames of
    20 or 10 ms, and whether it is denoised, recorded, transcribed, captioned."""

    visibility: Visibility
    password: str
    sound: Literal["speech", "music"]
    frame_ms: Literal[10, 20]
    denoise: bool
    record: bool
    transcribe: bool
    captions: bool


class RoomChanges(RoomFields, total=False):
    """What of a room is to change."""

    name: str
    is_locked: bool


def create_call(name: str, options: RoomFields) -> Call:
    return Call("POST", "/v1/rooms", body={"name": name, **options})


def list_call(whose: Whose, after: str | None) -> Call:
    return Call("GET", "/v1/rooms", params={"whose": whose, "limit": _PAGE} | _after(after))


def room_call(method: str, room_id: str, *below: str, body: Any = None, **params: str) -> Call:
    path = "/".join(quote(part, safe="") for part in (room_id, *below))
    return Call(method, f"/v1/rooms/{path}", body=body, params=params)


def token_call(room_id: str, role: RoomRole, lasts_s: int, label: str) -> Call:
    body = {"role": role, "lasts_s": lasts_s, "label": label}
    return room_call("POST", room_id, "tokens", body=body)


def recordings_call(room_id: str, after: str | None) -> Call:
    return room_call("GET", room_id, "recordings", limit=_PAGE, **_after(after))


def _after(after: str | None) -> dict[str, str]:
    return {} if after is None else {"after": after}


class Rooms:
    """`client.rooms`."""

    def __init__(self, transport: Transport) -> None:
        self._send = transport.send

    def create(self, name: str, **options: Unpack[RoomFields]) -> Room:
        """Make a room; it goes live when somebody joins at its `live_url`. Raises Conflict."""
        return Room.of(read_object(self._send(create_call(name, options))))

    def list(self, whose: Whose = "mine") -> Iterator[Room]:
        """Your rooms, ended ones too, the newest first; or open ones of others that you may enter."""
        after: str | None = None
        while True:
            response = self._send(list_call(whose, after))
            yield from map(Room.of, read_items(response, "rooms"))
            after = read_object(response).get("next")
            if after is None:
                return

    def get(self, room_id: str) -> Room:
        return Room.of(read_object(self._send(room_call("GET", room_id))))

    def change(self, room_id: str, **changes: Unpack[RoomChanges]) -> Room:
        """Who may no longer be there is sent away."""
        return Room.of(read_object(self._send(room_call("PATCH", room_id, body=changes))))

    def end(self, room_id: str) -> Room:
        """Send everybody away for good; what was recorded stays."""
        return Room.of(read_object(self._send(room_call("POST", room_id, "end"))))

    def erase(self, room_id: str) -> None:
        """End the room and forget it with its recordings."""
        self._send(room_call("DELETE", room_id, erase="true"))

    def invites(self, room_id: str) -> tuple[str, ...]:
        """Who is invited, as it was written."""
        items = read_items(self._send(room_call("GET", room_id, "invites")), "invites")
        return tuple(str(item["name"]) for item in items)

    def invite(self, room_id: str, name: str) -> None:
        """Let somebody in while the room is for the invited; nobody learns who exists."""
        self._send(room_call("PUT", room_id, "invites", name))

    def uninvite(self, room_id: str, name: str) -> None:
        self._send(room_call("DELETE", room_id, "invites", name))

    def tokens(self, room_id: str) -> tuple[RoomToken, ...]:
        """Those that let somebody in, without the tokens themselves."""
        items = read_items(self._send(room_call("GET", room_id, "tokens")), "tokens")
        return tuple(RoomToken.of(item) for item in items)

    def create_token(
        self, room_id: str, role: RoomRole, *, lasts_s: int = 3600, label: str = ""
    ) -> RoomToken:
        """Let in somebody without an account; `token` in the answer is shown this once."""
        return RoomToken.of(read_object(self._send(token_call(room_id, role, lasts_s, label))))

    def revoke_token(self, room_id: str, token_id: str) -> None:
        self._send(room_call("DELETE", room_id, "tokens", token_id))

    def recordings(self, room_id: str) -> Iterator[Recording]:
        """What the room recorded, the newest first; `client.files` downloads the files."""
        after: str | None = None
        while True:
            response = self._send(recordings_call(room_id, after))
            yield from map(Recording.of, read_items(response, "recordings"))
            after = read_object(response).get("next")
            if after is None:
                return


class AsyncRooms:
    """`client.rooms` of the asynchronous client; see `Rooms`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._send = transport.send

    async def create(self, name: str, **options: Unpack[RoomFields]) -> Room:
        """As `Rooms.create`."""
        return Room.of(read_object(await self._send(create_call(name, options))))

    async def list(self, whose: Whose = "mine") -> AsyncIterator[Room]:
        """As `Rooms.list`."""
        after: str | None = None
        while True:
            response = await self._send(list_call(whose, after))
            for values in read_items(response, "rooms"):
                yield Room.of(values)
            after = read_object(response).get("next")
            if after is None:
                return

    async def get(self, room_id: str) -> Room:
        return Room.of(read_object(await self._send(room_call("GET", room_id))))

    async def change(self, room_id: str, **changes: Unpack[RoomChanges]) -> Room:
        """As `Rooms.change`."""
        return Room.of(read_object(await self._send(room_call("PATCH", room_id, body=changes))))

    async def end(self, room_id: str) -> Room:
        """As `Rooms.end`."""
        return Room.of(read_object(await self._send(room_call("POST", room_id, "end"))))

    async def erase(self, room_id: str) -> None:
        """As `Rooms.erase`."""
        await self._send(room_call("DELETE", room_id, erase="true"))

    async def invites(self, room_id: str) -> tuple[str, ...]:
        """As `Rooms.invites`."""
        items = read_items(await self._send(room_call("GET", room_id, "invites")), "invites")
        return tuple(str(item["name"]) for item in items)

    async def invite(self, room_id: str, name: str) -> None:
        """As `Rooms.invite`."""
        await self._send(room_call("PUT", room_id, "invites", name))

    async def uninvite(self, room_id: str, name: str) -> None:
        await self._send(room_call("DELETE", room_id, "invites", name))

    async def tokens(self, room_id: str) -> tuple[RoomToken, ...]:
        """As `Rooms.tokens`."""
        items = read_items(await self._send(room_call("GET", room_id, "tokens")), "tokens")
        return tuple(RoomToken.of(item) for item in items)

    async def create_token(
        self, room_id: str, role: RoomRole, *, lasts_s: int = 3600, label: str = ""
    ) -> RoomToken:
        """As `Rooms.create_token`."""
        return RoomToken.of(read_object(await self._send(token_call(room_id, role, lasts_s, label))))

    async def revoke_token(self, room_id: str, token_id: str) -> None:
        await self._send(room_call("DELETE", room_id, "tokens", token_id))

    async def recordings(self, room_id: str) -> AsyncIterator[Recording]:
        """As `Rooms.recordings`."""
        after: str | None = None
        while True:
            response = await self._send(recordings_call(room_id, after))
            for values in read_items(response, "recordings"):
                yield Recording.of(values)
            after = read_object(response).get("next")
            if after is None:
                return
