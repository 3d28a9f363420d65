"""`/v1/rooms`: making, finding, changing and ending rooms, whom they let in, what they remember."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from clearcast.accounts.accounts import accounts_of
from clearcast.errors import RateLimited, RoomPasswordWrong, Unauthenticated
from clearcast.settings import HttpSettings, Settings
from clearcast.settings_live import LiveSettings
from clearcast.storage.blobs import open_blobs
from clearcast.storage.database import Database
from clearcast.storage.intake import Intake
from clearcast.storage.room_nodes import RoomNodes
from clearcast.storage.room_recordings import RecordedPart, RoomRecordings
from clearcast.testing.people import People
from deployments.ingress.room_entry import PASSWORDS_PER_MINUTE, enter_room, visitor_of
from tests.deployments.ingress.loopback import MakeApp, connect

SECRET = "open sesame now"


async def make(client: httpx.AsyncClient, name: str = "Morning show", **more: object) -> dict[str, Any]:
    answer = await client.post("/v1/rooms", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    room: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/v1/rooms/{room['id']}"
    return room


async def names(client: httpx.AsyncClient, whose: str) -> list[str]:
    answer = await client.get("/v1/rooms", params={"whose": whose})
    return [room["name"] for room in answer.json()["rooms"]]


async def test_a_room_is_made_shown_changed_and_ended(client: httpx.AsyncClient) -> None:
    room = await make(client, visibility="public", record=True)
    assert (room["owner"], room["is_mine"], room["state"], room["denoise"]) == ("anna", True, "open", True)
    address = f"/v1/rooms/{room['id']}"
    assert room["live_url"] == f"ws://127.0.0.1:8001{address}/ws"
    assert room["whip_url"] == f"http://127.0.0.1:8001{address}/whip"
    assert room["whep_url"] == f"http://127.0.0.1:8001{address}/whep"
    assert (await client.get(address)).json() == room
    changed = await client.patch(address, json={"name": "Evening", "is_locked": True})
    assert changed.json() == {**room, "name": "Evening", "is_locked": True}
    ended = (await client.post(f"{address}/end")).json()
    assert (ended["state"], ended["live_url"]) == ("ended", None)
    assert (await client.post(f"{address}/end")).json() == ended
    refused = await client.patch(address, json={"name": "Again"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert await names(client, "mine") == ["Evening"]
    assert (await client.delete(address)).status_code == 204
    assert (await client.get(address)).json() == ended
    assert (await client.delete(address, params={"erase": True})).status_code == 204
    assert (await client.get(address)).status_code == 404
    assert await names(client, "mine") == []


async def test_music_is_not_denoised_unless_somebody_asks_and_is_refused(client: httpx.AsyncClient) -> None:
    room = await make(client, sound="music", frame_ms=10)
    assert (room["denoise"], room["frame_ms"]) == (False, 10)
    for wrong in (
        {"name": "b", "sound": "music", "denoise": True},
        {"name": "b", "visibility": "password"},
        {"name": "b", "visibility": "password", "password": "short"},
        {"name": "b", "password": SECRET},
        {"name": "b", "frame_ms": 15},
        {"name": ""},
        {"name": "a\x00"},
        {"name": "b", "node_id": "mine"},
    ):
        answer = await client.post("/v1/rooms", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "option_invalid"), wrong
    again = await client.post("/v1/rooms", json={"name": "MORNING show"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_pages_hold_every_room_once(client: httpx.AsyncClient) -> None:
    made = [(await make(client, f"Room {number}"))["id"] for number in range(5)]
    seen, after = [], None
    for _ in range(3):
        query = {"limit": 2} if after is None else {"limit": 2, "after": after}
        page = (await client.get("/v1/rooms", params=query)).json()
        seen += [room["id"] for room in page["rooms"]]
        after = page["next"]
    assert (seen, after) == (made[::-1], None)


async def test_others_find_what_they_may_enter(make_app: MakeApp, key: str, other_key: str) -> None:
    app = make_app()
    async with connect(app, key) as anna, connect(app, other_key) as bela:
        public = await make(anna, "Public", visibility="public")
        hidden = await make(anna, "Invited", visibility="invited")
        secret = await make(anna, "Secret", visibility="password", password=SECRET)
        await make(anna, "Friends")
        assert await names(bela, "others") == ["Public"] and await names(bela, "mine") == []
        assert await names(anna, "others") == []
        shown = (await bela.get(f"/v1/rooms/{public['id']}")).json()
        assert shown == {**public, "is_mine": False}
        assert (await bela.get(f"/v1/rooms/{secret['id']}")).json()["visibility"] == "password"
        invites = f"/v1/rooms/{hidden['id']}/invites"
        for name in ("BELA", "nobody at all", "user_01k9zq3v5m8r2t4w6y8a0c2e4g"):
            assert (await anna.put(f"{invites}/{name}")).status_code == 204
        listed = (await anna.get(invites)).json()["invites"]
        assert [guest["name"] for guest in listed] == [
            "BELA",
            "nobody at all",
            "user_01k9zq3v5m8r2t4w6y8a0c2e4g",
        ]
        assert await names(bela, "others") == ["Invited", "Public"]
        for name in ("bela", "nobody at all", "never invited"):
            assert (await anna.delete(f"{invites}/{name}")).status_code == 204
        assert await names(bela, "others") == ["Public"]
        for address in (hidden["id"], "room_none"):
            answer = await bela.get(f"/v1/rooms/{address}")
            assert (answer.status_code, answer.json()["detail"]) == (404, "There is no such room.")


async def test_room_tokens_are_shown_once_and_end(client: httpx.AsyncClient, settings: Settings) -> None:
    room = await make(client)
    address = f"/v1/rooms/{room['id']}/tokens"
    made = await client.post(address, json={"role": "publish", "lasts_s": 120, "label": "Studio"})
    assert made.status_code == 201
    token = made.json().pop("token")
    listed = (await client.get(address)).json()["tokens"]
    assert [{**one, "token": token} for one in listed] == [made.json()]
    with accounts_of(settings) as accounts:
        assert accounts.room_tokens.look_up(token) is not None
    assert (await client.delete(f"{address}/{made.json()['id']}")).status_code == 204
    assert (await client.delete(f"{address}/{made.json()['id']}")).status_code == 404
    with accounts_of(settings) as accounts:
        assert accounts.room_tokens.look_up(token) is None
    assert (await client.get(address)).json() == {"tokens": []}
    for wrong in (
        {},
        {"role": "owner"},
        {"role": "listen", "lasts_s": 59},
        {"role": "listen", "lasts_s": 10**9},
    ):
        assert (await client.post(address, json=wrong)).status_code == 422
    await client.post(f"/v1/rooms/{room['id']}/end")
    assert (await client.post(address, json={"role": "listen"})).status_code == 409
    # It is no key of the API.
    answer = await client.get("/v1/rooms", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


async def test_recordings_are_files_of_the_owner_and_go_with_the_room(
    client: httpx.AsyncClient, settings: Settings, people: People, tmp_path: Path
) -> None:
    room = await make(client, record=True)
    address = f"/v1/rooms/{room['id']}"

    def record() -> str:
        database = Database(settings.database_url)
        intake = Intake(database, open_blobs(settings.storage, settings.data_path), settings)
        recordings = RoomRecordings(database)
        recording = recordings.start(people.id_of("anna"), room["id"])
        for number in range(2):
            source = tmp_path / "part.ogg"
            source.write_bytes(b"OggS" + bytes([number]))
            recordings.keep(
                intake, recording, RecordedPart("mix", part=number), f"mix-{number}.ogg", source
            )
        recordings.move(recording.owner_id, recording.id, "stored", "job_1")
        database.close()
        return recording.id

    recording_id = await asyncio.to_thread(record)
    [recording] = (await client.get(f"{address}/recordings")).json()["recordings"]
    assert (recording["id"], recording["state"], recording["job_id"]) == (recording_id, "stored", "job_1")
    assert [(one["role"], one["part"], one["name"]) for one in recording["files"]] == [
        ("mix", 0, "mix-0.ogg"),
        ("mix", 1, "mix-1.ogg"),
    ]
    content = f"/v1/files/{recording['files'][1]['file_id']}/content"
    assert (await client.get(content)).content == b"OggS\x01"
    kept = (await client.get("/v1/files", params={"kind": "recording"})).json()["files"]
    assert {one["kind"] for one in kept} == {"recording"} and len(kept) == 2
    assert (await client.get("/v1/files", params={"kind": "upload"})).json()["files"] == []
    await client.delete(f"/v1/files/{recording['files'][0]['file_id']}")
    [recording] = (await client.get(f"{address}/recordings")).json()["recordings"]
    assert [one["part"] for one in recording["files"]] == [1]
    await client.delete(address, params={"erase": True})
    assert (await client.get(content)).status_code == 404
    assert (await client.get("/v1/files")).json()["files"] == []


async def test_addresses_are_those_of_the_node_that_holds_the_room(make_app: MakeApp, key: str) -> None:
    app = make_app(live=LiveSettings(public_url="https://cast.example.org/live/"))
    nodes = RoomNodes(app.state.ingress.database)
    async with connect(app, key) as client:
        room = await make(client)
        address = f"/v1/rooms/{room['id']}"
        assert room["live_url"] == f"wss://cast.example.org/live{address}/ws"
        nodes.seen("two", "http://two.example.org:8001")
        nodes.claim(room["id"], "two")
        assert (await client.get(address)).json()["live_url"] == f"ws://two.example.org:8001{address}/ws"
        nodes.gone("two")
        assert (await client.get(address)).json()["live_url"] == room["live_url"]
    async with connect(make_app(live=LiveSettings(enabled=False)), key) as client:
        assert (await client.get(address)).json()["whip_url"] is None


async def test_the_door_knows_every_credential_and_counts_passwords(
    make_app: MakeApp, key: str, other_key: str
) -> None:
    app = make_app()
    state = app.state.ingress
    async with connect(app, key) as client:
        room = await make(client, visibility="password", password=SECRET)
        tokens = f"/v1/rooms/{room['id']}/tokens"
        token = (await client.post(tokens, json={"role": "moderate", "label": "Desk"})).json()["token"]
    for credential in (None, "", "cc_wrong", "rt_wrong", "x" * 10_000):
        with pytest.raises(Unauthenticated):
            await visitor_of(state, credential)
    owner, guest, bearer = [await visitor_of(state, one) for one in (key, other_key, token)]
    assert [owner.name, guest.name, bearer.name] == ["anna", "bela", "Desk"]
    assert (await enter_room(state, room["id"], owner)).role == "moderate"
    assert (await enter_room(state, room["id"], bearer)).role == "moderate"
    assert (await enter_room(state, room["id"], guest, SECRET)).role == "publish"
    for _ in range(PASSWORDS_PER_MINUTE - 1):
        with pytest.raises(RoomPasswordWrong):
            await enter_room(state, room["id"], guest, "wrong password")
    with pytest.raises(RateLimited):
        await enter_room(state, room["id"], guest, SECRET)


async def test_without_keys_the_door_is_open_to_the_one_person(make_app: MakeApp) -> None:
    app = make_app(http=HttpSettings(require_key=False))
    async with connect(app) as client:
        room = await make(client)
    visitor = await visitor_of(app.state.ingress, None)
    assert (await enter_room(app.state.ingress, room["id"], visitor)).role == "moderate"
