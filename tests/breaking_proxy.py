"""A line to a server that breaks when it is told to, for tests of what clients do then."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class BreakingProxy:
    """Carries connections to `target_url`.

    Attributes:
        breaks: for the connections to come, in turn, the bytes (to the server, from the server) after which
            each is cut; None for never. Connections beyond the list are never cut.
        num_connections: how many there were.
    """

    def __init__(self, target_url: str) -> None:
        parts = urlsplit(target_url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.breaks: list[tuple[int | None, int | None]] = []
        self.num_connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._open:
            _cut(one)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [client, server]
            self.num_connections += 1
            up, down = self.breaks.pop(0) if self.breaks else (None, None)
            for source, target, limit in ((client, server, up), (server, client, down)):
                thread = threading.Thread(target=_carry, args=(source, target, limit))
                self._threads.append(thread)
                thread.start()


def _carry(source: socket.socket, target: socket.socket, limit: int | None) -> None:
    carried = 0
    with suppress(OSError):
        while block := source.recv(65536 if limit is None else max(1, min(65536, limit - carried))):
            if limit is not None and carried + len(block) > limit:
                break
            target.sendall(block)
            carried += len(block)
            if carried == limit:
                break
    _cut(source)
    _cut(target)


def _cut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def breaking_proxy(target_url: str) -> Iterator[BreakingProxy]:
    proxy = BreakingProxy(target_url)
    try:
        yield proxy
    finally:
        proxy.close()
