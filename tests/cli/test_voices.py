"""`clearcast voices`, on this machine and in voice files, with real voices."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from clearcast.storage.voices import VoiceBook, VoiceSample, load_voices, write_voices


def book(*names: str) -> VoiceBook:
    made = VoiceBook()
    for index, name in enumerate(names):
        vector = np.eye(256, dtype=np.float32)[index]
        made = made.add_sample(name, VoiceSample.from_vector(vector, "resemblyzer"))
    return made


@pytest.fixture
def team(tmp_path: Path) -> Path:
    path = tmp_path / "team.json"
    path.write_text(write_voices(book("سارا", "Omid")), encoding="utf-8")
    return path


def test_a_real_voice_is_enrolled_listed_renamed_exported_and_erased(
    run, shared_audio: Path, tmp_path: Path
) -> None:
    clip = sorted((shared_audio / "enrol").rglob("*.opus"))[0]
    added = run("voices", "add", "Sara", clip)
    assert added.exit_code == 0, added.output
    assert "Enrolled Sara from" in added.output
    assert "resemblyzer" in run("voices", "list").stdout
    assert run("voices", "rename", "Sara", "Sara K.").exit_code == 0
    out = tmp_path / "out.json"
    assert run("voices", "export", "-o", out).exit_code == 0
    assert [voice.name for voice in load_voices(out)] == ["Sara K."]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert run("voices", "erase", "Sara K.").exit_code == 0
    assert "No voices" in run("voices", "list").output


def test_a_voice_file_takes_the_stores_place(run, team: Path, shared_audio: Path) -> None:
    clip = sorted((shared_audio / "enrol").rglob("*.opus"))[0]
    assert run("voices", "add", "Third", clip, "--voices", team).exit_code == 0
    assert [voice.name for voice in load_voices(team)] == ["سارا", "Omid", "Third"]
    assert stat.S_IMODE(team.stat().st_mode) == 0o600
    assert "No voices" in run("voices", "list").output


def test_too_little_speech_is_refused_with_advice_and_changes_nothing(
    run, team: Path, conversation: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.wav"
    short.write_bytes(conversation.read_bytes()[: 44 + 32_000])
    before = team.read_bytes()
    result = run("voices", "add", "Sara", short, "--voices", team)
    assert result.exit_code == 3
    assert "speech_too_short" in result.output
    assert team.read_bytes() == before


def test_voices_are_imported_and_exported_through_pipes(run, team: Path) -> None:
    assert "2 voices" in run("voices", "import", team).output
    exported = json.loads(run("voices", "export").stdout)
    assert {voice["name"] for voice in exported["voices"]} == {"سارا", "Omid"}
    other = write_voices(book("Nima")).encode()
    assert "3 voices" in run("voices", "import", "-", stdin=other).output
    assert "1 voice" in run("voices", "import", "-", "--replace", stdin=other).output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("rename", "Nobody", "X"), "not_found"),
        (("rename", "Omid", "سارا"), "conflict"),
        (("erase", "Nobody"), "not_found"),
    ],
)
def test_a_wish_that_cannot_be_met_leaves_the_file_alone(
    run, team: Path, arguments: tuple[str, ...], code: str
) -> None:
    before = team.read_bytes()
    result = run("voices", *arguments, "--voices", team)
    assert result.exit_code == 3
    assert code in result.output
    assert team.read_bytes() == before


def test_a_broken_voice_file_is_named_with_the_place(run, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"Sara": [1, 2, 3]}')
    result = run("voices", "list", "--voices", path)
    assert result.exit_code == 3
    assert "file_format_invalid" in result.output
    assert "Sara" in result.output


def test_a_file_and_a_server_are_two_places(run, team: Path) -> None:
    result = run("voices", "list", "--voices", team, "--server", "http://127.0.0.1:9")
    assert result.exit_code == 2
