"""`clearcast rooms` against the whole platform."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.client.room_recordings import record
from tests.platform_server import Platform


@pytest.fixture
def reach(environment: dict[str, str], platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The platform as the one that commands talk to."""
    monkeypatch.setenv("CLEARCAST_SERVER", platform.url)
    monkeypatch.setenv("CLEARCAST_API_KEY", platform.key)
    return platform


def test_a_room_is_made_filled_shown_and_erased(run, reach: Platform, tmp_path: Path) -> None:
    made = run("rooms", "create", "Morning [show]", "--visibility", "public", "--record", "--low-delay")
    assert made.exit_code == 0, made.output
    room_id = made.stdout.strip()
    assert re.fullmatch(r"room_\w+", room_id) and f"/v1/rooms/{room_id}/whip" in made.stderr
    assert re.search(rf"{room_id}\s+Morning \[show\]\s+anna\s+public\s+open", run("rooms", "list").stdout)
    assert room_id not in run("rooms", "list", "--others").output
    name = "MORNING [show]"
    token = run("rooms", "token", name, "--role", "publish", "--minutes", "5", "--label", "Studio")
    assert re.fullmatch(r"rt_\S+", token.stdout.strip())
    assert run("rooms", "invite", name, "Sara", "Reza").exit_code == 0
    assert run("rooms", "invite", name, "Sara", "--take-back").exit_code == 0
    assert run("rooms", "change", name, "--lock", "--visibility", "invited").exit_code == 0
    shown = run("rooms", "show", room_id).stdout
    assert re.search(r"invited\s+Reza\s", shown) and re.search(r"state\s+locked", shown)
    token_id = re.search(r"(rtk_\w+) publish until .* Studio", shown)
    assert token_id is not None
    assert run("rooms", "token", name, "--revoke", token_id[1]).exit_code == 0
    assert "rtk_" not in run("rooms", "show", room_id).stdout
    assert "Nothing is recorded" in run("rooms", "recordings", name).stderr
    recording_id = record(reach, room_id, tmp_path)
    assert re.search(rf"{recording_id}.*stored.*2", run("rooms", "recordings", name).stdout)
    assert run("rooms", "download", name, "-o", tmp_path / "shows").exit_code == 0
    folder = tmp_path / "shows" / recording_id
    assert [path.name for path in folder.iterdir()] == ["mix.opus"]
    run("rooms", "download", name, "-o", tmp_path / "shows", "--recording", recording_id, "--all-voices")
    assert (folder / "original.opus").read_bytes() == b"OggS original"
    assert run("rooms", "end", name).exit_code == 0
    assert re.search(r"state\s+ended", run("rooms", "show", name).stdout)
    assert run("rooms", "end", name, "--erase", stdin=b"n\n").exit_code != 0
    assert run("rooms", "end", name, "--erase", "--yes").exit_code == 0
    missing = run("rooms", "show", name)
    assert (missing.exit_code, "[not_found]" in missing.stderr) == (3, True)


def test_the_password_of_a_room_comes_from_standard_input(run, reach: Platform) -> None:
    short = run("rooms", "create", "Secret", "--visibility", "password", stdin=b"short\n")
    assert "[option_invalid]" in short.stderr
    made = run("rooms", "create", "Secret", "--visibility", "password", stdin=b"open sesame now\n")
    assert made.exit_code == 0, made.output
    assert "open sesame" not in made.output
    assert run("rooms", "end", made.stdout.strip(), "--erase", "--yes").exit_code == 0


def test_a_change_of_nothing_is_refused(run, reach: Platform) -> None:
    assert run("rooms", "change", "Anything").exit_code == 2
