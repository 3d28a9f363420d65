"""`clearcast keys`."""

from __future__ import annotations

import re


def test_a_key_is_printed_once_and_alone_and_can_be_revoked(run) -> None:
    assert run("users", "add", "operator").exit_code == 0
    assert run("users", "add", "newsroom").exit_code == 0
    result = run("keys", "create", "--owner", "Newsroom", "--label", "the script", "--scope", "jobs:read")
    assert result.exit_code == 0
    key = result.stdout.strip()
    assert re.fullmatch(r"cc_[\w-]{43}", key)
    listed = run("keys", "list").stdout
    assert "newsroom" in listed and "the script" in listed and "jobs:read" in listed
    assert key not in listed
    (key_id,) = re.findall(r"key_\w+", listed)
    assert run("keys", "revoke", key_id).exit_code == 0
    assert run("keys", "list").stdout == ""


def test_the_first_key_makes_the_admin_whose_it_is(run) -> None:
    assert run("keys", "create").exit_code == 0
    assert re.search(r"admin\s+admin\s+active", run("users", "list").stdout)


def test_a_key_of_nobody_or_for_nothing_is_not_made(run) -> None:
    assert "not_found" in run("keys", "create", "--owner", "nobody").output
    assert "option_invalid" in run("keys", "create", "--scope", "everything").output


def test_a_key_that_is_not_there_cannot_be_revoked(run) -> None:
    result = run("keys", "revoke", "key_nothing")
    assert result.exit_code == 3
    assert "not_found" in result.output


def test_without_keys_the_list_says_how_to_make_one(run) -> None:
    assert "clearcast keys create" in run("keys", "list").output
