"""The gateway as an actor: there on every node, back within seconds when it is killed, gone when told."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest
import ray

from clearcast.errors import NotFound
from deployments.live.actor import find_gateway, start_gateways, stop_gateways
from streaming.ogg_parts import seal
from streaming.testing.peers import Ear, Mouth
from tests.deployments.live.sounds import tone, until_heard
from tests.deployments.live.stage import SetUp

pytestmark = pytest.mark.alone

BACK_WITHIN_S = 30.0  # 5 s on a machine with nothing else to do


def recorded_s(root: Path, copies: Path) -> float:
    """Seconds of the mix that are on the disk now."""
    parts = sorted(root.glob("*/mix-*.opus"))
    found = [seal(Path(shutil.copy(part, copies / part.name))) for part in parts]
    return sum(part.duration_s for part in found if part is not None)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("ray_cluster")
async def test_clients_come_back_by_themselves_after_a_kill(make_stage: SetUp, tmp_path: Path) -> None:
    stage = make_stage()
    room = stage.room(record=True)
    node_id = str(ray.nodes()[0]["NodeID"])
    assert await asyncio.to_thread(start_gateways, stage.settings) == (stage.url,)
    assert await asyncio.to_thread(start_gateways, stage.settings) == (stage.url,), "there is one already"
    try:
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{stage.url}/health/live")).json() == {"status": "alive"}
        speaker = stage.client(room, stage.people.create("anna"))
        listener = stage.client(room, stage.token(room, "listen")[1])
        ear = Ear()
        staying = [
            asyncio.create_task(speaker.stay(lambda: Mouth(tone(440)))),
            asyncio.create_task(listener.stay(ear=ear)),
        ]
        await until_heard(ear, 440, within_s=30)
        await speaker.told("room", is_recording=True)
        began_s = time.monotonic()
        await asyncio.sleep(4.0)
        pid = await find_gateway(node_id).pid.remote()
        os.kill(pid, signal.SIGKILL)
        killed_s = time.monotonic()
        await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)] if psutil.pid_exists(pid) else [])
        copies = tmp_path / "copies"
        copies.mkdir()
        kept_s = recorded_s(stage.settings.recordings_path, copies)
        heard_before = len(ear.packets)
        async with asyncio.timeout(BACK_WITHIN_S):
            while len(ear.packets) < heard_before + 10:
                await asyncio.sleep(0.02)
        back_s = time.monotonic() - killed_s
        print(f"heard again after {back_s:.1f} s; {killed_s - began_s - kept_s:.2f} s of sound lost")
        await until_heard(ear, 440)
        assert await find_gateway(node_id).pid.remote() != pid
        assert killed_s - began_s - kept_s < 1.0
        for task in staying:
            task.cancel()
        await asyncio.gather(*staying, return_exceptions=True)
        await stage.close()
    finally:
        await asyncio.to_thread(stop_gateways)
    with pytest.raises(NotFound):
        find_gateway(node_id)
