"""The server's secret: 32 random bytes in one file, and a key of its own for every purpose.

What lives here: making and reading the file, deriving the keys. What does not: what the keys sign.

Whoever has the file can sign as the server, so only its user may read it. All processes that share a data
folder share the secret; deleting the file ends every signed link and token at once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from clearcast.errors import SettingsInvalid

SECRET_BYTES = 32
FILE_NAME = "server.secret"


def server_secret(data_path: Path, purpose: str) -> bytes:
    """A 32-byte key for `purpose`, the same every time; the secret is made at first use.

    One step of HKDF-Expand with SHA-256 (RFC 5869 §2.3): the secret is uniformly random already.
    Raises SettingsInvalid when the file is damaged or others may read it.
    """
    secret = _secret(data_path / FILE_NAME)
    return hmac.new(secret, purpose.encode() + b"\x01", hashlib.sha256).digest()


def _secret(path: Path) -> bytes:
    try:
        return _checked(path)
    except FileNotFoundError:
        _make(path)
        return _checked(path)


def _make(path: Path) -> None:
    """Write a new secret, unless another process was quicker: a link never replaces a file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink(missing_ok=True)


def _checked(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        secret = file.read(SECRET_BYTES + 1)
    if mode & 0o077:
        raise SettingsInvalid("Others may read the server's secret.", hint=f"Run: chmod 600 {path}")
    if len(secret) != SECRET_BYTES:
        raise SettingsInvalid(
            "The server's secret is damaged.",
            hint=f"Delete {path}: a new one is made, and links and log-ins made so far end.",
        )
    return secret
