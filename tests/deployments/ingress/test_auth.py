"""Accounts over HTTP: signing up, logging in and out, keys, limits, and leaving."""

from __future__ import annotations

import io
import logging
import zipfile

import httpx
import pytest

from clearcast.accounts.accounts import accounts_of
from clearcast.settings import AccountSettings, HttpSettings, Settings
from clearcast.testing.people import OPERATOR, People
from tests.deployments.ingress.loopback import MakeApp, connect, listening

PASSWORD = "correct horse"
SARA = {"name": "Sara", "password": PASSWORD}
OPEN = AccountSettings(sign_up=True, max_failed_logins=3)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_person_signs_up_logs_in_refreshes_and_leaves(make_app: MakeApp, people: People) -> None:
    people.id_of(OPERATOR)
    async with connect(make_app(accounts=OPEN)) as web:
        signed_up = await web.post("/v1/auth/sign-up", json=SARA)
        assert signed_up.status_code == 201
        assert (await web.post("/v1/auth/sign-up", json=SARA)).status_code == 409
        tokens = (await web.post("/v1/auth/log-in", json={**SARA, "name": "SARA"})).json()
        assert tokens["token_type"] == "Bearer" and tokens["expires_in"] == 900
        me = (await web.get("/v1/auth/me", headers=bearer(tokens["access_token"]))).json()
        assert (me["name"], me["is_admin"], me["scopes"]) == ("Sara", False, ["*"])
        fresh = await web.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        header = bearer(fresh.json()["access_token"])
        assert (await web.get("/v1/voices", headers=header)).status_code == 200
        assert (await web.post("/v1/auth/log-out", headers=header)).status_code == 204
        assert (await web.get("/v1/auth/me", headers=header)).status_code == 401
        again = {"refresh_token": fresh.json()["refresh_token"]}
        assert (await web.post("/v1/auth/refresh", json=again)).json()["code"] == "unauthenticated"
        header = bearer((await web.post("/v1/auth/log-in", json=SARA)).json()["access_token"])
        wrong = await web.request("DELETE", "/v1/auth/me", json={"confirm": "Sara"}, headers=header)
        assert wrong.status_code == 422
        erased = await web.request("DELETE", "/v1/auth/me", json={"password": PASSWORD}, headers=header)
        assert erased.status_code == 200
        assert len(erased.json()["sha256"]) == 64
        assert (await web.get("/v1/auth/me", headers=header)).status_code == 401
        assert (await web.post("/v1/auth/log-in", json=SARA)).status_code == 401


async def test_sign_up_is_shut_by_default_and_to_the_first_person(
    make_app: MakeApp, people: People
) -> None:
    async with connect(make_app(accounts=OPEN)) as web:
        assert (await web.post("/v1/auth/sign-up", json=SARA)).status_code == 403
    people.id_of(OPERATOR)
    async with connect(make_app()) as web:
        assert (await web.post("/v1/auth/sign-up", json=SARA)).status_code == 403


async def test_too_many_wrong_passwords_lock_the_account(make_app: MakeApp, people: People) -> None:
    people.id_of(OPERATOR)
    async with connect(make_app(accounts=OPEN)) as web:
        await web.post("/v1/auth/sign-up", json=SARA)
        for _ in range(3):
            wrong = await web.post("/v1/auth/log-in", json={**SARA, "password": "wrong horse"})
            assert (wrong.status_code, wrong.json()["code"]) == (401, "log_in_failed")
        locked = await web.post("/v1/auth/log-in", json=SARA)
        assert (locked.status_code, locked.json()["code"]) == (429, "account_locked")
        assert 1 <= int(locked.headers["Retry-After"]) <= 300


async def test_a_new_password_needs_the_old_one_and_ends_all_log_ins(
    make_app: MakeApp, people: People
) -> None:
    people.id_of(OPERATOR)
    async with connect(make_app(accounts=OPEN)) as web:
        header = bearer((await web.post("/v1/auth/sign-up", json=SARA)).json()["access_token"])
        for body, status in (
            ({"new_password": "battery staple"}, 422),
            ({"new_password": "battery staple", "old_password": "wrong horse"}, 401),
            ({"new_password": "short", "old_password": PASSWORD}, 422),
            ({"new_password": "battery staple", "old_password": PASSWORD}, 204),
        ):
            assert (await web.post("/v1/auth/password", json=body, headers=header)).status_code == status
        assert (await web.get("/v1/auth/me", headers=header)).status_code == 401
        assert (await web.post("/v1/auth/log-in", json=SARA)).status_code == 401
        fresh = await web.post("/v1/auth/log-in", json={**SARA, "password": "battery staple"})
        assert fresh.status_code == 200


async def test_a_key_makes_only_keys_that_can_do_no_more(make_app: MakeApp, people: People) -> None:
    narrow = people.create("anna", ["keys:read", "keys:write", "voices:read"])
    app = make_app()
    async with connect(app, narrow) as web:
        made = await web.post("/v1/keys", json={"scopes": ["voices:read"], "label": "reader"})
        assert made.status_code == 201
        assert (await web.post("/v1/keys", json={})).json()["scopes"] == sorted(
            ["keys:read", "keys:write", "voices:read"]
        )
        for scopes in (["*"], ["voices:write"], ["voices:read", "auth:write"]):
            assert (await web.post("/v1/keys", json={"scopes": scopes})).status_code == 403
        assert (await web.post("/v1/keys", json={"scopes": ["x"]})).status_code == 422
        assert (await web.get("/v1/auth/me")).status_code == 403
        assert len((await web.get("/v1/keys")).json()["keys"]) == 3
        assert made.json()["key"] not in (await web.get("/v1/keys")).text
    async with connect(app, made.json()["key"]) as web:
        assert (await web.get("/v1/voices")).status_code == 200
        refused = await web.patch("/v1/voices/x", json={"name": "y"})
        assert (refused.status_code, refused.json()["scope"]) == (403, "voices:write")
        assert (await web.post("/v1/keys", json={})).status_code == 403


async def test_a_key_that_ends_makes_none_that_lives_longer(make_app: MakeApp, people: People) -> None:
    app = make_app()
    async with connect(app, people.create("anna")) as web:
        made = await web.post("/v1/keys", json={"expires_at": "2099-01-01T00:00:00Z"})
        assert (await web.post("/v1/keys", json={"expires_at": "2001-01-01T00:00:00Z"})).status_code == 422
        assert (await web.post("/v1/keys", json={"expires_at": "2099-01-01T00:00:00"})).status_code == 422
    async with connect(app, made.json()["key"]) as web:
        for expires_at, status in (
            (None, 403),
            ("2100-01-01T00:00:00Z", 403),
            ("2098-01-01T00:00:00Z", 201),
        ):
            assert (await web.post("/v1/keys", json={"expires_at": expires_at})).status_code == status


async def test_a_narrow_key_of_an_admin_makes_no_person_who_can_do_more(
    make_app: MakeApp, people: People
) -> None:
    user_id = people.id_of("anna")
    key = people.create(OPERATOR, ["users:read", "users:write", "auth:write"])
    async with connect(make_app(), key) as web:
        assert (await web.get("/v1/users")).status_code == 200
        assert (await web.post("/v1/users", json=SARA)).status_code == 403
        assert (await web.patch(f"/v1/users/{user_id}", json={"is_admin": True})).status_code == 403
        assert (await web.patch(f"/v1/users/{user_id}", json={"password": PASSWORD})).status_code == 403
        assert (await web.delete(f"/v1/users/{user_id}")).status_code == 403
        assert (await web.post("/v1/auth/password", json={"new_password": PASSWORD})).status_code == 403
        assert (await web.patch(f"/v1/users/{user_id}", json={"is_disabled": True})).status_code == 200


async def test_admins_list_make_disable_and_erase_people(make_app: MakeApp, people: People) -> None:
    app = make_app()
    anna = people.create("anna")
    async with connect(app, people.create(OPERATOR)) as web, connect(app, anna) as other:
        made = await web.post("/v1/users", json=SARA)
        assert made.status_code == 201
        address = f"/v1/users/{made.json()['id']}"
        first = (await web.get("/v1/users", params={"limit": 2})).json()
        rest = (await web.get("/v1/users", params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [one["name"] for one in first["users"] + rest["users"]] == [OPERATOR, "anna", "Sara"]
        assert rest["next_cursor"] is None
        assert (await web.patch(address, json={"quota_bytes": 5})).json()["quota_bytes"] == 5
        assert (await web.patch(address, json={"quota_bytes": None})).json()["quota_bytes"] > 5
        anna_id = first["users"][1]["id"]
        assert (await other.get("/v1/auth/me")).status_code == 200
        assert (await web.patch(f"/v1/users/{anna_id}", json={"is_disabled": True})).status_code == 200
        assert (await other.get("/v1/auth/me")).status_code == 401
        assert (await web.patch(f"/v1/users/{anna_id}", json={"is_disabled": False})).status_code == 200
        assert (await other.get("/v1/auth/me")).status_code == 200
        for answer in (
            await other.get("/v1/users"),
            await other.post("/v1/users", json={"name": "x"}),
            await other.patch(address, json={}),
            await other.delete(address),
            await other.get("/v1/audit", params={"everybody": True}),
        ):
            assert answer.status_code == 403
        assert (await web.delete(address)).json()["counts"]["files"] == 0
        assert (await web.delete(address)).status_code == 404


async def test_everybody_reads_their_own_audit_lines_and_admins_all(
    make_app: MakeApp, people: People
) -> None:
    app = make_app()
    async with connect(app, people.create("anna")) as anna, connect(app, people.create(OPERATOR)) as admin:
        await anna.post("/v1/keys", json={})
        page = (await anna.get("/v1/audit", params={"limit": 2})).json()
        assert [line["event"] for line in page["lines"]] == ["key_made", "key_made"]
        rest = (await anna.get("/v1/audit", params={"cursor": page["next_cursor"]})).json()
        assert [line["event"] for line in rest["lines"]] == ["user_made"]
        assert len({line["user_id"] for line in page["lines"] + rest["lines"]}) == 1
        everything = (await admin.get("/v1/audit", params={"everybody": True})).json()
        assert len({line["user_id"] for line in everything["lines"]}) == 2
        assert (await anna.get("/v1/audit", params={"cursor": "x"})).status_code == 422


async def test_the_export_is_an_archive_and_is_noted(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/auth/me/export")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert b'"anna"' in archive.read("account.json")
        assert b"data_exported" in archive.read("audit.json")


async def test_a_key_that_may_do_less_gets_no_export(make_app: MakeApp, client: httpx.AsyncClient) -> None:
    made = await client.post("/v1/keys", json={"scopes": ["auth:read", "jobs:read"]})
    async with connect(make_app(), made.json()["key"]) as narrow:
        assert (await narrow.get("/v1/auth/me")).status_code == 200
        refused = await narrow.get("/v1/auth/me/export")
    assert (refused.status_code, refused.json()["scope"]) == (403, "*")


async def test_friends_over_http(make_app: MakeApp, people: People) -> None:
    app = make_app()
    async with connect(app, people.create("anna")) as anna, connect(app, people.create("reza")) as reza:
        known = await anna.post("/v1/friends", json={"name": "reza"})
        unknown = await anna.post("/v1/friends", json={"name": "nobody"})
        assert (known.status_code, unknown.status_code) == (202, 202)
        assert known.json() == {**unknown.json(), "name": "reza"}
        (asking,) = (await reza.get("/v1/friends")).json()["asking"]
        assert (await reza.post(f"/v1/friends/{asking['id']}/accept")).status_code == 204
        assert [one["name"] for one in (await anna.get("/v1/friends")).json()["friends"]] == ["reza"]
        assert (await reza.post("/v1/friends/anna/block")).status_code == 204
        assert (await anna.get("/v1/friends")).json() == {"friends": [], "asking": [], "blocked": []}
        assert (await reza.post("/v1/friends/anna/unblock")).status_code == 204
        assert (await anna.delete("/v1/friends/reza")).status_code == 204
        refused = [(await anna.post(f"/v1/friends/{name}/accept")) for name in ("reza", "nobody")]
        assert [(one.status_code, one.json()["detail"]) for one in refused] == [
            (404, "This person has not asked to be your friend.")
        ] * 2


async def test_who_asks_too_often_is_told_when_to_come_back(make_app: MakeApp, people: People) -> None:
    limits = AccountSettings(requests_per_minute=5, key_requests_per_minute=3, logins_per_minute=2)
    app = make_app(accounts=limits)
    one, two = people.create("anna"), people.create("anna")
    async with connect(app) as web:
        answers = [await web.get("/v1/voices", headers=bearer(one)) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200] * 3 + [429]
        last = answers[-1]
        assert last.json()["code"] == "rate_limited" and last.json()["retryable"]
        assert 1 <= int(last.headers["Retry-After"]) <= 60
        assert last.headers["RateLimit-Policy"] == '"key";q=3;w=60'
        assert last.headers["RateLimit"].startswith('"key";r=0;t=')
        more = [(await web.get("/v1/voices", headers=bearer(two))).status_code for _ in range(3)]
        assert more == [200, 429, 429]  # the person's own limit
        tries = [(await web.post("/v1/auth/log-in", json=SARA)).status_code for _ in range(3)]
        assert tries == [401, 401, 429]


@pytest.mark.parametrize("secure", [False, True])
async def test_a_login_link_opens_the_pages_once_and_nothing_else(
    make_app: MakeApp, settings: Settings, people: People, caplog: pytest.LogCaptureFixture, secure: bool
) -> None:
    user_id = people.id_of("anna")
    with accounts_of(settings) as accounts:
        code = accounts.tokens.make_code(user_id)
    scheme = "https" if secure else "http"
    transport = httpx.ASGITransport(make_app())
    with caplog.at_level(logging.DEBUG, "clearcast"):
        async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://test") as browser:
            answer = await browser.get(f"/login/{code}")
            assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
            cookie = answer.headers["set-cookie"]
            assert "HttpOnly" in cookie and "SameSite=strict" in cookie
            assert ("Secure" in cookie) == secure
            assert (await browser.get("/docs")).status_code == 200
            assert (await browser.get("/openapi.json")).status_code == 200
            assert (await browser.get("/v1/voices")).status_code == 401
            assert (await browser.post("/v1/keys", json={})).status_code == 401
            token = browser.cookies["clearcast_page"]
            browser.cookies.clear()
            assert (await browser.get("/docs")).status_code == 401
            assert (await browser.get("/v1/voices", headers=bearer(token))).status_code == 401
            assert (await browser.get(f"/login/{code}")).status_code == 401
    ours = [str(record.__dict__) for record in caplog.records if record.name.startswith("clearcast")]
    assert [line for line in ours if "/login/{code}" in line]
    assert not [line for line in ours if code in line or token in line]


async def test_without_keys_everybody_is_the_person_local_with_a_real_account(make_app: MakeApp) -> None:
    async with (
        listening(make_app(http=HttpSettings(require_key=False))) as url,
        httpx.AsyncClient(base_url=url) as anybody,
    ):
        me = (await anybody.get("/v1/auth/me")).json()
        assert (me["id"], me["is_admin"]) == ("local", False)
        assert (await anybody.post("/v1/keys", json={})).status_code == 201
        refused = await anybody.request("DELETE", "/v1/auth/me", json={"confirm": "local"})
        assert refused.status_code == 409
        assert (await anybody.get("/v1/users")).status_code == 403
