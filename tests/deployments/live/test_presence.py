"""Presence over a real WebSocket: who is online, who listens, who speaks, and who may know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from streaming.testing.peers import Mouth
from tests.deployments.live.sounds import tone
from tests.deployments.live.stage import Stage


@asynccontextmanager
async def present(stage: Stage, key: str) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws{stage.url.removeprefix('http')}/v1/presence") as socket:
        await socket.send(json.dumps({"type": "hello", "credential": key}))
        yield socket


async def heard(socket: ClientConnection, **fields: Any) -> dict[str, Any]:
    """The next message with these fields."""
    async with asyncio.timeout(15):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if all(message.get(name) == value for name, value in fields.items()):
                return message


async def test_friends_see_one_another_come_speak_and_go(stage: Stage) -> None:
    room = stage.room(visibility="invited")
    stage.befriend("anna", "bela")
    keys = stage.people.create("anna"), stage.people.create("bela")
    anna_id = stage.people.id_of("anna")
    async with present(stage, keys[1]) as bela:
        friends = await heard(bela, type="friends")
        assert friends["friends"] == [{"id": anna_id, "name": "anna", "state": "offline"}]
        async with present(stage, keys[0]):
            await heard(bela, type="presence", id=anna_id, state="online")
            anna = await stage.joined(room, keys[0])
            await anna.publish(Mouth(tone(440)))
            told = await heard(bela, type="presence", id=anna_id, state="streaming")
            assert "room" not in told, "bela is not invited"
            await anna.send("leave")
            await heard(bela, type="presence", id=anna_id, state="online")
        await heard(bela, type="presence", id=anna_id, state="offline")
        await asyncio.to_thread(stage.part, "anna", "bela")
        assert (await heard(bela, type="friends"))["friends"] == []


async def test_presence_needs_an_account(stage: Stage) -> None:
    room = stage.room()
    for credential, code in (("cc_wrong", 4401), (stage.token(room, "listen")[1], 4403)):
        async with present(stage, credential) as socket:
            assert (await heard(socket, type="error"))["type"] == "error"
            await socket.wait_closed()
            assert socket.close_code == code
