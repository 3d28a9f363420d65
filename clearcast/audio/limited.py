"""Starting, watching and ending the limited process.

What lives here: one run of that process, from the order to its answer or the error of our tree that it
stands for. What does not: what the process does (`child`) and what callers get (`sandbox`).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import clearcast
from clearcast.audio.child import Order, out_of_memory
from clearcast.audio.nursery import Nursery, NurseryProcess
from clearcast.errors import (
    AudioUnrecognised,
    Cancelled,
    ClearCastError,
    DecodeLimitExceeded,
    Forbidden,
    InputError,
    NotFound,
    ServiceUnavailable,
    StorageFull,
)

logger = logging.getLogger(__name__)

Progress = Callable[[float], None]
Answer = dict[str, Any]

_PACKAGES_DIR = Path(clearcast.__file__).resolve().parent.parent
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from clearcast.audio.child import main; main()"
# Nothing of ours is passed on. One thread and one malloc arena keep the address space small and known.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}

_LONGEST_LINE_BYTES = 1 << 16
_LOGGED_BYTES = 2000
_REPORTED: tuple[type[ClearCastError], ...] = (*InputError.__subclasses__(), StorageFull)
_ERRORS = {kind.code: kind for kind in _REPORTED}


_nursery: Nursery | None = None


def start_at_once() -> None:
    """Have this process's further runs begin as forks of a Python that is ready (`nursery`): for those who
    decode many files one after the other."""
    global _nursery  # noqa: PLW0603 - it belongs to the process, as its children do
    if _nursery is None:
        _nursery = Nursery(ENVIRONMENT, _PACKAGES_DIR)


def stop_at_once() -> None:
    """End the Python that is ready, where there is one; none of its processes may be at work."""
    global _nursery  # noqa: PLW0603 - see above
    if _nursery is not None:
        _nursery.close()
        _nursery = None


def command(order: Order) -> list[str]:
    """The command line of the process: isolated from the environment, the user's and the current folder."""
    return [sys.executable, "-I", "-c", _START, str(_PACKAGES_DIR), json.dumps(asdict(order))]


class Run:
    """One run of the limited process. Any thread may stop it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | NurseryProcess | None = None
        self._stopped = False
        self._too_slow = False

    def stop(self) -> None:
        """End the process, now or as soon as it starts; `carry_out` then raises Cancelled."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def carry_out(self, order: Order, source: Path, timeout_s: float, progress: Progress) -> Answer:
        """Start the process on `source`, pass its progress on, and return its answer.

        Raises NotFound, Forbidden, DecodeLimitExceeded, StorageFull, Cancelled, ServiceUnavailable, the
        InputError that the process reports, and what `progress` raises. The process has ended by then.
        """
        with _opened(source) as file, tempfile.TemporaryFile() as complaints:
            process = self._start(order, file, complaints)
            answer = self._listen(process, timeout_s, progress)
            if self._stopped:
                raise _stopped()
            if self._too_slow:
                raise _too_slow(timeout_s)
            if answer is not None and process.returncode == 0:
                return _checked(answer)
            raise _crash(process.wait(), complaints, order, timeout_s)

    def _start(
        self, order: Order, source: IO[bytes], complaints: IO[bytes]
    ) -> subprocess.Popen[bytes] | NurseryProcess:
        with self._lock:
            if self._stopped:
                raise _stopped()
            ready = None
            if _nursery is not None and order.news is None:
                ready = _nursery.start(order, source, complaints)
            self._process = ready or subprocess.Popen(
                command(order),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=ENVIRONMENT,
                cwd="/",
                pass_fds=() if order.news is None else (order.news,),
                start_new_session=True,  # Ctrl-C in the terminal is for this side to answer
            )
            return self._process

    def _listen(
        self, process: subprocess.Popen[bytes] | NurseryProcess, timeout_s: float, progress: Progress
    ) -> Answer | None:
        """The answer, None when the process ended without a usable one. It has ended on return."""
        timer = threading.Timer(timeout_s, self._time_out)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdout is not None
            answer = None
            while line := process.stdout.readline(_LONGEST_LINE_BYTES):
                answer = _parsed(line)
                if answer is None:
                    process.kill()
                elif isinstance(fraction := answer.get("fraction"), float):
                    progress(min(1.0, max(0.0, fraction)))
            process.wait()
            return answer
        finally:
            # Reached on Ctrl-C too, and when `progress` raised: nothing may run on unowned.
            timer.cancel()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _time_out(self) -> None:
        with self._lock:
            self._too_slow = True
            if self._process is not None:
                self._process.kill()


def _opened(source: Path) -> IO[bytes]:
    """The file, opened for reading; folders, pipes and devices are refused without waiting on them."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file called {source.name!r}.") from error
    except PermissionError as error:
        raise Forbidden(f"The file {source.name!r} may not be read.") from error
    file = os.fdopen(descriptor, "rb", buffering=0) if _is_file(descriptor) else None
    if file is None:
        os.close(descriptor)
        raise AudioUnrecognised(f"{source.name!r} is not a file.", hint="Give the path of a recording.")
    return file


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _parsed(line: bytes) -> Answer | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _checked(answer: Answer) -> Answer:
    """The answer, unless it is an error: that is raised."""
    report = answer.get("error")
    if report is None:
        return answer
    try:
        error = _ERRORS[report["code"]](str(report["message"]), hint=report["hint"], **report["fields"])
    except (KeyError, TypeError) as reason:
        raise ServiceUnavailable("The decoding process gave no usable answer.") from reason
    raise error


def _stopped() -> Cancelled:
    return Cancelled("Decoding was stopped on request.")


def _too_slow(timeout_s: float) -> DecodeLimitExceeded:
    return DecodeLimitExceeded(
        f"Decoding took longer than the {timeout_s:g} s allowed.",
        hint="Convert the file to WAV or FLAC first, or raise the setting audio.decode_timeout_s.",
    )


def _crash(status: int, complaints: IO[bytes], order: Order, timeout_s: float) -> ClearCastError:
    """The error that a process which ended without an answer stands for."""
    complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - _LOGGED_BYTES))
    logger.warning(
        "decoding process ended without an answer",
        extra={"status": status, "complaints": complaints.read().decode("utf-8", "replace")},
    )
    if status == -signal.SIGXCPU:
        return _too_slow(timeout_s)
    if status == -signal.SIGKILL:
        return out_of_memory(order.memory_bytes)  # by the kernel, since nobody here killed it
    if status < 0:
        name = signal.Signals(-status).name
        return AudioUnrecognised(
            f"The decoder crashed on this file ({name}); it is damaged, or made to do harm.",
            hint="Convert it to WAV or FLAC with another program and send that.",
            signal=name,
        )
    return ServiceUnavailable(
        f"The decoding process ended without an answer (status {status}).",
        hint="The log says why; `clearcast doctor` checks the installation.",
    )
