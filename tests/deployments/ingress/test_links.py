"""Signed links: anybody who has one may download that file, for a while, and nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from clearcast.accounts.accounts import accounts_of
from clearcast.secret_file import FILE_NAME
from clearcast.settings import Settings
from clearcast.testing.people import OPERATOR, People
from deployments.ingress import links
from tests.deployments.ingress.loopback import MakeApp, connect, wav
from tests.deployments.ingress.test_files import keep

SOUND = wav(440.0)


@pytest.fixture
async def nobody(make_app: MakeApp) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a key, in front of another process on the same data."""
    async with connect(make_app()) as client:
        yield client


async def link(client: httpx.AsyncClient, file_id: object, **wanted: object) -> str:
    answer = await client.post(f"/v1/files/{file_id}/links", json=wanted)
    assert answer.status_code == 201
    url = answer.json()["url"]
    assert isinstance(url, str)
    return url


async def test_a_link_needs_no_key(client: httpx.AsyncClient, nobody: httpx.AsyncClient) -> None:
    file = await keep(client, SOUND)
    url = await link(client, file["id"])
    answer = await nobody.get(url)
    assert answer.content == SOUND
    part = await nobody.get(url, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")
    flac = await nobody.get(await link(client, file["id"], format="flac"))
    assert flac.content.startswith(b"fLaC")
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert (await nobody.request(method, url)).status_code == 405


async def test_a_link_lasts_as_long_as_was_asked_for(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await keep(client, SOUND)
    answer = await client.post(f"/v1/files/{file['id']}/links")
    expires_at = datetime.fromisoformat(answer.json()["expires_at"])
    assert (expires_at - datetime.now(UTC)).total_seconds() == pytest.approx(3600, abs=30)
    url = await link(client, file["id"], expires_s=60)
    assert (await nobody.get(url)).status_code == 200
    moment = datetime.now(UTC).timestamp() + 61
    monkeypatch.setattr(links, "now", lambda: datetime.fromtimestamp(moment, UTC))
    gone = await nobody.get(url)
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "wanted", [{"expires_s": 0}, {"expires_s": 999_999_999}, {"format": "xyz"}, {"x": 1}]
)
async def test_other_wishes_are_refused(client: httpx.AsyncClient, wanted: dict[str, object]) -> None:
    file = await keep(client, SOUND)
    answer = await client.post(f"/v1/files/{file['id']}/links", json=wanted)
    assert answer.json()["code"] == "option_invalid"


async def test_a_link_ends_with_its_file(client: httpx.AsyncClient, nobody: httpx.AsyncClient) -> None:
    file = await keep(client, SOUND)
    url = await link(client, file["id"])
    await client.delete(f"/v1/files/{file['id']}")
    assert (await nobody.get(url)).status_code == 404


async def test_a_link_cannot_be_changed(client: httpx.AsyncClient, nobody: httpx.AsyncClient) -> None:
    mine, other = await keep(client, SOUND), await keep(client, b"other")
    token = (await link(client, mine["id"])).rpartition("/")[2]
    body, signature = token.split(".")
    facts = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(facts | {"f": other["id"]}).encode()).decode().rstrip("=")
    for wrong in (
        f"{forged}.{signature}",
        f"{body}.{signature[:-2]}AA",
        f"{body}.",
        body,
        f".{signature}",
        "x",
        "گ.گ",
        f"{token}.x",
        "A" * 5000,
    ):
        assert (await nobody.get(f"/v1/links/{wrong}")).status_code == 404, wrong


async def test_links_end_with_the_servers_secret(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, settings: Settings
) -> None:
    file = await keep(client, SOUND)
    url = await link(client, file["id"])
    (settings.data_path / FILE_NAME).unlink()
    assert (await nobody.get(url)).status_code == 404


async def test_links_of_a_disabled_person_lead_nowhere(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, people: People, settings: Settings
) -> None:
    url = await link(client, (await keep(client, SOUND))["id"])
    people.id_of(OPERATOR)
    with accounts_of(settings) as accounts:
        for is_disabled, status in ((True, 404), (False, 200)):
            accounts.users.change(people.id_of("anna"), is_disabled=is_disabled)
            assert (await nobody.get(url)).status_code == status
