"""Who may enter: every door but /health asks for a key, and everybody sees only what is theirs."""

from __future__ import annotations

import base64
import logging

import httpx
import pytest

from clearcast.settings import HttpSettings
from clearcast.testing.people import People
from tests.deployments.ingress.loopback import MakeApp, connect, wav

OPEN = {"/health/live", "/health/ready"}
LOG_IN = {"/v1/auth/sign-up", "/v1/auth/log-in", "/v1/auth/refresh"}
PAGES = ("/docs", "/docs/errors", "/openapi.json", "/metrics")


async def test_every_address_but_health_asks_for_a_key(make_app: MakeApp) -> None:
    app = make_app()
    async with connect(app) as stranger:
        for path, methods in app.openapi()["paths"].items():
            for method in methods:
                tus = {"Tus-Resumable": "1.0.0"}  # /v1/uploads talks to nobody without it
                answer = await stranger.request(method, path, headers=tus)
                if path in OPEN:
                    assert answer.status_code == 200, path
                elif path in LOG_IN:
                    assert answer.status_code == 422, path  # they want a body
                elif path.startswith("/v1/links/"):
                    assert answer.status_code == 404, path  # the link is the credential
                else:
                    assert answer.status_code == 401, (method, path)
                    assert method == "head" or answer.json()["code"] == "unauthenticated"
                    assert answer.headers["www-authenticate"].endswith('realm="ClearCast"')
        for page in PAGES:
            assert (await stranger.get(page)).status_code == 401, page


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Bearer ", "Bearer", "bearer cc_x", "Basic !", "Digest x", "Bearer \xff"]
)
async def test_a_wrong_key_or_scheme_opens_nothing(make_app: MakeApp, key: str, header: str) -> None:
    async with connect(make_app()) as stranger:
        for path in ("/v1/voices", "/docs"):
            answer = await stranger.get(path, headers=[(b"Authorization", header.encode("latin-1"))])
            assert answer.status_code == 401


async def test_a_key_in_the_address_is_not_a_key(make_app: MakeApp, key: str) -> None:
    async with connect(make_app()) as stranger:
        for name in ("key", "api_key", "access_token", "token"):
            assert (await stranger.get("/v1/voices", params={name: key})).status_code == 401


async def test_a_revoked_key_is_worthless_at_the_next_request(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get("/v1/voices")).status_code == 200
    (own,) = (await client.get("/v1/keys")).json()["keys"]
    assert (await client.delete(f"/v1/keys/{own['id']}")).status_code == 204
    assert (await client.get("/v1/voices")).status_code == 401


async def test_browsers_open_pages_with_the_key_as_password_but_nothing_else(
    make_app: MakeApp, key: str
) -> None:
    coded = base64.b64encode(f":{key}".encode()).decode()
    async with connect(make_app()) as browser:
        asked = await browser.get("/docs")
        assert asked.headers["www-authenticate"].startswith("Basic ")
        for page in PAGES:
            answer = await browser.get(page, headers={"Authorization": f"Basic {coded}"})
            assert answer.status_code == 200
        answer = await browser.get("/v1/voices", headers={"Authorization": f"Basic {coded}"})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_without_keys_in_the_settings_everybody_is_one_owner(make_app: MakeApp) -> None:
    async with connect(make_app(http=HttpSettings(require_key=False))) as anybody:
        assert (await anybody.get("/docs")).status_code == 200
        files = {"file": wav(300, seconds=9)}
        assert (await anybody.post("/v1/voices", data={"name": "Sara"}, files=files)).status_code == 201
        assert [v["name"] for v in (await anybody.get("/v1/voices")).json()["voices"]] == ["Sara"]


async def test_owners_neither_see_nor_change_nor_match_each_others_voices(
    make_app: MakeApp, people: People
) -> None:
    app = make_app()
    async with (
        connect(app, people.create("anna")) as anna,
        connect(app, people.create("reza")) as reza,
    ):
        sound = {"file": wav(300, seconds=9)}
        assert (await anna.post("/v1/voices", data={"name": "Sara"}, files=sound)).status_code == 201
        assert (await reza.get("/v1/voices")).json() == {"voices": []}
        assert (await reza.get("/v1/voices/export")).json()["voices"] == []
        assert (await reza.delete("/v1/voices/Sara")).status_code == 404
        assert (await reza.patch("/v1/voices/Sara", json={"name": "X"})).status_code == 404
        refused = await reza.post("/v1/meetings", data={"voices": "Sara"}, files=sound)
        assert refused.json()["code"] == "option_invalid"
        for who, shown in ((anna, "Sara"), (reza, "SPEAKER_00")):
            meeting = (await who.post("/v1/diarizations", files=sound)).json()
            assert [turn["speaker"] for turn in meeting["diarization"]["turns"]] == [shown]


async def test_keys_stay_out_of_logs_and_answers(
    client: httpx.AsyncClient, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    texts = [
        (await client.get("/v1/voices", params={"token": key})).text,
        (await client.get("/v1/nothing", params={"token": key})).text,
        (await client.post("/v1/meetings", data={"no": key}, files={"file": b""})).text,
        (await client.get("/metrics")).text,
    ]
    # httpx, the client, logs the addresses it asks for; that is its own affair.
    logged = [str(record.__dict__) for record in caplog.records if not record.name.startswith("http")]
    assert logged
    assert not [text for text in texts + logged if key in text]
