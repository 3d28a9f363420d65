"""A model hub on this machine that speaks what `huggingface_hub` asks for: HEAD and GET of
`/<owner>/<name>/resolve/<revision>/<path>` with commit and checksums in the headers, a redirect to a
content store for large files, ranges, and refusals for gated models."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote

_RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
LARGE_BYTES = 10_000  # from here on a file counts as large-file storage
_BLOCK_BYTES = 1 << 16


@dataclass
class Repo:
    """`token` None gives it to everybody; `terms_accepted` False refuses even the right token."""

    files: dict[str, bytes]
    commit: str = "1" * 40
    token: str | None = None
    terms_accepted: bool = True


@dataclass
class FakeHub:
    """Start with `with FakeHub({...}) as hub:`; `hub.url` is its address.

    `requests` keeps every path asked for, `served_bytes` counts what was sent of each file.
    `stall_after_bytes` makes it stop in the middle of an answer until `go_on` is set; `stalled` tells that
    it has. `break_after_bytes` cuts the connection there, once. `flipped` names a path whose bytes are
    sent with one bit changed. `silent` never answers.
    """

    repos: dict[str, Repo]
    stall_after_bytes: int | None = None
    break_after_bytes: int | None = None
    flipped: str | None = None
    silent: bool = False
    ignores_ranges: bool = False
    served_bytes: Counter[str] = field(default_factory=Counter)
    requests: list[str] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        self.hub.requests.append(self.path)
        if self.hub.silent:
            self.hub.go_on.wait()
            return
        if self.path == "/":
            self._head(200, {"Content-Length": "0"})
            return
        stored = self.path.startswith("/store/")
        match = _RESOLVE.fullmatch(unquote(self.path.removeprefix("/store")))
        repo = self.hub.repos.get(match["repo"]) if match else None
        if match is None or repo is None:
            self._refuse(404, "RepoNotFound")
            return
        refusal = None if stored else self._gate(repo)
        content = repo.files.get(match["path"])
        if refusal is not None:
            self._refuse(refusal, "GatedRepo")
        elif match["revision"] not in ("main", repo.commit):
            self._refuse(404, "RevisionNotFound")
        elif content is None:
            self._refuse(404, "EntryNotFound")
        elif len(content) >= LARGE_BYTES and not stored:
            self._redirect(match["repo"], repo, match["path"], content)
        else:
            self._send(repo, match["path"], content, with_body=with_body)

    def _gate(self, repo: Repo) -> int | None:
        if repo.token is None:
            return None
        if self.headers.get("Authorization") != f"Bearer {repo.token}":
            return 401
        return None if repo.terms_accepted else 403

    def _refuse(self, status: int, code: str) -> None:
        self._head(status, {"X-Error-Code": code, "Content-Length": "0"})

    def _redirect(self, name: str, repo: Repo, path: str, content: bytes) -> None:
        self._head(
            302,
            {
                "Location": f"/store/{name}/resolve/{repo.commit}/{path}",
                "X-Repo-Commit": repo.commit,
                "X-Linked-Size": str(len(content)),
                "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                "Content-Length": "0",
            },
        )

    def _send(self, repo: Repo, path: str, content: bytes, *, with_body: bool) -> None:
        etag = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and not self.hub.ignores_ranges else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers["Content-Length"] = str(len(content) - start)
        self._head(206 if start else 200, headers)
        if with_body:
            if path == self.hub.flipped:
                content = content[:-1] + bytes([content[-1] ^ 1])
            self._stream(path, content[start:])

    def _stream(self, path: str, content: bytes) -> None:
        hub, served_bytes = self.hub, self.hub.served_bytes
        for at in range(0, len(content), _BLOCK_BYTES):
            if hub.stall_after_bytes is not None and at >= hub.stall_after_bytes and not hub.go_on.is_set():
                hub.stalled.set()
                hub.go_on.wait()
            if hub.break_after_bytes is not None and at >= hub.break_after_bytes:
                hub.break_after_bytes = None
                self.close_connection = True
                return
            block = content[at : at + _BLOCK_BYTES]
            try:
                self.wfile.write(block)
            except OSError:  # the other side is gone, as in the tests that kill it
                self.close_connection = True
                return
            served_bytes[path] += len(block)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
