"""Make `docs/postman.json`, a Postman Collection v2.1, from the OpenAPI description:

    python -m tools.make_postman

What lives here: a walk through the API in an order that works ("Start here"), then every operation, a
folder for each tag, then cleaning up. Ids travel from answers to later requests in variables. A run works
against any server on which the variables `base_url`, `name` and `password` are right, with the recordings
that the forms name in the working folder. What does not: the description (`deployments/ingress`).
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clearcast.origin import ROOT
from clearcast.settings import Settings
from clearcast.testing.services import fake_services
from deployments.ingress.app import create_app

TARGET = ROOT / "docs" / "postman.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
POLLS = 240
POLL_MS = 250

Json = dict[str, Any]

VARIABLES = {
    "base_url": "http://127.0.0.1:8000",
    "name": "admin",
    "password": "",
    "key": "",
    **dict.fromkeys(("access_token", "refresh_token", "made_key_id", "polls"), ""),
    **dict.fromkeys(("file_id", "upload_id", "job_id", "key_id", "token", "room_id", "token_id"), "none"),
    "voice": "Sara",
    "model": "whisper-1",
    "result": "meeting",
    "user": "nobody",
    "user_id": "user_none",
}
OPEN = frozenset({"isAlive", "isReady", "signUp", "logIn", "refreshTokens", "followLink"})
"""Operations that need no key."""
LAST = re.compile(r"^(erase|delete|drop|revoke|remove|logOut)")
UPLOADED = "hello"
HEADERS = {"createUpload": {"Upload-Length": str(len(UPLOADED))}}
BODIES: Mapping[str, Any] = {
    "createKey": {"label": "Postman", "scopes": ["*"]},
    "logIn": {"name": "{{name}}", "password": "{{password}}"},
    "refreshTokens": {"refresh_token": "{{refresh_token}}"},
    "createJob": {"pipeline": "meeting", "file_ids": ["{{file_id}}"], "options": {"language": "en"}},
}
_SET = "if (pm.response.code < 300) {{ pm.collectionVariables.set('{}', {}); }}"
KEPT: Mapping[str, tuple[str, ...]] = {
    "logIn": (
        _SET.format("access_token", "pm.response.json().access_token"),
        _SET.format("refresh_token", "pm.response.json().refresh_token"),
    ),
    "createFile": (_SET.format("file_id", "pm.response.json().id"),),
    "createJob": (_SET.format("job_id", "pm.response.json().id"),),
    "createKey": (_SET.format("key_id", "pm.response.json().id"),),
    "createLink": (_SET.format("token", "pm.response.json().url.split('/').pop()"),),
    "createRoom": (_SET.format("room_id", "pm.response.json().id"),),
    "createRoomToken": (_SET.format("token_id", "pm.response.json().id"),),
    "createUpload": (_SET.format("upload_id", "pm.response.headers.get('Location').split('/').pop()"),),
}
"""What an answer leaves behind for later requests."""

_SAVE_KEY = (
    "pm.collectionVariables.set('key', pm.response.json().key);",
    "pm.collectionVariables.set('made_key_id', pm.response.json().id);",
)
_AGAIN = (
    "const polls = Number(pm.collectionVariables.get('polls')) + 1;",
    "const ended = !['queued', 'running'].includes(pm.response.json().state);",
    "pm.collectionVariables.set('polls', ended ? 0 : polls);",
    f"if (!ended && polls < {POLLS}) {{",
    "  pm.execution.setNextRequest(pm.info.requestName);",
    f"  setTimeout(() => {{}}, {POLL_MS});",
    "} else {",
    "  pm.test('the job succeeded', () => pm.expect(pm.response.json().state).to.equal('succeeded'));",
    "}",
)
_FOUND = ("pm.test('found', () => pm.expect(pm.response.json().moments.length).to.be.above(0));",)

WALK: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("isReady", "Is the server ready?", ()),
    ("logIn", "Log in", ()),
    ("createKey", "Make a key for this run", _SAVE_KEY),
    ("readMe", "Who am I?", ()),
    ("createFile", "Send a recording", ()),
    ("createJob", "Queue a job on it", ()),
    ("getJob", "Ask until it has ended", _AGAIN),
    ("downloadResult", "Fetch the result", ()),
    ("enrolVoice", "Enrol a voice", ()),
    ("listVoices", "List the voices", ()),
    ("searchTranscripts", "Find where something was said", _FOUND),
    ("eraseVoice", "Erase the voice", ()),
    ("eraseJob", "Erase the job", ()),
    ("deleteFile", "Delete the recording", ()),
)
CLEAN_UP = (("revokeKey", "Revoke the key of this run", ()), ("logOut", "Log out", ()))
WITH_TOKEN = frozenset({"createKey", "revokeKey", "logOut"})
"""In the walk, sent with the access token of the log-in."""


def collection(openapi: Json) -> Json:
    """The whole collection."""
    operations = dict(_operations(openapi))
    folders: dict[str, list[Json]] = {}
    for name in sorted(operations, key=_place):
        method, path, operation = operations[name]
        codes = sorted(int(code) for code in operation["responses"] if code.isdecimal())
        item = _item(name, method, path, operation, operation["summary"], codes)
        folders.setdefault(operation["tags"][0], []).append(item)
    tags = [{"name": tag, "item": folders[tag]} for tag in _tags(openapi)]
    return {
        "info": {
            "name": "ClearCast",
            "_postman_id": str(uuid.uuid5(uuid.NAMESPACE_URL, "clearcast/postman")),
            "description": "Made from the OpenAPI description by tools/make_postman.py. Set `base_url`,"
            " `name` and `password`, and run: the first folder makes a key, the last one revokes it.",
            "schema": SCHEMA,
        },
        "auth": _bearer("key"),
        "variable": [{"key": name, "value": value} for name, value in VARIABLES.items()],
        "item": [
            {"name": "Start here", "item": _walk(operations, WALK)},
            *tags,
            {"name": "Clean up", "item": _walk(operations, CLEAN_UP)},
        ],
    }


def _operations(openapi: Json) -> Iterator[tuple[str, tuple[str, str, Json]]]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield operation["operationId"], (method.upper(), path, operation)


def _tags(openapi: Json) -> list[str]:
    return list(dict.fromkeys(operation["tags"][0] for _, (_, _, operation) in _operations(openapi)))


def _place(name: str) -> tuple[bool, bool]:
    """What makes things comes first, what removes them last; otherwise as described."""
    return bool(LAST.match(name)), not name.startswith("create")


def _walk(operations: Mapping[str, tuple[str, str, Json]], steps: Any) -> list[Json]:
    items = []
    for number, (name, title, scripts) in enumerate(steps, 1):
        method, path, operation = operations[name]
        good = [int(code) for code in operation["responses"] if code.startswith("2")]
        item = _item(name, method, path, operation, f"{number}. {title}", good, scripts)
        if name in WITH_TOKEN:
            item["request"]["auth"] = _bearer("access_token")
        if name == "revokeKey":
            _set_path(item, path.replace("{key_id}", "{{made_key_id}}"))
        items.append(item)
    return items


def _item(
    name: str,
    method: str,
    path: str,
    operation: Json,
    title: str,
    codes: list[int],
    scripts: tuple[str, ...] = (),
) -> Json:
    lines = [
        f"pm.test('the status is one of {codes}', () => pm.expect({codes}).to.include(pm.response.code));",
        *KEPT.get(name, ()),
        *scripts,
    ]
    request: Json = {
        "method": method,
        "header": _headers(name, operation),
        "url": {},
        "description": operation["description"],
    }
    body = _body(name, operation)
    if body is not None:
        request["body"] = body
        if body["mode"] == "raw":
            kind = "application/json" if "options" in body else "application/offset+octet-stream"
            request["header"].append({"key": "Content-Type", "value": kind})
    if name in OPEN:
        request["auth"] = {"type": "noauth"}
    item = {
        "name": title,
        "event": [{"listen": "test", "script": {"type": "text/javascript", "exec": lines}}],
        "request": request,
    }
    _set_path(item, re.sub(r"\{(\w+)\}", lambda match: "{{" + _variable(path, match[1]) + "}}", path))
    query = list(_query(operation))
    if query:
        item["request"]["url"]["query"] = query
        given = "&".join(f"{one['key']}={one['value']}" for one in query if not one.get("disabled"))
        item["request"]["url"]["raw"] += f"?{given}" if given else ""
    return item


def _set_path(item: Json, path: str) -> None:
    item["request"]["url"] |= {
        "raw": "{{base_url}}" + path,
        "host": ["{{base_url}}"],
        "path": path.removeprefix("/").split("/"),
    }


def _variable(path: str, name: str) -> str:
    if name == "name":
        return "result" if "/results/" in path else "voice"
    return "upload_id" if path.startswith("/v1/uploads/") else name


def _headers(name: str, operation: Json) -> list[Json]:
    headers = [
        {
            "key": parameter["name"],
            "value": HEADERS.get(name, {}).get(parameter["name"], str(parameter.get("example", ""))),
            "description": parameter.get("description", ""),
            "disabled": not parameter["required"],
        }
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header"
    ]
    if name == "createJob":
        headers.append({"key": "Idempotency-Key", "value": "{{$guid}}"})
    return headers


def _query(operation: Json) -> Iterator[Json]:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query":
            needed = parameter["required"]
            examples = parameter.get("examples") or parameter["schema"].get("examples") or [""]
            first = next(iter(examples.values()))["value"] if isinstance(examples, dict) else examples[0]
            value = "hello" if needed else parameter.get("example", first)
            yield {
                "key": parameter["name"],
                "value": "" if value is None else str(value),
                "description": parameter.get("description", ""),
                "disabled": not needed,
            }


def _body(name: str, operation: Json) -> Json | None:
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        example = BODIES.get(name, content["application/json"]["example"])
        text = json.dumps(example, indent=2, ensure_ascii=False)
        return {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}
    if "multipart/form-data" in content:
        described = content["multipart/form-data"]
        return {"mode": "formdata", "formdata": list(_fields(described["schema"], described["example"]))}
    if operation.get("requestBody", {}).get("required"):
        return {"mode": "raw", "raw": UPLOADED}
    return None


def _fields(schema: Json, example: Json) -> Iterator[Json]:
    for name, value in example.items():
        if schema["properties"][name].get("format") == "binary":
            yield {"key": name, "type": "file", "src": value}
        else:
            yield {"key": name, "type": "text", "value": str(value)}


def _bearer(variable: str) -> Json:
    return {
        "type": "bearer",
        "bearer": [{"key": "token", "value": "{{" + variable + "}}", "type": "string"}],
    }


def as_text() -> str:
    """The content of `docs/postman.json`."""
    with tempfile.TemporaryDirectory() as folder:
        openapi = create_app(fake_services(), Settings(data_dir=Path(folder))).openapi()
    return json.dumps(collection(openapi), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(as_text(), encoding="utf-8")
    sys.stdout.write(f"{TARGET}\n")
