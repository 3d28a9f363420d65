from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clearcast.errors import SettingsInvalid
from clearcast.secret_file import FILE_NAME, server_secret


def test_a_purpose_has_the_same_key_every_time_and_no_other_purpose_has_it(tmp_path: Path) -> None:
    key = server_secret(tmp_path, "links")
    assert len(key) == 32
    assert server_secret(tmp_path, "links") == key
    assert server_secret(tmp_path, "tokens") != key
    assert server_secret(tmp_path / "another", "links") != key


def test_only_the_servers_user_may_read_it(tmp_path: Path) -> None:
    server_secret(tmp_path, "links")
    path = tmp_path / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(SettingsInvalid, match="chmod 600"):
        server_secret(tmp_path, "links")


def test_many_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: server_secret(tmp_path, "links"), range(64)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_damaged_secret_is_refused_not_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"short")
    (tmp_path / FILE_NAME).chmod(0o600)
    with pytest.raises(SettingsInvalid, match="damaged"):
        server_secret(tmp_path, "links")
