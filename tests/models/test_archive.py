"""Models published as an archive at an address of their own."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clearcast.errors import ModelCorrupt, ModelDownloadFailed
from clearcast.models.pull import pull
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate, status, verify
from clearcast.settings import ModelSettings, Settings

FILES = {"config.ini": b"[df]\n", "checkpoints/model_96.ckpt.best": bytes(range(256)) * 4000}


class _Server(ThreadingHTTPServer):
    content = b""
    breaks_after: int | None = None
    asked_from: list[str]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        first = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.server.asked_from.append(self.headers.get("Range", ""))
        if self.path != "/model.zip":
            self.send_error(404)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(self.server.content) - first))
        self.end_headers()
        self.wfile.write(self.server.content[first : self.server.breaks_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    archive = tmp_path / "made.zip"
    with zipfile.ZipFile(archive, "w") as content:
        for path, data in FILES.items():
            content.writestr(f"Model/{path}", data)
        content.writestr("Model/more.txt", "not needed")
    with _Server(("127.0.0.1", 0), _Handler) as running:
        running.content, running.asked_from = archive.read_bytes(), []
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def spec_at(server: _Server, path: str = "model.zip") -> ModelSpec:
    return ModelSpec(
        name="a-model",
        repo="owner/name",
        files=tuple(FILES),
        licence="MIT",
        size_bytes=len(server.content),
        archive_url=f"http://127.0.0.1:{server.server_port}/{path}",
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(models=ModelSettings(dir=tmp_path / "models"))


def test_the_files_are_taken_out_of_the_archive(server: _Server, settings: Settings) -> None:
    told: list[tuple[int, int]] = []
    folder = pull(spec_at(server), settings, lambda done, total: told.append((done, total)))
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    assert not (folder / "more.txt").exists()
    assert told[-1] == (len(server.content), len(server.content))
    assert locate(spec_at(server), settings.models_path) == folder
    assert set(verify(spec_at(server), settings.models_path).files) == set(FILES)


def test_a_broken_download_goes_on_where_it_stopped(server: _Server, settings: Settings) -> None:
    server.breaks_after = 600_000
    with pytest.raises(ModelDownloadFailed):
        pull(spec_at(server), settings)
    assert status(spec_at(server), settings.models_path).state == "partial"
    server.breaks_after = None
    pull(spec_at(server), settings)
    assert server.asked_from == ["", "bytes=524288-"]  # whole blocks are kept
    verify(spec_at(server), settings.models_path)


def test_a_damaged_archive_is_refused_and_not_kept(server: _Server, settings: Settings) -> None:
    whole = server.content
    for content in (b"no archive at all", whole[:4000] + b"\0" * 100 + whole[4100:]):
        server.content = content
        with pytest.raises(ModelCorrupt):
            pull(spec_at(server), settings)
        assert status(spec_at(server), settings.models_path).state != "ready"
    server.content = whole
    pull(spec_at(server), settings)


def test_a_wrong_address_is_told(server: _Server, settings: Settings) -> None:
    with pytest.raises(ModelDownloadFailed, match="404"):
        pull(spec_at(server, "gone.zip"), settings)
