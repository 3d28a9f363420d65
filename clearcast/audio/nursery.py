"""Limited processes that start at once: forks of a fresh Python that has imported what they need and read
nothing foreign.

What lives here: that Python, and asking it for a process. What does not: what the process does (`child`)
and how it is watched (`limited`). A process of its own for each file costs more than the file when many are
short: 0.2 s of processor time against a few hundredths.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from clearcast.audio.child import Order

_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from clearcast.audio.nursery import serve; serve()"
)
_ORDER_BYTES = 1 << 16
_LOST = 1  # the exit status told for a process whose parent has died


class NurseryProcess:
    """As much of `subprocess.Popen` as `limited` uses."""

    def __init__(self, nursery: Nursery, pidfd: int, stdout: IO[bytes]) -> None:
        self._nursery = nursery
        self._pidfd = pidfd  # a number could be another process's by the time it is used
        self._lock = threading.Lock()
        self.stdout: IO[bytes] | None = stdout
        self.returncode: int | None = None

    def kill(self) -> None:
        with self._lock:
            if self.returncode is None:
                try:
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                except ProcessLookupError:
                    return  # it has ended, and nobody has waited for it yet

    def wait(self) -> int:
        if self.returncode is None:
            status = self._nursery.ended()
            with self._lock:
                self.returncode = status
                os.close(self._pidfd)
        return self.returncode


class Nursery:
    """Starts one process at a time; made at first use, and anew when it has died."""

    def __init__(self, environment: dict[str, str], packages: Path) -> None:
        self._environment = environment
        self._packages = packages
        self._busy = threading.Lock()
        self._socket: socket.socket | None = None
        self._python: subprocess.Popen[bytes] | None = None

    def start(self, order: Order, source: IO[bytes], complaints: IO[bytes]) -> NurseryProcess | None:
        """A process that carries out the order, with `source` as its standard input and `complaints` as its
        standard error; None when another one is at work, or none can be had."""
        if not self._busy.acquire(blocking=False):
            return None
        reader, writer = os.pipe()
        try:
            channel = self._channel()
            message = json.dumps(asdict(order)).encode()
            socket.send_fds(channel, [message], [source.fileno(), writer, complaints.fileno()])
            _, (pidfd,), _, _ = socket.recv_fds(channel, 1, 1)
        except (OSError, ValueError):
            os.close(reader)
            self.close()
            self._busy.release()
            return None
        finally:
            os.close(writer)
        return NurseryProcess(self, pidfd, os.fdopen(reader, "rb"))

    def ended(self) -> int:
        """The exit status of the process that was started, once it has ended."""
        assert self._socket is not None
        try:
            status = self._socket.recv(16)
            return int(status) if status else self._lost()
        finally:
            self._busy.release()

    def close(self) -> None:
        """End the Python that waits."""
        if self._socket is not None:
            self._socket.close()
        if self._python is not None:
            self._python.kill()
            self._python.wait()
        self._socket = self._python = None

    def _lost(self) -> int:
        self.close()
        return _LOST

    def _channel(self) -> socket.socket:
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._python = subprocess.Popen(
                    [sys.executable, "-I", "-c", _START, str(self._packages)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=self._environment,
                    cwd="/",
                    start_new_session=True,
                )
            self._socket = ours
        return self._socket


def serve() -> None:
    """Fork a process for each order that comes over standard input, until nobody is left to send one."""
    from clearcast.audio import child  # here, once, is the whole of what a process costs

    channel = socket.socket(fileno=os.dup(0))
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _ORDER_BYTES, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            channel.close()
            _be_limited(child.main, message.decode(), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        pidfd = os.pidfd_open(pid)
        socket.send_fds(channel, [b"."], [pidfd])
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def _be_limited(main: Callable[[], None], order: str, descriptors: list[int]) -> None:
    """Become the process that `limited` would have started, and end as it would."""
    code = 1
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.argv = ["child", order]
        main()
        code = 0
    except BaseException:  # nothing may return into the loop that it was forked from
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
