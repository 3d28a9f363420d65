"""Log-ins: tokens that rotate, end, and cannot be made by others."""

from __future__ import annotations

from datetime import timedelta

import jwt
import pytest
import sqlalchemy as sa

from clearcast.accounts import audit
from clearcast.accounts.accounts import Accounts
from clearcast.accounts.principal import TTL_S, Principal, PrincipalCache
from clearcast.errors import Unauthenticated
from clearcast.secret_file import server_secret
from clearcast.settings import Settings
from clearcast.storage.database import Database
from clearcast.storage.tables import ApiKey, OneTimeCode, RefreshToken, now
from tests.accounts.conftest import PASSWORD


def test_an_access_token_is_its_persons(accounts: Accounts, sara: str) -> None:
    pair = accounts.tokens.open(sara)
    assert pair.expires_in_s == 900
    principal = accounts.credentials.look_up(pair.access_token)
    assert principal is not None
    assert (principal.user_id, principal.is_admin, principal.kind) == (sara, False, "token")
    assert principal.is_whole


def test_tokens_that_we_did_not_sign_or_that_have_ended_are_nobodys(
    accounts: Accounts, settings: Settings, sara: str
) -> None:
    token = accounts.tokens.open(sara).access_token
    secret = server_secret(settings.data_path, "access-tokens")
    content = jwt.decode(token, options={"verify_signature": False})
    old = {**content, "exp": now() - timedelta(seconds=1)}
    forged = [
        jwt.encode(content, b"x" * 32, "HS256"),
        jwt.encode(content, None, "none"),
        jwt.encode(content, secret * 2, "HS512"),
        jwt.encode(old, secret, "HS256"),
        jwt.encode({**content, "iss": "other"}, secret, "HS256"),
        jwt.encode({**content, "aud": "other"}, secret, "HS256"),
        jwt.encode({**content, "fam": "login_other"}, secret, "HS256"),
        jwt.encode({name: content[name] for name in content if name != "exp"}, secret, "HS256"),
        token[:-4] + "AAAA",
        "x" * 5000,
        "\ud800",
        "",
    ]
    assert accounts.credentials.look_up(jwt.encode(content, secret, "HS256")) is not None
    assert [accounts.credentials.look_up(one) for one in forged] == [None] * len(forged)


def test_a_refresh_token_works_once_and_its_second_use_ends_the_log_in(
    accounts: Accounts, sara: str
) -> None:
    first = accounts.tokens.open(sara)
    other = accounts.tokens.open(sara)
    second = accounts.tokens.refresh(first.refresh_token)
    assert accounts.credentials.look_up(second.access_token)
    with pytest.raises(Unauthenticated):
        accounts.tokens.refresh(first.refresh_token)
    for token in (first.access_token, second.access_token):
        assert accounts.credentials.look_up(token) is None
    with pytest.raises(Unauthenticated):
        accounts.tokens.refresh(second.refresh_token)
    assert accounts.credentials.look_up(other.access_token)
    assert [line.event for line in accounts.audit.page(sara)].count(audit.TOKEN_REUSED) == 1


def test_log_out_ends_one_log_in_and_a_new_password_all(accounts: Accounts, sara: str) -> None:
    first, second = accounts.tokens.open(sara), accounts.tokens.open(sara)
    principal = accounts.credentials.look_up(first.access_token)
    assert principal is not None and principal.family_id is not None
    accounts.tokens.close(sara, principal.family_id)
    assert accounts.credentials.remembered(first.access_token) is None
    assert accounts.credentials.look_up(first.access_token) is None
    assert accounts.credentials.look_up(second.access_token)
    accounts.users.set_password(sara, PASSWORD + "!")
    assert accounts.credentials.look_up(second.access_token) is None
    with pytest.raises(Unauthenticated):
        accounts.tokens.refresh(second.refresh_token)


def test_an_expired_refresh_token_and_a_disabled_persons_are_refused(
    accounts: Accounts, database: Database, sara: str, reza: str
) -> None:
    old, shut = accounts.tokens.open(sara), accounts.tokens.open(reza)
    with database.writing() as session:
        session.execute(
            sa.update(RefreshToken).values(expires_at=now()).where(RefreshToken.owner_id == sara)
        )
    accounts.users.change(reza, is_disabled=True)
    for pair in (old, shut):
        with pytest.raises(Unauthenticated):
            accounts.tokens.refresh(pair.refresh_token)
        assert accounts.credentials.look_up(pair.access_token) is None


def test_no_secret_is_in_the_database(accounts: Accounts, settings: Settings, sara: str) -> None:
    pair = accounts.tokens.open(sara)
    _, key = accounts.keys.create(sara)
    code = accounts.tokens.make_code(sara)
    for path in settings.data_path.parent.glob("records.sqlite*"):
        content = path.read_bytes()
        for secret in (pair.refresh_token, pair.access_token, key, key[3:], code, PASSWORD):
            assert secret.encode() not in content


def test_a_code_logs_in_once_and_not_for_long(accounts: Accounts, database: Database, sara: str) -> None:
    code = accounts.tokens.make_code(sara)
    principal = accounts.credentials.look_up(accounts.tokens.open_page(code))
    assert principal is not None and principal.user_id == sara
    late = accounts.tokens.make_code(sara)
    with database.writing() as session:
        session.execute(sa.update(OneTimeCode).values(expires_at=now()))
    for wrong in (code, late, "", "x"):
        with pytest.raises(Unauthenticated):
            accounts.tokens.open_page(wrong)


def test_a_pages_cookie_is_marked_as_one(accounts: Accounts, sara: str) -> None:
    cookie = accounts.tokens.open_page(accounts.tokens.make_code(sara))
    principal = accounts.credentials.look_up(cookie)
    assert principal is not None and principal.kind == "page" and principal.family_id is not None
    accounts.tokens.close(sara, principal.family_id)
    assert accounts.credentials.look_up(cookie) is None


def test_a_key_counts_its_use_by_the_minute_and_ends_when_it_should(
    accounts: Accounts, database: Database, sara: str
) -> None:
    record, key = accounts.keys.create(sara, "script", ["jobs:read"], now() + timedelta(hours=1))
    assert record.last_used_at is None
    assert accounts.credentials.look_up(key).scopes == {"jobs:read"}  # type: ignore[union-attr]
    used = accounts.keys.list(sara)[0].last_used_at
    assert used is not None
    accounts.credentials.look_up(key)
    assert accounts.keys.list(sara)[0].last_used_at == used
    with database.writing() as session:
        session.execute(sa.update(ApiKey).values(expires_at=now()))
    assert accounts.credentials.look_up(key) is None


def test_a_revoked_key_is_worthless_at_once_and_elsewhere_after_the_cache_ends() -> None:
    time_s = 100.0
    cache = PrincipalCache(clock_s=lambda: time_s)
    principal = Principal("user_a", is_admin=False, scopes=frozenset("*"), kind="key")
    cache.put(b"a", principal, cache.generation)
    assert cache.get(b"a") is principal
    time_s += TTL_S
    assert cache.get(b"a") is None
    cache.put(b"a", principal, cache.generation)
    before = cache.generation
    cache.forget("user_a")
    assert cache.get(b"a") is None
    cache.put(b"a", principal, before)  # was looked up before the revocation
    assert cache.get(b"a") is None
