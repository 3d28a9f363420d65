"""Rate limits, in memory and in a real Redis, also a dead one."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from clearcast.accounts.rate_limits import MAX_CALLERS, MemoryWindows, RateLimits
from clearcast.errors import RateLimited, SettingsInvalid
from clearcast.ports import free_port


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    folder: Path = tmp_path_factory.mktemp("redis")
    command = [
        "redis-server",
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            with redis.Redis(port=port, socket_timeout=5) as client:
                _wait_for(client)
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(client: redis.Redis) -> None:
    deadline_s = time.monotonic() + 20
    while True:
        try:
            client.ping()
            return
        except redis.ConnectionError:
            assert time.monotonic() < deadline_s, "redis-server does not start"
            time.sleep(0.05)


async def count(limits: RateLimits, who: str, tries: int, per_minute: int = 3) -> int:
    passed = 0
    for _ in range(tries):
        try:
            await limits.hit("user", who, per_minute)
        except RateLimited as error:
            assert 1 <= error.retry_after_s <= 60
            assert error.fields["limit"] == per_minute
        else:
            passed += 1
    return passed


@pytest.mark.parametrize("scheme", ["memory", "redis"])
async def test_so_many_requests_pass_for_each_caller(scheme: str, redis_url: str) -> None:
    limits = RateLimits("memory://" if scheme == "memory" else redis_url, b"secret")
    assert await count(limits, "sara", 5) == 3
    assert await count(limits, "reza", 2) == 2
    limits.close()


async def test_there_is_room_again_after_a_minute() -> None:
    time_s = 1000.0
    limits = RateLimits("memory://", b"secret", clock_s=lambda: time_s)
    assert await count(limits, "sara", 5) == 3
    time_s += 59
    assert await count(limits, "sara", 1) == 0
    time_s += 1.5
    assert await count(limits, "sara", 5) == 3


async def test_processes_that_share_a_redis_count_together_and_store_no_name(redis_url: str) -> None:
    one, two = RateLimits(redis_url, b"secret"), RateLimits(redis_url, b"secret")
    assert await count(one, "shared-name", 2) + await count(two, "shared-name", 2) == 3
    with redis.Redis.from_url(redis_url) as client:
        assert not [key for key in client.scan_iter() if b"shared-name" in key]
    one.close()
    two.close()


async def test_a_redis_that_is_down_lets_through_and_is_told_of_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time_s = 1000.0
    limits = RateLimits(f"redis://127.0.0.1:{free_port()}", b"secret", clock_s=lambda: time_s)
    with caplog.at_level(logging.WARNING, "clearcast"):
        for _ in range(8):
            assert await count(limits, "sara", 5) == 5
            time_s += 10
    assert len([record for record in caplog.records if "not counted" in record.message]) == 2
    limits.close()


def test_memory_holds_so_many_callers_and_no_more() -> None:
    windows = MemoryWindows()
    for number in range(MAX_CALLERS + 10):
        assert windows.acquire_entry(f"caller{number}", 3, 60)
    assert windows.reset() == MAX_CALLERS


def test_an_unknown_place_to_count_is_refused() -> None:
    with pytest.raises(SettingsInvalid):
        RateLimits("file:///tmp", b"secret")
