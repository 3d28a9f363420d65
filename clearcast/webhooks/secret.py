"""The secret of an owner's webhooks on this server."""

from __future__ import annotations

from pathlib import Path

from clearcast.secret_file import server_secret
from clearcast.webhooks.signature import owner_secret

PURPOSE = "webhooks"  # of the key derived from the server's secret


def secret_of(data_path: Path, owner: str) -> str:
    """The same for as long as the server's secret file lives. Blocks."""
    return owner_secret(server_secret(data_path, PURPOSE), owner)
