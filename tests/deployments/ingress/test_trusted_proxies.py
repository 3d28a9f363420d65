"""What a proxy says of a request is believed from those in the settings, and from nobody else."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from clearcast.accounts.accounts import accounts_of
from clearcast.settings import AccountSettings, HttpSettings, Settings
from clearcast.testing.people import People
from tests.deployments.ingress.loopback import MakeApp, listening

LIMITS = AccountSettings(logins_per_minute=1)
PROXY = "10.0.0.7"
SARA = {"name": "Sara", "password": "correct horse"}


def trusting(*proxies: str) -> HttpSettings:
    return HttpSettings.model_validate({"trusted_proxies": proxies})


async def tries(app: FastAPI, peer: str, *forwarded_for: str) -> list[int]:
    """The status of one log-in for each value of X-Forwarded-For; the limit is one for each address."""
    transport = httpx.ASGITransport(app, client=(peer, 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as web:
        return [
            (await web.post("/v1/auth/log-in", json=SARA, headers={"X-Forwarded-For": value})).status_code
            for value in forwarded_for
        ]


@pytest.mark.parametrize("peer", [PROXY, f"::ffff:{PROXY}"])
async def test_log_ins_through_a_proxy_are_counted_by_their_senders(make_app: MakeApp, peer: str) -> None:
    app = make_app(accounts=LIMITS, http=trusting(PROXY))
    assert await tries(app, peer, "198.51.100.1", "198.51.100.2", "198.51.100.1") == [401, 401, 429]


async def test_what_the_sender_wrote_left_of_its_own_address_changes_nothing(make_app: MakeApp) -> None:
    app = make_app(accounts=LIMITS, http=trusting("10.0.0.0/8", "2001:db8::7"))
    found = await tries(
        app,
        PROXY,
        "198.51.100.1",
        "203.0.113.5, 198.51.100.1",
        "10.0.0.1, 198.51.100.1, 10.0.0.9",  # through two of our proxies
        "203.0.113.5, 198.51.100.1, 2001:db8::7",
    )
    assert found == [401, 429, 429, 429]


async def test_nobody_else_is_believed_and_by_default_nobody(make_app: MakeApp) -> None:
    given = ("198.51.100.1", "198.51.100.2")
    assert await tries(make_app(accounts=LIMITS), PROXY, *given) == [401, 429]
    app = make_app(accounts=LIMITS, http=trusting(PROXY))
    assert await tries(app, "10.0.0.8", *given) == [401, 429]


@pytest.mark.parametrize(
    ("peer", "proto", "secure"),
    [
        (PROXY, "https", True),
        (PROXY, "http", False),
        (PROXY, "nonsense", False),
        ("10.0.0.8", "https", False),
    ],
)
async def test_the_cookie_is_secure_when_a_trusted_proxy_says_https(
    make_app: MakeApp, settings: Settings, people: People, peer: str, proto: str, secure: bool
) -> None:
    user_id = people.id_of("anna")
    with accounts_of(settings) as accounts:
        code = accounts.tokens.make_code(user_id)
    transport = httpx.ASGITransport(make_app(http=trusting(PROXY)), client=(peer, 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as browser:
        answer = await browser.get(f"/login/{code}", headers={"X-Forwarded-Proto": proto})
    assert answer.status_code == 303
    assert ("Secure" in answer.headers["set-cookie"]) == secure


async def test_behind_a_server_that_believes_loopback_the_chain_goes_on(make_app: MakeApp) -> None:
    """As Ray Serve runs uvicorn: a proxy on this machine, and a trusted one before it."""
    app = make_app(accounts=LIMITS, http=trusting(PROXY))
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as web:
        found = [
            (await web.post("/v1/auth/log-in", json=SARA, headers={"X-Forwarded-For": value})).status_code
            for value in (f"198.51.100.1, {PROXY}", f"198.51.100.2, {PROXY}", f"198.51.100.1, {PROXY}")
        ]
    assert found == [401, 401, 429]


@pytest.mark.parametrize("wrong", ["*", "proxy.example", "10.0.0.7/8", "10.0.0.0/33"])
def test_what_is_no_address_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(ValidationError):
        trusting(wrong)


def test_the_environment_gives_a_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLEARCAST__HTTP__TRUSTED_PROXIES", '["127.0.0.1", "10.0.0.0/8"]')
    networks = Settings(data_dir=tmp_path).http.trusted_proxies
    assert [str(network) for network in networks] == ["127.0.0.1/32", "10.0.0.0/8"]
