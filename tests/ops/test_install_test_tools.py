"""`tools/install_test_tools.sh`: only what is missing, only where it may, and quick when all is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "install_test_tools.sh"
NEEDED = ("redis-server", "ffmpeg", "chromium", "node", "npm", "turnserver", "espeak-ng", "initdb")
USED = ("bash", "cat", "chmod", "dirname", "mktemp", "rm", "seq", "tail")


class Machine:
    """A PATH of our own: programs that do nothing but write down that they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in USED:
            found = shutil.which(name)
            assert found is not None
            (folder / name).symlink_to(found)
        self.program("sleep", "exit 0")

    def program(self, name: str, *lines: str) -> None:
        path = self.folder / name
        path.write_text("\n".join(("#!/bin/bash", f'echo "{name} $*" >> {self.folder}/calls', *lines, "")))
        path.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        log = self.folder / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line.startswith(f"{name} ")]

    def run(self) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": str(self.folder)}
        command = [self.folder / "bash", SCRIPT]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_done_when_all_is_there(machine: Machine) -> None:
    for name in NEEDED:
        machine.program(name)
    machine.program("apt-get", "exit 1")
    done = machine.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_who_is_not_root_is_told_what_is_missing_and_how_to_get_it(machine: Machine) -> None:
    for name in ("ffmpeg", "node", "npm", "turnserver", "espeak-ng", "initdb"):
        machine.program(name)
    machine.program("id", "echo 1000")
    machine.program("apt-get", "exit 0")
    done = machine.run()
    assert done.returncode == 1
    assert "sudo apt-get install --no-install-recommends redis-server chromium" in done.stderr
    assert machine.calls("apt-get") == []


@pytest.mark.skipif(not Path("/usr/sbin/policy-rc.d").exists(), reason="would write into this system")
@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="this system is not Debian")
def test_root_gets_what_is_missing_with_bounded_tries(machine: Machine) -> None:
    for name in NEEDED[1:]:
        machine.program(name)
    machine.program("id", "echo 0")
    machine.program("apt-get", "echo 'E: the mirror sleeps'; exit 100")
    failed = machine.run()
    assert failed.returncode == 1
    assert "the mirror sleeps" in failed.stderr
    assert len(machine.calls("apt-get")) == 3
    machine.program("apt-get", "exit 0")
    assert machine.run().returncode == 0
    (install,) = [call for call in machine.calls("apt-get") if " install " in call]
    assert install.endswith("install -y --no-install-recommends redis-server")
