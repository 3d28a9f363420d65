"""`clearcast users`, and the key that the command line keeps."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from clearcast.accounts.accounts import accounts_of
from clearcast.accounts.stored_keys import StoredKeys
from clearcast.errors import LogInFailed, SettingsInvalid
from clearcast.settings import load_settings


def test_the_first_user_is_the_admin_and_the_second_is_not(run) -> None:
    assert "an admin" in run("users", "add", "Sara").output
    assert "a user" in run("users", "add", "Reza").output
    listed = run("users", "list").stdout
    assert re.search(r"Sara\s+admin\s+active\s+no", listed)
    assert re.search(r"Reza\s+user\s+active\s+no", listed)
    assert "conflict" in run("users", "add", "ＳＡＲＡ").output


def test_a_password_comes_from_standard_input_and_can_be_changed(run) -> None:
    assert run("users", "add", "Sara", "--password", stdin=b"correct horse\n").exit_code == 0
    assert "option_invalid" in run("users", "password", "Sara", stdin=b"short\n").output
    assert run("users", "password", "Sara", stdin=b"battery staple\n").exit_code == 0
    with accounts_of(load_settings()) as accounts:
        assert accounts.users.log_in("sara", "battery staple").name == "Sara"
        with pytest.raises(LogInFailed):
            accounts.users.log_in("sara", "correct horse")


def test_the_last_admin_cannot_be_disabled_and_others_can(run) -> None:
    run("users", "add", "Sara")
    run("users", "add", "Reza")
    assert "conflict" in run("users", "disable", "Sara").output
    assert run("users", "disable", "Reza").exit_code == 0
    assert re.search(r"Reza\s+user\s+disabled", run("users", "list").stdout)
    assert run("users", "enable", "Reza").exit_code == 0
    assert re.search(r"Reza\s+user\s+active", run("users", "list").stdout)


def test_a_login_link_holds_a_code_that_works_once(run) -> None:
    run("users", "add", "Sara")
    link = run("users", "login-link", "Sara").stdout.strip()
    address, _, code = link.rpartition("/")
    assert address == "http://127.0.0.1:8000/login"
    with accounts_of(load_settings()) as accounts:
        principal = accounts.credentials.look_up(accounts.tokens.open_page(code))
        assert principal is not None and principal.user_id == accounts.users.find("Sara").id
    assert "not_found" in run("users", "login-link", "nobody").output


def test_erasing_asks_first_and_prints_the_proof(run) -> None:
    run("users", "add", "operator")
    run("users", "add", "Sara")
    run("keys", "create", "--owner", "Sara")
    assert run("users", "erase", "Sara", stdin=b"n\n").exit_code != 0
    assert "Sara" in run("users", "list").stdout
    erased = run("users", "erase", "Sara", "--yes")
    assert erased.exit_code == 0
    assert "keys 1" in erased.stdout
    assert re.search(r"sha256 [0-9a-f]{64}", erased.stdout)
    assert "Sara" not in run("users", "list").stdout


def test_the_stored_key_is_readable_by_its_user_alone(tmp_path: Path) -> None:
    keys = StoredKeys(tmp_path / "deep" / "config")
    assert keys.key_for("http://127.0.0.1:8000") is None
    keys.put("http://127.0.0.1:8000", "cc_one")
    keys.put("http://other:8000/", "cc_two")
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert keys.path.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in keys.path.parent.iterdir()] == ["keys.json"]
    assert keys.key_for("http://127.0.0.1:8000/") == "cc_one"
    assert keys.key_for("HTTP://other:8000") == "cc_two"


def test_a_stored_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    keys = StoredKeys(tmp_path)
    keys.put("http://127.0.0.1:8000", "cc_one")
    os.chmod(keys.path, 0o644)  # noqa: PTH101 - as a careless hand would
    with pytest.raises(SettingsInvalid, match="chmod 600"):
        keys.key_for("http://127.0.0.1:8000")
