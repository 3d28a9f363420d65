"""The API describes itself, completely; and what the documentation shows works."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from clearcast.accounts.stored_keys import StoredKeys
from clearcast.errors import ClearCastError
from clearcast.settings import Settings
from clearcast.speech.turns import Turn
from clearcast.testing.people import People
from clearcast.testing.services import FakeDiarizer, fake_services
from deployments.ingress import error_pages
from tests.deployments.ingress.loopback import MakeApp, listening, wav
from tests.deployments.ingress.runner import working

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
    "searchTranscripts": "GET /v1/search",
    "listModels": "GET /v1/models",
    "retrieveModel": "GET /v1/models/{model}",
    "signUp": "POST /v1/auth/sign-up",
    "logIn": "POST /v1/auth/log-in",
    "refreshTokens": "POST /v1/auth/refresh",
    "logOut": "POST /v1/auth/log-out",
    "readMe": "GET /v1/auth/me",
    "eraseMe": "DELETE /v1/auth/me",
    "exportMe": "GET /v1/auth/me/export",
    "changePassword": "POST /v1/auth/password",
    "listKeys": "GET /v1/keys",
    "createKey": "POST /v1/keys",
    "revokeKey": "DELETE /v1/keys/{key_id}",
    "listFriends": "GET /v1/friends",
    "requestFriend": "POST /v1/friends",
    "acceptFriend": "POST /v1/friends/{user}/accept",
    "blockFriend": "POST /v1/friends/{user}/block",
    "unblockFriend": "POST /v1/friends/{user}/unblock",
    "removeFriend": "DELETE /v1/friends/{user}",
    "listUsers": "GET /v1/users",
    "createUser": "POST /v1/users",
    "changeUser": "PATCH /v1/users/{user_id}",
    "eraseUser": "DELETE /v1/users/{user_id}",
    "readAudit": "GET /v1/audit",
    "listPipelines": "GET /v1/pipelines",
    "createJob": "POST /v1/jobs",
    "listJobs": "GET /v1/jobs",
    "getJob": "GET /v1/jobs/{job_id}",
    "listTasks": "GET /v1/jobs/{job_id}/tasks",
    "cancelJob": "DELETE /v1/jobs/{job_id}",
    "retryJob": "POST /v1/jobs/{job_id}/retry",
    "eraseJob": "POST /v1/jobs/{job_id}/erase",
    "downloadResult": "GET /v1/jobs/{job_id}/results/{name}",
    "downloadTable": "GET /v1/jobs/{job_id}/table",
    "followJob": "GET /v1/jobs/{job_id}/events",
    "getWebhookSecret": "GET /v1/webhooks/secret",
    "listDeliveries": "GET /v1/webhooks/deliveries",
    "legacyDenoise": "POST /api/denoise/upload/",
    "legacySeparate": "POST /api/vocal-separation/upload/",
    "legacyBoost": "POST /api/audio-boost/upload/",
    "legacyExtract": "POST /api/speaker-extraction/upload/",
    "legacyJob": "GET /api/jobs/{job_id}/",
    "describeUploads": "OPTIONS /v1/uploads",
    "createUpload": "POST /v1/uploads",
    "findUploadOffset": "HEAD /v1/uploads/{file_id}",
    "continueUpload": "PATCH /v1/uploads/{file_id}",
    "dropUpload": "DELETE /v1/uploads/{file_id}",
    "presignUpload": "POST /v1/uploads/presigned",
    "completeUpload": "POST /v1/uploads/{file_id}/complete",
    "createFile": "POST /v1/files",
    "listFiles": "GET /v1/files",
    "describeFile": "GET /v1/files/{file_id}",
    "deleteFile": "DELETE /v1/files/{file_id}",
    "downloadFile": "GET /v1/files/{file_id}/content",
    "describeDownload": "HEAD /v1/files/{file_id}/content",
    "createLink": "POST /v1/files/{file_id}/links",
    "followLink": "GET /v1/links/{token}",
    "createRoom": "POST /v1/rooms",
    "listRooms": "GET /v1/rooms",
    "describeRoom": "GET /v1/rooms/{room_id}",
    "changeRoom": "PATCH /v1/rooms/{room_id}",
    "endRoom": "POST /v1/rooms/{room_id}/end",
    "deleteRoom": "DELETE /v1/rooms/{room_id}",
    "listInvites": "GET /v1/rooms/{room_id}/invites",
    "inviteGuest": "PUT /v1/rooms/{room_id}/invites/{user}",
    "removeInvite": "DELETE /v1/rooms/{room_id}/invites/{user}",
    "listRoomTokens": "GET /v1/rooms/{room_id}/tokens",
    "createRoomToken": "POST /v1/rooms/{room_id}/tokens",
    "revokeRoomToken": "DELETE /v1/rooms/{room_id}/tokens/{token_id}",
    "listRecordings": "GET /v1/rooms/{room_id}/recordings",
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
            assert {"upload_too_large", "upload_stalled", "storage_full"} <= documented
            if name not in {"createFile", "createJob"} and not name.startswith("legacy"):  # which only keep
                assert {"overloaded", "audio_unrecognised"} <= documented
                assert "Retry-After" in operation["responses"]["503"]["headers"]


def test_every_operation_shows_what_to_send_and_what_comes_back(openapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"]
    for name, (_, operation) in operations(openapi).items():
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            assert "example" in content, (name, media_type)
            if media_type == "application/json":
                check_example(openapi, content["schema"], content["example"])
        for status, answer in operation["responses"].items():
            if not status.startswith("2"):
                continue
            for media_type, content in answer.get("content", {}).items():
                model = schemas.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
                example = content.get("example", model.get("example"))
                assert example is not None, (name, status, media_type)
                if media_type == "application/json" and content.get("schema"):
                    check_example(openapi, content["schema"], example)
        for parameter in operation.get("parameters", []):
            schema = parameter["schema"]
            shown = {"example", "examples"} & {*parameter, *schema}
            assert shown or not parameter["required"], (name, parameter["name"])


def check_example(openapi: dict[str, Any], schema: dict[str, Any], example: object) -> None:
    """Raises ValidationError where an example is not what its schema says."""
    whole = {**schema, "components": openapi["components"]}
    if "$defs" in schema:
        whole["$defs"] = schema["$defs"]
    jsonschema_rs.validator_for(whole).validate(example)


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
        assert not re.search(r"<script|src=|href=.https?:|@import", page.text)


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
    monkeypatch.chdir(tmp_path)
    app = make_app(services)
    async with working(app, services), listening(app) as url:
        monkeypatch.setenv("CLEARCAST_URL", url)
        monkeypatch.setenv("CLEARCAST_API_KEY", key)
        printed, names = await _run(blocks)
        names["api"].close()
        names["client"].close()
    for said in (
        "8.0 s of speech",
        "stored 256044",
        "meeting.mp3",
        '"erased":true',
        "A hello",
        "0 moments",
        "Sara hello",
        '"name":"Sara Karimi"',
        "boosted -23.0 LUFS",
        "1-denoised, 2-extracted, 2-timeline, 3-transcript",
    ):
        assert said in printed
    assert (tmp_path / "meeting.json").read_text().startswith("{")
    assert (tmp_path / "monday.srt").read_text().startswith("1\n")
    assert '"type": "extraction"' in (tmp_path / "timeline.json").read_text()
    assert (tmp_path / "clean.wav").read_bytes().startswith(b"RIFF")
    assert (tmp_path / "monday.vtt").read_text().startswith("WEBVTT")


async def test_who_gets_started_comes_to_a_transcript(
    make_app: MakeApp, settings: Settings, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, tones_hz in (("meeting", (300, 900)), ("sara-1", (900,))):
        (tmp_path / f"{name}.wav").write_bytes(wav(*tones_hz, seconds=4))
    key = people.create("admin")
    services = fake_services(FakeDiarizer((Turn(0, 4, "SPEAKER_00"), Turn(4, 8, "SPEAKER_01"))))
    text = (DOCS / "getting-started.md").read_text(encoding="utf-8")
    app = make_app(services)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    monkeypatch.setenv("CLEARCAST__DATA_DIR", str(settings.data_path))
    monkeypatch.setenv("CLEARCAST__CONFIG_DIR", str(settings.config_path))
    async with working(app, services), listening(app) as url:
        StoredKeys(settings.config_path).put(url, key)  # as the first start of a server does
        for name in ("CLEARCAST_URL", "CLEARCAST_SERVER"):
            monkeypatch.setenv(name, url)
        monkeypatch.delenv("CLEARCAST_API_KEY", raising=False)
        blocks = re.findall(r"```(python|sh)\n(.*?)```", text, re.DOTALL)
        shell = [(kind, block) for kind, block in blocks if kind == "sh"]
        printed, _ = await _run(shell)
        monkeypatch.setenv("CLEARCAST_API_KEY", key)
        python, _ = await _run([(kind, block) for kind, block in blocks if kind == "python"])
    assert "meeting.wav  0:04.0  SPEAKER_01  hello" in printed
    assert "my first job" in printed and "100% done" in printed
    assert "reza" in printed
    assert (tmp_path / "subtitles.srt").read_text().startswith("1\n")
    assert "4.0  Sara: hello" in python


async def _run(blocks: list[tuple[str, str]]) -> tuple[str, dict[str, Any]]:
    """Run examples one after the other; what they print, and the names that the Python ones leave."""
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for kind, block in blocks:
            if kind == "python":
                await asyncio.to_thread(exec, block, names)
            elif "export CLEARCAST_URL" not in block:  # the address and the key are set already
                print(await asyncio.to_thread(_shell, block))
    return printed.getvalue(), names


def _shell(block: str) -> str:
    command = ["bash", "-euo", "pipefail", "-c", block]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _tree(kind: type[ClearCastError] = ClearCastError) -> list[type[ClearCastError]]:
    found = [kind]
    for child in kind.__subclasses__():
        found.extend(_tree(child))
    return found
