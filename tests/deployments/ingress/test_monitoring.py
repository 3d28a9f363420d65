"""`/health` and `/metrics`."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

from clearcast.settings import Settings
from clearcast.testing.services import fake_services
from deployments.ingress.app import create_app
from deployments.ingress.metrics import Metrics, StageClock
from deployments.ingress.state import Standing
from tests.deployments.ingress.loopback import connect


async def test_health_needs_no_key_and_says_what_is_missing(settings: Settings) -> None:
    missing: dict[str, str] = {"diarizer": "UPDATING"}

    async def ready() -> Standing:
        return Standing(dict(missing), {"transcriber": "no GPU"})

    async with connect(create_app(fake_services(), settings, ready=ready)) as anybody:
        not_yet = await anybody.get("/health/ready")
        alive = await anybody.get("/health/live")
        missing.clear()
        now = await anybody.get("/health/ready")
    assert (not_yet.status_code, not_yet.json()) == (
        503,
        {"status": "not_ready", "missing": {"diarizer": "UPDATING"}, "waiting": {"transcriber": "no GPU"}},
    )
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (now.status_code, now.json()) == (
        200,
        {"status": "ready", "missing": {}, "waiting": {"transcriber": "no GPU"}},
    )


async def test_metrics_are_in_the_format_of_prometheus(client: httpx.AsyncClient) -> None:
    await client.get("/v1/voices")
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert families >= {
        "clearcast_requests",
        "clearcast_request_seconds",
        "clearcast_requests_in_flight",
        "clearcast_errors",
        "clearcast_overloads",
        "clearcast_audio_seconds",
        "clearcast_stage_seconds",
    }


async def test_two_apps_in_one_process_count_for_themselves(settings: Settings, key: str) -> None:
    first, second = (create_app(fake_services(), settings) for _ in range(2))
    async with connect(first, key) as one, connect(second, key) as other:
        await one.get("/v1/voices")
        assert 'route="/v1/voices"' in (await one.get("/metrics")).text
        assert 'route="/v1/voices"' not in (await other.get("/metrics")).text


def test_a_stage_lasts_until_the_next_begins() -> None:
    metrics = Metrics()
    times_s = iter([0.0, 2.0, 2.0, 5.0])
    clock = StageClock(metrics, "meeting", now=lambda: next(times_s))
    clock("decode", 0.0)
    clock("decode", 0.7)
    clock("diarize", 0.1)
    clock.stop()
    clock.stop()
    value = metrics.registry.get_sample_value
    for stage, spent_s in (("decode", 2.0), ("diarize", 3.0)):
        labels = {"pipeline": "meeting", "stage": stage}
        assert value("clearcast_stage_seconds_sum", labels) == spent_s
        assert value("clearcast_stage_seconds_count", labels) == 1


def test_a_stage_that_has_an_engine_counts_for_it() -> None:
    metrics = Metrics()
    times_s = iter([0.0, 1.0, 1.0, 3.0])
    clock = StageClock(metrics, "meeting", now=lambda: next(times_s))
    clock("decode", 0.0)
    clock.heard(20.0)
    clock("diarize", 0.0)
    clock.stop()
    value = metrics.registry.get_sample_value
    assert value("clearcast_real_time_factor_sum", {"engine": "vbx"}) == 0.1
    assert value("clearcast_real_time_factor_count", {"engine": "vbx"}) == 1


async def test_uploads_refusals_and_replicas_are_counted(settings: Settings, key: str) -> None:
    async def replicas() -> Mapping[str, int]:
        return {"diarizer": 2, "transcriber": 0}

    app = create_app(fake_services(), settings, replicas=replicas)
    async with connect(app, key) as client:
        await client.post("/v1/voices/import", content=b"{" * 1000)
        text = (await client.get("/metrics")).text
    assert 'clearcast_received_bytes_total{route="/v1/voices/import"} 1000.0' in text
    assert 'clearcast_replicas{deployment="diarizer"} 2.0' in text
    assert 'clearcast_replicas{deployment="transcriber"} 0.0' in text
    metrics = Metrics()
    metrics.count_problem("rate_limited")
    assert metrics.registry.get_sample_value("clearcast_rate_limited_total") == 1
