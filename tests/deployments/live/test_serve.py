"""`clearcast serve` carries live rooms and live text, and Ctrl-C leaves nothing of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
import soundfile
from websockets.asyncio.client import connect

from clearcast.origin import ROOT
from clearcast.ports import free_port
from clearcast.sample import sample_conversation
from tests.processes import words_of

START_S, END_S = 200.0, 60.0


async def lines_of_sample(address: str) -> str:
    """What `/v1/live` understands of the sample conversation's first 12 s."""
    samples, rate_hz = soundfile.read(sample_conversation().audio, dtype="int16")
    pcm = samples[: 12 * rate_hz].astype("<i2").tobytes()
    async with connect(address) as socket, asyncio.timeout(120):
        hello = {"type": "hello", "sample_rate_hz": rate_hz, "options": {"partials": False}}
        await socket.send(json.dumps(hello))
        await socket.send(json.dumps({"type": "start_transcription"}))
        for at in range(0, len(pcm), 32_000):
            await socket.send(pcm[at : at + 32_000])
        await socket.send(json.dumps({"type": "close"}))
        told = [json.loads(message) async for message in socket]
    assert told[-1]["type"] == "closed", told[-1]
    return " ".join(one["text"] for one in told if one["type"] == "transcription")


def engine_libraries(process: psutil.Process) -> set[str]:
    """The recognisers whose code this process has loaded."""
    paths = [one.path for one in process.memory_maps()]
    return {name for name in ("pocketsphinx", "ctranslate2") if any(name in path for path in paths)}


@pytest.mark.timeout(360)
def test_the_gateway_answers_and_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    port, live_port = free_port(), free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CLEARCAST__DATA_DIR": str(tmp_path / "data"),
        "CLEARCAST__CONFIG_DIR": str(tmp_path / "config"),
        "CLEARCAST__HTTP__PORT": str(port),
        "CLEARCAST__HTTP__REQUIRE_KEY": "false",
        "CLEARCAST__LIVE__PORT": str(live_port),
    }
    command = [str(Path(sys.executable).with_name("clearcast")), "serve"]
    log_path = tmp_path / "serve.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline_s = time.monotonic() + START_S
        while f"http://127.0.0.1:{live_port}/rooms" not in log_path.read_text():
            assert process.poll() is None and time.monotonic() < deadline_s, log_path.read_text()
            time.sleep(0.5)
        live, api = f"http://127.0.0.1:{live_port}", f"http://127.0.0.1:{port}"
        page = httpx.get(f"{live}/rooms")
        assert page.status_code == 200
        assert "script-src 'self';" in page.headers["content-security-policy"]
        made = httpx.post(f"{live}/v1/rooms", json={"name": "one"}, timeout=30)
        assert made.status_code == 201, made.text
        known = httpx.get(f"{api}/v1/rooms/{made.json()['id']}", timeout=30).json()
        assert known["live_url"] == f"ws://127.0.0.1:{live_port}/v1/rooms/{known['id']}/ws"
        assert "clearcast_live_rooms 0.0" in httpx.get(f"{live}/metrics", timeout=30).text
        family = psutil.Process(process.pid).children(recursive=True)
        gateways = [one for one in family if "LiveGateway" in " ".join(words_of(one))]
        assert gateways
        heard = asyncio.run(lines_of_sample(f"ws://127.0.0.1:{live_port}/v1/live"))
        assert len(heard) > 10, "a real conversation of half a minute has lines"
        assert set.union(*map(engine_libraries, gateways)) == set(), "their models are those of Serve"
        assert set.union(*map(engine_libraries, family)) == {"pocketsphinx"}, "which one replica loaded"
        process.send_signal(signal.SIGINT)
        assert process.wait(END_S) == 0, log_path.read_text()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    finally:
        process.kill()
        process.wait()
