"""TCP ports of this machine: whether one can be had, and one that is free."""

from __future__ import annotations

import socket


def bind_error(host: str, port: int) -> OSError | None:
    """Why nothing can listen on this port now, or None when it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def free_port() -> int:
    """A port on loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
