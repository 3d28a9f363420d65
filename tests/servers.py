"""Real servers for tests: PostgreSQL, S3 and Redis, each in a process of its own.

What lives here: starting and stopping them. What does not: the fixtures (`conftest.py`).
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from minio import Minio

START_S = 60.0
S3_ACCESS_KEY, S3_SECRET_KEY = "clearcasttestkey", "clearcasttestsecret"


class Server:
    """A server's process, which can be stopped in several ways and started again."""

    def __init__(
        self,
        account: pwd.struct_passwd | None,
        command: list[object],
        log: Path,
        attempt: Callable[[], object],
    ) -> None:
        self._account = account
        self._command = command
        self._log = log
        self._attempt = attempt
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        with self._log.open("ab") as log:
            self._process = _start(self._account, self._command, log)
        _await(self._attempt, self._process, self._log)

    def stop(self, number: int) -> None:
        """Send the signal and wait for the end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START_S)
            self._process = None


@contextmanager
def postgresql() -> Iterator[str]:
    """A new PostgreSQL server on a socket file; gives the URL of its database "postgres"."""
    with postgresql_server(("fsync=off", "synchronous_commit=off", "full_page_writes=off")) as (_, url):
        yield url


@contextmanager
def postgresql_server(options: tuple[str, ...] = ()) -> Iterator[tuple[Server, str]]:
    """As `postgresql`, to be stopped in between; as safe as it comes unless `options` make it quicker."""
    programs = _postgresql_programs()
    account = _unprivileged()
    # Not below pytest's own folder: only root may enter that, and the server may not be root.
    folder = Path(tempfile.mkdtemp(prefix="clearcast-postgresql-"))
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        data = folder / "data"
        command = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        _as(account, [*command, "--no-sync", "--locale=C.UTF-8"])
        run: list[object] = [programs / "postgres", "-D", data, "-k", folder]
        for option in ("listen_addresses=", "max_connections=200", *options):
            run += ["-c", option]
        url = f"postgresql://postgres@/postgres?host={folder}"
        attempt = partial(_connect, url)
        server = Server(account, run, folder / "log", attempt)
        try:
            server.start()
            yield server, url
        finally:
            server.stop(signal.SIGINT)  # a fast shutdown
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _connect(url: str) -> None:
    psycopg.connect(url, connect_timeout=5).close()


@contextmanager
def database_on(server_url: str, name: str, template: str = "template0") -> Iterator[str]:
    """A database of its own on the server; gives its URL."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        try:
            yield server_url.replace("/postgres?", f"/{name}?")
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@dataclass(frozen=True, slots=True)
class S3Server:
    endpoint: str
    access_key: str
    secret_key: str
    folder: Path


def s3_client(server: S3Server, bucket: str) -> Minio:
    """A client of the server, which has that bucket then."""
    client = Minio(server.endpoint, server.access_key, server.secret_key, secure=False, region="us-east-1")
    if not client.bucket_exists(bucket):
        client.make_bucket(bucket)
    return client


@contextmanager
def s3(folder: Path) -> Iterator[S3Server]:
    """A new S3 server (rclone) that keeps its buckets below `folder`."""
    with s3_server(folder) as (_, server):
        yield server


@contextmanager
def s3_server(folder: Path) -> Iterator[tuple[Server, S3Server]]:
    """As `s3`, to be stopped in between."""
    port = _free_port()
    server = S3Server(f"127.0.0.1:{port}", S3_ACCESS_KEY, S3_SECRET_KEY, folder)
    rclone = Path(sys.executable).with_name("rclone")
    command: list[object] = [rclone, "serve", "s3", "--addr", server.endpoint, "--config", os.devnull]
    command += ["--auth-key", f"{server.access_key},{server.secret_key}", folder]
    with tempfile.NamedTemporaryFile() as log:
        process = Server(None, command, Path(log.name), lambda: httpx.get(f"http://{server.endpoint}/"))
        try:
            process.start()
            yield process, server
        finally:
            process.stop(signal.SIGTERM)


@contextmanager
def redis_server(folder: Path, options: tuple[str, ...] = ()) -> Iterator[tuple[Server, str]]:
    """A new Redis, to be stopped in between; gives its URL. It keeps nothing unless `options` say so."""
    port = _free_port()
    command: list[object] = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", ""]
    command += ["--dir", folder, *options]

    def ask() -> None:
        with redis.Redis(port=port, socket_timeout=5) as client:
            client.ping()

    server = Server(None, command, folder / "redis.log", ask)
    try:
        server.start()
        yield server, f"redis://127.0.0.1:{port}"
    finally:
        server.stop(signal.SIGTERM)


def _postgresql_programs() -> Path:
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: path.parent.parent
    )
    if not folders:
        pytest.fail("PostgreSQL is not installed: apt-get install postgresql (make test does it).")
    return folders[-1].parent


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to be instead of root, whom PostgreSQL refuses to run for."""
    if os.geteuid() != 0:
        return None
    names = {account.pw_name for account in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


def _as(account: pwd.struct_passwd | None, command: list[object]) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        cwd="/",
        user=None if account is None else account.pw_uid,
        group=None if account is None else account.pw_gid,
        extra_groups=None if account is None else [],
    )
    assert done.returncode == 0, done.stderr.decode()


def _start(
    account: pwd.struct_passwd | None, command: list[object], log: object
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=log,  # type: ignore[call-overload]
        stderr=log,
        cwd="/",
        user=None if account is None else account.pw_uid,
        group=None if account is None else account.pw_gid,
        extra_groups=None if account is None else [],
    )


def _await(attempt: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    """Try until it works. A server tells nobody when it is ready, so it is asked again and again."""
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            attempt()
            return
        except (psycopg.OperationalError, httpx.TransportError, redis.ConnectionError):
            if process.poll() is not None or time.monotonic() > deadline_s:
                pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
