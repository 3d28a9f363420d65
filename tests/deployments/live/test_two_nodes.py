"""Two gateways on the same records: a room lives on one, is found from the other, and moves there when its
own dies."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from clearcast.ports import free_port
from clearcast.settings import Settings
from streaming.testing.live_client import LiveClient
from streaming.testing.peers import Ear, Mouth
from tests.deployments.live.sounds import tone, until_heard
from tests.deployments.live.stage import SetUp, running

pytestmark = pytest.mark.alone

_CHILD = """
import pickle, sys
from deployments.live.actor import gateway_server

settings = pickle.load(sys.stdin.buffer)
gateway_server(settings, "node-2").run()
"""


@contextmanager
def gateway_in_a_child(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", _CHILD], stdin=subprocess.PIPE) as child:
        try:
            assert child.stdin is not None
            child.stdin.write(pickle.dumps(settings))
            child.stdin.close()
            yield child
        finally:
            child.kill()


async def until_alive(url: str) -> None:
    async with httpx.AsyncClient() as http, asyncio.timeout(90):
        while True:
            try:
                if (await http.get(f"{url}/health/live")).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def join(client: LiveClient, url: str) -> dict[str, Any]:
    client.url = url
    return await client.join()


@pytest.mark.timeout(300)
async def test_a_room_is_found_from_any_node_and_moves_when_its_own_dies(make_stage: SetUp) -> None:
    here = make_stage()
    room = here.room()
    live = here.settings.live.model_copy(update={"port": free_port()})
    there = here.settings.model_copy(update={"live": live})
    anna, guest = (
        here.client(room, here.people.create("anna")),
        here.client(room, here.token(room, "listen")[1]),
    )
    here_url, there_url = (
        f"ws{one.live.url.removeprefix('http')}/v1/rooms/{room.id}/ws" for one in (here.settings, there)
    )
    with gateway_in_a_child(there) as child:
        async with running(here):
            await until_alive(there.live.url)
            assert (await join(anna, there_url))["type"] == "joined"
            moved = await join(guest, here_url)
            assert (moved["type"], moved["url"]) == ("moved", there_url)
            assert (await join(guest, there_url))["type"] == "joined"
            ear = Ear()
            await guest.listen(ear)
            await anna.publish(Mouth(tone(440)))
            await until_heard(ear, 440)
            child.kill()
            await anna.drop_peers()
            await guest.drop_peers()
            async with asyncio.timeout(60):
                while (await join(anna, here_url))["type"] != "joined":
                    await asyncio.sleep(0.2)  # the dead node is believed for six seconds
            assert (await join(guest, here_url))["type"] == "joined"
            ear = Ear()
            await guest.listen(ear)
            await anna.publish(Mouth(tone(880)))
            await until_heard(ear, 880)
