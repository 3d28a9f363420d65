"""`client.rooms` against the whole platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.client import AsyncClearCast, ClearCast
from clearcast.errors import Conflict, NotFound, OptionInvalid
from tests.client.room_recordings import record
from tests.platform_server import Platform


def test_a_room_lives_a_whole_life(platform: Platform, tmp_path: Path) -> None:
    with ClearCast(platform.url, platform.key) as client:
        room = client.rooms.create("Client's show", visibility="invited", record=True, frame_ms=10)
        assert (room.owner, room.is_mine, room.visibility, room.frame_ms) == ("anna", True, "invited", 10)
        assert room.live_url is not None and room.live_url.endswith(f"/v1/rooms/{room.id}/ws")
        assert client.rooms.get(room.id) == room
        with pytest.raises(Conflict):
            client.rooms.create("client's SHOW")
        with pytest.raises(OptionInvalid):
            client.rooms.create("Other", visibility="password")
        client.rooms.invite(room.id, "Reza of the 2nd floor")
        assert client.rooms.invites(room.id) == ("Reza of the 2nd floor",)
        client.rooms.uninvite(room.id, "Reza of the 2nd floor")
        assert client.rooms.invites(room.id) == ()
        token = client.rooms.create_token(room.id, "publish", lasts_s=120, label="Studio")
        assert token.token is not None and token.token.startswith("rt_")
        [listed] = client.rooms.tokens(room.id)
        assert (listed.id, listed.token) == (token.id, None)
        client.rooms.revoke_token(room.id, token.id)
        assert client.rooms.tokens(room.id) == ()
        changed = client.rooms.change(room.id, name="Evening", is_locked=True)
        assert (changed.name, changed.is_locked) == ("Evening", True)
        recording_id = record(platform, room.id, tmp_path)
        [recording] = client.rooms.recordings(room.id)
        assert (recording.id, recording.state, recording.failure) == (recording_id, "stored", None)
        assert [(file.role, file.participant) for file in recording.files] == [
            ("mix", ""),
            ("original", "Sara"),
        ]
        client.files.download(recording.files[0].file_id, tmp_path / "fetched")
        assert (tmp_path / "fetched").read_bytes() == b"OggS mix"
        assert client.rooms.end(room.id).state == "ended"
        assert room.id in {one.id for one in client.rooms.list()}
        assert room.id not in {one.id for one in client.rooms.list("others")}
        client.rooms.erase(room.id)
        with pytest.raises(NotFound):
            client.rooms.get(room.id)


async def test_the_asynchronous_client_does_the_same(platform: Platform, tmp_path: Path) -> None:
    async with AsyncClearCast(platform.url, platform.key) as client:
        room = await client.rooms.create("Another show", sound="music")
        assert room.id in {one.id async for one in client.rooms.list()}
        await client.rooms.invite(room.id, "Reza")
        assert await client.rooms.invites(room.id) == ("Reza",)
        await client.rooms.uninvite(room.id, "Reza")
        token = await client.rooms.create_token(room.id, "listen")
        assert [one.id for one in await client.rooms.tokens(room.id)] == [token.id]
        await client.rooms.revoke_token(room.id, token.id)
        assert (await client.rooms.change(room.id, visibility="public")).visibility == "public"
        recording_id = record(platform, room.id, tmp_path)
        assert [one.id async for one in client.rooms.recordings(room.id)] == [recording_id]
        ended = await client.rooms.end(room.id)
        assert await client.rooms.get(room.id) == ended
        await client.rooms.erase(room.id)
