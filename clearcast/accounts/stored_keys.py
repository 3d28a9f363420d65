"""The command line's own keys: which API key it sends to which server, in a file only its user may read.

What lives here: `<config_dir>/keys.json`. What does not: the server's side, which keeps no key
(`api_keys.py`).
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from clearcast.errors import SettingsInvalid

FILE_NAME = "keys.json"
FILE_MODE = 0o600


class StoredKeys:
    def __init__(self, config_dir: Path) -> None:
        self.path = config_dir / FILE_NAME

    def key_for(self, url: str) -> str | None:
        """The key for the server at `url`. Raises SettingsInvalid when others may read the file."""
        return self._read().get(_plain(url))

    def put(self, url: str, key: str) -> None:
        """Keep the key for the server at `url`, in the place of an older one."""
        keys = {**self._read(), _plain(url): key}
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"servers": keys}, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)

    def _read(self) -> dict[str, str]:
        try:
            with self.path.open(encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise SettingsInvalid(
                        f"Others may read the keys in {self.path}.", hint=f"Run: chmod 600 {self.path}"
                    )
                servers = json.load(file)["servers"]
                return {str(url): str(key) for url, key in servers.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SettingsInvalid(
                f"The file {self.path} is damaged.", hint="Delete it, and make a key: clearcast keys create"
            ) from error


def _plain(url: str) -> str:
    return url.rstrip("/").lower()
