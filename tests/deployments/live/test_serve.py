"""`clearcast serve` carries live rooms, and Ctrl-C leaves nothing of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from clearcast.origin import ROOT
from clearcast.ports import free_port

START_S, END_S = 200.0, 60.0


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
        assert any("LiveGateway" in " ".join(one.cmdline()) for one in family)
        process.send_signal(signal.SIGINT)
        assert process.wait(END_S) == 0, log_path.read_text()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    finally:
        process.kill()
        process.wait()
