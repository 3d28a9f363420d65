"""`clearcast keys`."""

from __future__ import annotations

from pathlib import Path

from clearcast.auth import KeyFile


def test_a_key_is_printed_once_and_alone_and_works_until_it_is_revoked(run, tmp_path: Path) -> None:
    result = run("keys", "create", "--owner", "newsroom")
    assert result.exit_code == 0
    key = result.stdout.strip()
    assert "\n" not in key
    keys = KeyFile(tmp_path / "home" / "data" / "keys.json")
    assert keys.owner_of(key) == "newsroom"
    (record,) = keys.list()
    listed = run("keys", "list").stdout
    assert record.id in listed
    assert key not in listed
    assert run("keys", "revoke", record.id).exit_code == 0
    assert keys.owner_of(key) is None


def test_a_key_that_is_not_there_cannot_be_revoked(run) -> None:
    result = run("keys", "revoke", "key_nothing")
    assert result.exit_code == 3
    assert "not_found" in result.output


def test_without_keys_the_list_says_how_to_make_one(run) -> None:
    assert "clearcast keys create" in run("keys", "list").output
