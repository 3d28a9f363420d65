"""WHIP and WHEP with plain aiortc and httpx, by RFC 9725."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from clearcast.storage.database import Database
from clearcast.storage.room_nodes import RoomNodes
from streaming.peers import new_peer
from streaming.testing.live_client import LiveClient
from streaming.testing.peers import Ear, Mouth, connected
from tests.deployments.live.sounds import tone, until_heard
from tests.deployments.live.stage import Stage

SDP = {"Content-Type": "application/sdp"}


@pytest.fixture
async def http(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stage.url, timeout=20) as client:
        yield client


async def offer(peer: RTCPeerConnection) -> str:
    await peer.setLocalDescription()
    return peer.localDescription.sdp


async def take(peer: RTCPeerConnection, answer: httpx.Response) -> None:
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"].startswith("application/sdp")
    await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
    await connected(peer)


async def test_whip_publishes_and_whep_plays(stage: Stage, http: httpx.AsyncClient) -> None:
    room = stage.room()
    watcher = await stage.joined(room, stage.people.create("anna"))
    speak = {**SDP, "Authorization": f"Bearer {stage.token(room, 'publish')[1]}"}
    hear = {**SDP, "Authorization": f"Bearer {stage.token(room, 'listen')[1]}", "Accept": "application/sdp"}
    mouth, ears = new_peer(), new_peer()
    ear, player = Ear(), LiveClient("")
    mouth.addTrack(Mouth(tone(440)))
    mouth.addTransceiver("video", direction="sendonly")  # as OBS offers, though we only take sound
    published = await http.post(f"/v1/rooms/{room.id}/whip", content=await offer(mouth), headers=speak)
    await take(mouth, published)
    assert published.headers["etag"].startswith('"')
    assert "m=video" in published.text
    assert "a=inactive" in published.text
    ears.addTransceiver("audio", direction="recvonly")
    player.hear(ears, ear)
    playing = await http.post(f"/v1/rooms/{room.id}/whep", content=await offer(ears), headers=hear)
    await take(ears, playing)
    await until_heard(ear, 440)
    speaker = await watcher.told("participant", is_publishing=True)
    assert published.headers["location"] == f"/v1/rooms/{room.id}/whip/{speaker['id']}"
    foreign = await http.delete(published.headers["location"], headers=hear)
    assert foreign.status_code == 404, "only who began it may end it"
    assert (await http.delete(published.headers["location"], headers=speak)).status_code == 200
    await watcher.told("left", id=speaker["id"])
    assert (await http.delete(published.headers["location"], headers=speak)).status_code == 404
    await player.drop_peers()
    await mouth.close()
    await ears.close()


async def test_a_whip_client_that_goes_is_gone(stage: Stage, http: httpx.AsyncClient) -> None:
    room = stage.room()
    watcher = await stage.joined(room, stage.people.create("anna"))
    headers = {**SDP, "Authorization": f"Bearer {stage.token(room, 'publish')[1]}"}
    mouth = new_peer()
    mouth.addTrack(Mouth(tone(440)))
    await take(
        mouth, await http.post(f"/v1/rooms/{room.id}/whip", content=await offer(mouth), headers=headers)
    )
    speaker = await watcher.told("participant", is_publishing=True)
    await mouth.close()
    assert (await watcher.told("left", id=speaker["id"]))["reason"] == "lost"


async def test_what_is_no_offer_is_refused_by_its_kind(stage: Stage, http: httpx.AsyncClient) -> None:
    room = stage.room()
    url = f"/v1/rooms/{room.id}/whip"
    key = {"Authorization": f"Bearer {stage.people.create('anna')}"}
    tries = [
        ({**SDP}, "v=0", 401, "unauthenticated"),
        ({**key, "Content-Type": "application/json"}, "{}", 415, "content_type_wrong"),
        ({**key, **SDP, "Accept": "text/html"}, "v=0", 406, "answer_type_unknown"),
        ({**key, **SDP}, "v=0", 422, "sdp_refused"),
        ({**key, **SDP}, "x" * 70_000, 413, "upload_too_large"),
        ({**key, **SDP}, b"\xff\xfe", 400, "request_malformed"),
    ]
    for headers, body, status, code in tries:
        answer = await http.post(url, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
    listener = {**SDP, "Authorization": f"Bearer {stage.token(room, 'listen')[1]}"}
    assert (await http.post(url, content="v=0", headers=listener)).status_code == 403
    stranger = {**SDP, "Authorization": f"Bearer {stage.people.create('bela')}"}
    assert (await http.post(url, content="v=0", headers=stranger)).status_code == 404


async def test_trickle_is_not_taken_and_options_say_what_is(stage: Stage, http: httpx.AsyncClient) -> None:
    room = stage.room()
    headers = {"Authorization": f"Bearer {stage.token(room, 'publish')[1]}"}
    mouth = new_peer()
    mouth.addTrack(Mouth(tone(440)))
    published = await http.post(
        f"/v1/rooms/{room.id}/whip", content=await offer(mouth), headers={**headers, **SDP}
    )
    await take(mouth, published)
    trickle = {**headers, "Content-Type": "application/trickle-ice-sdpfrag"}
    answer = await http.patch(published.headers["location"], content="a=x", headers=trickle)
    assert (answer.status_code, answer.json()["code"]) == (501, "trickle_unsupported")
    options = await http.options(f"/v1/rooms/{room.id}/whip")
    assert options.status_code == 204
    assert options.headers["accept-post"] == "application/sdp"
    assert "DELETE" in options.headers["access-control-allow-methods"]
    await mouth.close()


async def test_a_room_on_another_node_is_pointed_to(stage: Stage, http: httpx.AsyncClient) -> None:
    room = stage.room()
    database = Database(stage.settings.database_url)
    nodes = RoomNodes(database)

    def claim() -> None:
        nodes.seen("node-2", "https://other.example:8001")
        assert nodes.claim(room.id, "node-2") is None

    await asyncio.to_thread(claim)
    database.close()
    key = stage.people.create("anna")
    headers = {**SDP, "Authorization": f"Bearer {key}"}
    answer = await http.post(f"/v1/rooms/{room.id}/whip", content="v=0", headers=headers)
    assert answer.status_code == 307
    assert answer.headers["location"] == f"https://other.example:8001/v1/rooms/{room.id}/whip"
    client = stage.client(room, key)
    moved = await client.join()
    assert (moved["type"], moved["url"]) == ("moved", f"wss://other.example:8001/v1/rooms/{room.id}/ws")
    assert await client.closed() == 1000
