"""The API describes itself, completely; and what the documentation shows works."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from clearcast.errors import ClearCastError
from clearcast.speech.turns import Turn
from clearcast.testing.services import FakeDiarizer, fake_services
from deployments.ingress import error_pages
from tests.deployments.ingress.loopback import MakeApp, listening, wav

DOCS = Path(__file__).resolve().parents[3] / "docs"

OPERATIONS = {
    "createTranscription": "POST /v1/audio/transcriptions",
    "createTranslation": "POST /v1/audio/translations",
    "createMeeting": "POST /v1/meetings",
    "createDiarization": "POST /v1/diarizations",
    "listVoices": "GET /v1/voices",
    "enrolVoice": "POST /v1/voices",
    "exportVoices": "GET /v1/voices/export",
    "importVoices": "POST /v1/voices/import",
    "renameVoice": "PATCH /v1/voices/{name}",
    "eraseVoice": "DELETE /v1/voices/{name}",
    "listModels": "GET /v1/models",
    "retrieveModel": "GET /v1/models/{model}",
    "isAlive": "GET /health/live",
    "isReady": "GET /health/ready",
    "readMetrics": "GET /metrics",
}


@pytest.fixture
def openapi(make_app: MakeApp) -> dict[str, Any]:
    return make_app().openapi()


def operations(openapi: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        operation["operationId"]: (f"{method.upper()} {path}", operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    }


def test_operations_keep_their_names(openapi: dict[str, Any]) -> None:
    assert {name: address for name, (address, _) in operations(openapi).items()} == OPERATIONS


def test_every_operation_and_every_option_is_described(openapi: dict[str, Any]) -> None:
    for name, (_, operation) in operations(openapi).items():
        assert operation["summary"] and operation["description"] and operation["tags"], name
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for option, schema in content["schema"].get("properties", {}).items():
                assert schema.get("description"), (name, option)


def test_every_operation_documents_its_problems_with_examples(openapi: dict[str, Any]) -> None:
    known = {kind.code for kind in _tree()}
    for name, (address, operation) in operations(openapi).items():
        if "/health/" in address:
            continue
        documented: set[str] = set()
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/problem+json", {})
            for code, example in content.get("examples", {}).items():
                assert example["value"]["status"] == int(status)
                documented.add(code)
        assert {"unauthenticated", "option_invalid", "internal_error"} <= documented <= known, name
        if "multipart/form-data" in operation.get("requestBody", {}).get("content", {}):
            assert {"overloaded", "upload_too_large", "audio_unrecognised"} <= documented
            assert "Retry-After" in operation["responses"]["503"]["headers"]


def test_all_references_in_the_description_lead_somewhere(openapi: dict[str, Any]) -> None:
    found = set(re.findall(r"'\$ref': '#/components/schemas/([^']+)'", str(openapi)))
    assert "Problem" in found
    assert found <= openapi["components"]["schemas"].keys()


async def test_the_pages_list_every_operation_and_every_code_without_foreign_parts(
    client: httpx.AsyncClient,
) -> None:
    docs = await client.get("/docs")
    errors = await client.get("/docs/errors")
    for name in OPERATIONS:
        assert f'id="{name}"' in docs.text
    for entry in error_pages.entries():
        assert f'id="{entry.code}"' in errors.text
    for page in (docs, errors):
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert not re.search(r"<script|https?://|src=|@import", page.text)


def test_every_error_is_told_of_in_the_tree(openapi: dict[str, Any]) -> None:
    entries = {entry.code: entry for entry in error_pages.entries()}
    assert set(entries) == {kind.code for kind in _tree()}
    described = [kind for kind in _tree() if not kind.__subclasses__()]
    assert [kind.code for kind in described if not entries[kind.code].when] == []


def test_the_page_of_errors_is_up_to_date() -> None:
    assert (DOCS / "errors.md").read_text(encoding="utf-8") == error_pages.as_markdown(), (
        "run: python -m deployments.ingress.error_pages > docs/errors.md"
    )


def test_the_page_of_the_api_names_every_address() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for address in OPERATIONS.values():
        assert address.split()[1] in text


async def test_the_examples_of_the_page_of_the_api_work(
    make_app: MakeApp, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, tones_hz in (("meeting", (300, 900)), ("sara-1", (900,)), ("sara-2", (900,))):
        (tmp_path / f"{name}.wav").write_bytes(wav(*tones_hz, seconds=4))
    services = fake_services(FakeDiarizer((Turn(0, 4, "SPEAKER_00"), Turn(4, 8, "SPEAKER_01"))))
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(python|sh)\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    printed = io.StringIO()
    monkeypatch.chdir(tmp_path)
    async with listening(make_app(services)) as url:
        monkeypatch.setenv("CLEARCAST_URL", url)
        monkeypatch.setenv("CLEARCAST_API_KEY", key)
        with contextlib.redirect_stdout(printed):
            for kind, block in blocks:
                if kind == "python":
                    await asyncio.to_thread(exec, block, names)
                elif "export " not in block:  # the address and the key are set already
                    print(await asyncio.to_thread(_shell, block))
        names["api"].close()
        names["client"].close()
    for said in ("8.0 s of speech", '"erased":true', "A hello", "Sara hello", '"name":"Sara Karimi"'):
        assert said in printed.getvalue()
    assert (tmp_path / "meeting.json").read_text().startswith("{")


def _shell(block: str) -> str:
    command = ["bash", "-euo", "pipefail", "-c", block]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _tree(kind: type[ClearCastError] = ClearCastError) -> list[type[ClearCastError]]:
    found = [kind]
    for child in kind.__subclasses__():
        found.extend(_tree(child))
    return found
