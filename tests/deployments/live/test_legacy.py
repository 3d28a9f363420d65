"""The older platform's clients: one broadcaster, his friends listen."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiortc import RTCSessionDescription
from websockets.asyncio.client import ClientConnection, connect

from streaming.peers import new_peer
from streaming.testing.live_client import LiveClient
from streaming.testing.peers import Ear, Mouth, connected
from tests.deployments.live.sounds import tone, until_heard
from tests.deployments.live.stage import Stage


async def heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this type."""
    async with asyncio.timeout(15):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["type"] == kind:
                return message


async def test_friends_listen_to_a_broadcaster(stage: Stage) -> None:
    stage.befriend("anna", "bela")
    url = f"ws{stage.url.removeprefix('http')}/ws/audio/anna/"
    header = {"Authorization": f"Bearer {stage.people.create('anna')}"}
    mouth, ears, ear, player = new_peer(), new_peer(), Ear(), LiveClient("")
    async with connect(url, additional_headers=header) as anna, connect(url) as bela:
        assert (await heard(anna, "authenticated"))["broadcaster"] == "anna"
        await bela.send(json.dumps({"type": "authenticate", "token": stage.people.create("bela")}))
        assert (await heard(bela, "authenticated"))["is_streaming"] is False
        assert (await heard(anna, "user_online"))["username"] == "bela"
        mouth.addTrack(Mouth(tone(440)))
        await mouth.setLocalDescription()
        await anna.send(json.dumps({"type": "start_stream", "sdp": mouth.localDescription.sdp}))
        answer = await heard(anna, "answer")
        await mouth.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await connected(mouth)
        assert (await heard(bela, "user_streaming"))["username"] == "anna"
        await bela.send(json.dumps({"type": "subscribe"}))
        offer = await heard(bela, "offer")
        player.hear(ears, ear)
        await ears.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        await ears.setLocalDescription()
        await bela.send(json.dumps({"type": "answer", "sdp": ears.localDescription.sdp}))
        await connected(ears)
        await until_heard(ear, 440)
        await anna.send(json.dumps({"type": "toggle_denoise"}))
        while (await heard(bela, "denoise_toggled"))["enabled"]:
            pass
        await bela.send(json.dumps({"type": "chat_message", "message": "hello"}))
        said = await heard(anna, "chat_message")
        assert (said["username"], said["message"]) == ("bela", "hello")
        await bela.send(json.dumps({"type": "start_stream", "sdp": "v=0"}))
        assert (await heard(bela, "error"))["code"] == "forbidden"
        await anna.send(json.dumps({"type": "stop_stream"}))
        assert (await heard(bela, "stream_ended"))["username"] == "anna"
    await player.drop_peers()
    await mouth.close()
    await ears.close()


async def test_strangers_do_not_even_learn_whether_there_is_somebody(stage: Stage) -> None:
    key = stage.people.create("bela")
    stage.people.id_of("anna")
    for name in ("anna", "nobody"):
        async with connect(f"ws{stage.url.removeprefix('http')}/ws/audio/{name}/") as socket:
            await socket.send(json.dumps({"type": "authenticate", "token": key}))
            assert (await heard(socket, "error"))["code"] == "not_found"
            await socket.wait_closed()
            assert socket.close_code == 4404
    async with connect(f"ws{stage.url.removeprefix('http')}/ws/audio/anna/") as socket:
        await socket.send(json.dumps({"type": "authenticate", "token": "cc_wrong"}))
        await socket.wait_closed()
        assert socket.close_code == 4401
