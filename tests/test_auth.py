"""API keys in a file."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clearcast.auth import KeyFile
from clearcast.errors import NotFound, OptionInvalid, SettingsInvalid


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "deep" / "keys.json")


def test_a_new_key_belongs_to_its_owner_and_no_other_string_does(keys: KeyFile) -> None:
    key = keys.create("anna")
    other = keys.create("reza")
    assert keys.owner_of(key) == "anna"
    assert keys.owner_of(other) == "reza"
    for wrong in ("", "cc_", key[:-1], key + "A", key.upper(), "ключ", "\ud800"):
        assert keys.owner_of(wrong) is None


def test_a_key_holds_256_random_bits_behind_its_prefix(keys: KeyFile) -> None:
    made = {keys.create("anna") for _ in range(20)}
    assert len(made) == 20
    assert all(key.startswith("cc_") and len(key) == 3 + 43 for key in made)


def test_the_file_holds_no_key_and_only_its_user_may_read_it(keys: KeyFile) -> None:
    key = keys.create("anna")
    text = keys.path.read_text()
    assert key not in text and key.removeprefix("cc_") not in text
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert [path.name for path in keys.path.parent.iterdir() if path.suffix != ".lock"] == ["keys.json"]


def test_a_revoked_key_opens_nothing_also_for_readers_in_other_processes(keys: KeyFile) -> None:
    reader = KeyFile(keys.path)
    kept, gone = keys.create("anna"), keys.create("anna")
    assert reader.owner_of(gone) == "anna"
    keys.revoke(keys.list()[1].id)
    assert reader.owner_of(gone) is None
    assert reader.owner_of(kept) == "anna"


def test_list_shows_who_has_keys_since_when_and_not_the_keys(keys: KeyFile) -> None:
    key = keys.create("anna")
    keys.create("reza")
    first, second = keys.list()
    assert (first.owner, second.owner) == ("anna", "reza")
    assert first.id != second.id
    assert first.created_at.utcoffset() is not None
    assert key not in repr(keys.list())


def test_revoking_an_unknown_key_is_an_error(keys: KeyFile) -> None:
    keys.create("anna")
    with pytest.raises(NotFound):
        keys.revoke("key_ffffffffffff")


def test_nobody_has_a_key_while_there_is_no_file(keys: KeyFile) -> None:
    assert keys.list() == ()
    assert keys.owner_of("cc_x") is None


@pytest.mark.parametrize("owner", ["", " ", "Anna", "a/b", "..", "a" * 65, "آنا"])
def test_an_owner_must_be_a_plain_id(keys: KeyFile, owner: str) -> None:
    with pytest.raises(OptionInvalid):
        keys.create(owner)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "keys": []}', '{"version": 1, "keys": [{"id": 1}]}']
)
def test_a_damaged_file_opens_nothing_and_is_not_overwritten(keys: KeyFile, text: str) -> None:
    keys.path.parent.mkdir()
    keys.path.write_text(text)
    with pytest.raises(SettingsInvalid):
        keys.owner_of("cc_x")
    with pytest.raises(SettingsInvalid):
        keys.create("anna")
    assert keys.path.read_text() == text


def test_keys_made_at_the_same_time_are_all_kept(keys: KeyFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: KeyFile(keys.path).create(f"owner{number}"), range(24)))
    assert {keys.owner_of(key) for key in made} == {f"owner{number}" for number in range(24)}
    assert len(json.loads(keys.path.read_text())["keys"]) == 24
