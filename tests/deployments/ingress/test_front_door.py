"""What every request gets: an id, a line in the log, a count, security headers, and a clear end."""

from __future__ import annotations

import logging
import re
from typing import Any

import httpx
import pytest

from clearcast.errors import ModelCorrupt, ModelMissing, Overloaded, ServiceTimeout
from clearcast.testing.services import FakeTranscriber, fake_services
from tests.deployments.ingress.loopback import MakeApp, connect, wav

NAME = "Sara%20%C5%81"


async def test_answers_have_security_headers_and_allow_no_other_site(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/health/live", "/v1/voices", "/nothing"):
        headers = (await client.get(path, headers={"Origin": "https://elsewhere.example"})).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert not [name for name in headers if name.startswith("access-control-")]


async def test_a_plain_request_id_is_kept_and_any_other_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get("/nothing", headers={"X-Request-Id": "abc-123_4.5"})
    assert kept.headers["x-request-id"] == kept.json()["request_id"] == "abc-123_4.5"
    made = set()
    for given in (None, "", "a" * 65, "with space", 'q"uote', "line\tbreak"):
        headers = {} if given is None else {"X-Request-Id": given}
        answer = await client.get("/nothing", headers=headers)
        assert re.fullmatch(r"req_[0-9a-f]{24}", answer.headers["x-request-id"])
        made.add(answer.headers["x-request-id"])
    assert len(made) == 6


async def test_the_log_names_the_route_and_never_the_person(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "clearcast.access")
    answer = await client.delete(f"/v1/voices/{NAME}?because=Sara", headers={"X-Request-Id": "r1"})
    assert answer.status_code == 404
    (record,) = [record for record in caplog.records if record.name == "clearcast.access"]
    fields: dict[str, Any] = record.__dict__
    assert record.getMessage() == "request"
    assert {name: fields[name] for name in ("request_id", "method", "route", "status", "code")} == {
        "request_id": "r1",
        "method": "DELETE",
        "route": "/v1/voices/{name:path}",
        "status": 404,
        "code": "not_found",
    }
    assert fields["seconds"] >= 0
    assert "Sara" not in str(fields)


async def test_health_checks_do_not_fill_the_log(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "clearcast.access")
    await client.get("/health/live")
    await client.get("/metrics")
    assert not caplog.records


async def test_metrics_count_by_route_and_never_by_person(client: httpx.AsyncClient) -> None:
    await client.delete(f"/v1/voices/{NAME}")
    await client.get(f"/unknown/{NAME}")
    await client.request("BREW", "/v1/voices")
    await client.post("/v1/meetings", files={"file": wav(300)})
    text = (await client.get("/metrics")).text
    assert 'requests_total{method="DELETE",route="/v1/voices/{name:path}",status="404"} 1.0' in text
    assert 'requests_total{method="GET",route="(none)",status="404"} 1.0' in text
    assert 'requests_total{method="OTHER",route="/v1/voices",status="405"} 1.0' in text
    assert 'request_seconds_count{method="POST",route="/v1/meetings"} 1.0' in text
    assert 'errors_total{code="not_found"} 2.0' in text
    assert 'audio_seconds_total{pipeline="meeting"} 2.0' in text
    for stage in ("decode", "diarize", "identify", "transcribe"):
        assert f'stage_seconds_count{{pipeline="meeting",stage="{stage}"}} 1.0' in text
    assert "requests_in_flight 1.0" in text  # this one
    assert "Sara" not in text


async def test_an_unexpected_error_says_nothing_to_the_caller_and_all_to_the_log(
    make_app: MakeApp, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    services = fake_services(transcriber=FakeTranscriber(error=RuntimeError("secret detail")))
    async with connect(make_app(services), key) as client:
        answer = await client.post("/v1/meetings", files={"file": wav(300)})
        assert (await client.get("/health/live")).status_code == 200
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.__dict__["request_id"] == problem["request_id"]
    assert record.exc_info is not None and "secret detail" in str(record.exc_info[1])


@pytest.mark.parametrize("cause", [None, ValueError("secret detail")])
async def test_an_error_raised_on_purpose_is_logged_by_its_code_and_its_cause_with_its_way(
    make_app: MakeApp, key: str, caplog: pytest.LogCaptureFixture, cause: Exception | None
) -> None:
    error = ModelMissing("It is not here.") if cause is None else ModelCorrupt("It is damaged.")
    error.__cause__ = cause
    async with connect(make_app(fake_services(transcriber=FakeTranscriber(error=error))), key) as client:
        answer = await client.post("/v1/meetings", files={"file": wav(300)})
    assert (answer.status_code, answer.json()["code"]) == (503, error.code)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.__dict__["code"] == error.code
    assert (record.exc_info is None) == (cause is None)


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [(Overloaded("Full.", retry_after_s=7), 503, "7"), (ServiceTimeout("Too slow."), 504, None)],
)
async def test_errors_of_the_services_reach_the_caller_with_their_code(
    make_app: MakeApp, key: str, error: Exception, status: int, retry: str | None
) -> None:
    services = fake_services(transcriber=FakeTranscriber(error=error))
    async with connect(make_app(services), key) as client:
        answer = await client.post("/v1/meetings", files={"file": wav(300)})
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == retry
    assert answer.json()["retryable"] is True
