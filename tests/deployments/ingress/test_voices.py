"""`/v1/voices`: enrol, list, rename, erase with proof, export, import."""

from __future__ import annotations

import json
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from clearcast.storage.voice_store import record_hash
from clearcast.storage.voices import read_voices
from tests.deployments.ingress.loopback import wav


async def enrol(client: httpx.AsyncClient, name: str, *sounds: bytes) -> httpx.Response:
    files = [("file", (f"{index}.wav", sound)) for index, sound in enumerate(sounds)]
    return await client.post("/v1/voices", data={"name": name}, files=files)


async def names(client: httpx.AsyncClient) -> list[str]:
    return [voice["name"] for voice in (await client.get("/v1/voices")).json()["voices"]]


async def test_enrolment_tells_how_much_speech_was_heard(client: httpx.AsyncClient) -> None:
    answer = await enrol(client, " سارا کریمی ", wav(300, seconds=5), wav(300, seconds=4))
    body = answer.json()
    assert answer.status_code == 201
    assert body["voice"]["name"] == "سارا کریمی"
    assert body["speech_s"] == 9.0
    assert body["remarks"] == []
    assert body["voice"]["samples"] == [{"model": "tones", "speech_s": 9.0}]
    assert await names(client) == ["سارا کریمی"]


async def test_a_second_enrolment_adds_a_sample(client: httpx.AsyncClient) -> None:
    await enrol(client, "Sara", wav(300))
    body = (await enrol(client, "SARA", wav(300, 900))).json()
    assert body["voice"]["name"] == "Sara"
    assert len(body["voice"]["samples"]) == 2


@pytest.mark.parametrize(
    ("sound", "code"),
    [
        (wav(300, seconds=3), "short"),
        (wav(300, seconds=9, level=0.003), "quiet"),
        (wav(300, seconds=9, level=3.0), "clipping"),
        (wav(300, seconds=12)[:-100_000], "truncated"),
    ],
)
async def test_remarks_say_what_would_make_the_voiceprint_better(
    client: httpx.AsyncClient, sound: bytes, code: str
) -> None:
    answer = await enrol(client, "Sara", sound)
    assert answer.status_code == 201
    (remark,) = answer.json()["remarks"]
    assert remark["code"] == code
    assert remark["message"]


@pytest.mark.parametrize(("sound", "heard_s"), [(wav(300, seconds=0.5), 0.5), (wav(0, seconds=5), 0.0)])
async def test_too_little_speech_enrols_nobody_and_says_how_much_is_needed(
    client: httpx.AsyncClient, sound: bytes, heard_s: float
) -> None:
    answer = await enrol(client, "Sara", sound)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "speech_too_short")
    assert (problem["speech_s"], problem["min_speech_s"]) == (heard_s, 1.0)
    assert problem["hint"]
    assert await names(client) == []


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\u202eb", "a\nb"])
async def test_a_name_that_cannot_be_is_refused(client: httpx.AsyncClient, name: str) -> None:
    answer = await enrol(client, name, wav(300))
    assert (answer.status_code, answer.json()["code"]) == (422, "option_invalid")


async def test_the_problem_names_what_is_missing(
    client: httpx.AsyncClient,
) -> None:
    no_file = await client.post("/v1/voices", files={"name": (None, "Sara")})
    assert (no_file.json()["code"], no_file.json()["field"]) == ("request_malformed", "file")
    no_name = await client.post("/v1/voices", files={"file": wav(300)})
    assert (no_name.json()["code"], no_name.json()["field"]) == ("option_invalid", "name")


@pytest.mark.parametrize("name", ["Sara", "سارا کریمی", "a/b", "50% & more?", "export", "..", "#1", "a+b"])
async def test_names_travel_percent_encoded(client: httpx.AsyncClient, name: str) -> None:
    await enrol(client, name, wav(300))
    address = f"/v1/voices/{quote(name, safe='').replace('.', '%2E')}"
    renamed = await client.patch(address, json={"name": "Mina / مینا"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Mina / مینا")
    assert await names(client) == ["Mina / مینا"]
    erased = await client.delete(f"/v1/voices/{quote('Mina / مینا', safe='')}")
    assert erased.status_code == 200
    assert await names(client) == []


async def test_a_name_that_is_taken_is_a_conflict(client: httpx.AsyncClient) -> None:
    await enrol(client, "Sara", wav(300))
    await enrol(client, "Ali", wav(900))
    answer = await client.patch("/v1/voices/Ali", json={"name": "sara"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert await names(client) == ["Ali", "Sara"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"nme": "X"}', b'{"name": 5}'])
async def test_a_rename_without_a_new_name_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    await enrol(client, "Sara", wav(300))
    answer = await client.patch("/v1/voices/Sara", content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "option_invalid")


async def test_erasing_gives_a_proof_that_matches_the_export(client: httpx.AsyncClient) -> None:
    await enrol(client, "Sara", wav(300))
    (before,) = read_voices((await client.get("/v1/voices/export")).content)
    proof = (await client.delete("/v1/voices/Sara")).json()
    assert (proof["erased"], proof["name"], proof["samples"]) == (True, "Sara", 1)
    assert proof["record_sha256"] == record_hash(before)
    assert "Sara" not in (await client.get("/v1/voices/export")).text
    again = await client.delete("/v1/voices/Sara")
    assert (again.status_code, again.json()["code"]) == (404, "not_found")


async def test_an_export_can_be_imported_again(client: httpx.AsyncClient) -> None:
    await enrol(client, "Sara", wav(300))
    exported = await client.get("/v1/voices/export")
    assert exported.headers["content-disposition"] == 'attachment; filename="voices.json"'
    await client.delete("/v1/voices/Sara")
    await enrol(client, "Ali", wav(900))
    merged = await client.post("/v1/voices/import", content=exported.content)
    assert [voice["name"] for voice in merged.json()["voices"]] == ["Ali", "Sara"]
    replaced = await client.post("/v1/voices/import?mode=replace", content=exported.content)
    assert [voice["name"] for voice in replaced.json()["voices"]] == ["Sara"]
    assert (await client.get("/v1/voices/export")).json() == exported.json()


async def test_the_file_of_an_earlier_system_can_be_imported(client: httpx.AsyncClient) -> None:
    vector = (np.ones(256) / 16).tolist()
    answer = await client.post("/v1/voices/import", content=json.dumps({"sp3000": vector}))
    assert answer.status_code == 200
    assert await names(client) == ["sp3000"]


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"a": [1, 2]}', b'{"clearcast": 9}'])
async def test_what_is_no_voices_file_changes_nothing(client: httpx.AsyncClient, content: bytes) -> None:
    await enrol(client, "Sara", wav(300))
    answer = await client.post("/v1/voices/import?mode=replace", content=content)
    assert answer.status_code == 422
    assert answer.json()["code"] == "file_format_invalid"
    assert await names(client) == ["Sara"]
