"""The Postman collection is made from the API as it is, and a real run of it passes."""

from __future__ import annotations

import json
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import httpx
import pytest

from clearcast.origin import ROOT
from tests.deployments.ingress.loopback import wav
from tests.platform_server import Platform
from tools import make_postman

NEWMAN = ROOT / ".venv" / "newman" / "node_modules" / ".bin" / "newman"
PASSWORD = "correct horse battery"


def test_the_collection_is_up_to_date() -> None:
    assert make_postman.TARGET.read_text(encoding="utf-8") == make_postman.as_text(), (
        "run: python -m tools.make_postman"
    )


def test_every_variable_that_requests_use_is_declared() -> None:
    text = make_postman.TARGET.read_text(encoding="utf-8")
    declared = {variable["key"] for variable in json.loads(text)["variable"]}
    assert set(re.findall(r"\{\{(\w+)\}\}", text)) <= declared


@pytest.mark.skipif(not NEWMAN.exists(), reason="newman is not installed: bash tools/install_test_tools.sh")
def test_a_run_of_the_collection_passes(platform: Platform, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {platform.key}"}
    password = {"new_password": PASSWORD}
    httpx.post(f"{platform.url}/v1/auth/password", json=password, headers=headers).raise_for_status()
    recordings = set(re.findall(r'"src": "([^"]+)"', make_postman.TARGET.read_text(encoding="utf-8")))
    for name in recordings:
        (tmp_path / name).write_bytes(wav(300, 900, seconds=5))
    report = tmp_path / "report.xml"  # the report in JSON holds every byte of every answer
    variables = {"base_url": platform.url, "name": "anna", "password": PASSWORD}
    command = [NEWMAN, "run", make_postman.TARGET, "--working-dir", tmp_path, "--timeout-request", "60000"]
    command += ["--reporters", "cli,junit", "--reporter-junit-export", report, "--color", "off"]
    for name, value in variables.items():
        command += ["--env-var", f"{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    suites = ET.parse(report).getroot()
    wrong = [
        one for one in suites.iter("testsuite") if (one.get("failures"), one.get("errors")) != ("0", "0")
    ]
    assert [one.get("name") for one in wrong] == []
    num_operations = sum(
        len(folder["item"]) for folder in json.loads(make_postman.TARGET.read_text())["item"]
    )
    assert len(list(suites.iter("testcase"))) >= num_operations
