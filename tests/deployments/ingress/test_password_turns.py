"""A flood of log-ins waits by itself: it holds no thread that other requests need."""

from __future__ import annotations

import asyncio
import threading

import pytest

from clearcast.accounts.passwords import AT_A_TIME, Passwords
from clearcast.errors import Overloaded
from clearcast.settings import AccountSettings
from deployments.ingress.password_turns import MOST_INSIDE, PasswordTurns
from tests.deployments.ingress.loopback import MakeApp, connect

MANY_THREADS = 40  # more than asyncio's own pool ever has


class SlowPasswords(Passwords):
    """Each comparison waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def matches(self, password_hash: str | None, password: str) -> bool:
        with self._places:
            self.go_on.wait(30)
        return False


async def test_waiting_log_ins_hold_up_nobody_else(make_app: MakeApp, key: str) -> None:
    app = make_app(accounts=AccountSettings(logins_per_minute=1000))
    slow = app.state.ingress.accounts.users._passwords = SlowPasswords()
    async with connect(app) as strangers, connect(app, key) as anna:
        tries = [
            asyncio.create_task(
                strangers.post("/v1/auth/log-in", json={"name": f"nobody {n}", "password": "wrong horse"})
            )
            for n in range(MANY_THREADS)
        ]
        await asyncio.sleep(0.3)
        try:
            async with asyncio.timeout(10):
                assert (await anna.get("/v1/auth/me")).status_code == 200
            assert not any(one.done() for one in tries)
        finally:
            slow.go_on.set()
        assert {(await one).status_code for one in tries} == {401}


async def test_too_many_at_once_are_overload_and_who_leaves_keeps_the_turn_to_the_end() -> None:
    turns, go_on = PasswordTurns(), threading.Event()
    at_work = most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        go_on.wait(30)
        with lock:
            at_work -= 1

    tries = [asyncio.create_task(turns.run(work)) for _ in range(MOST_INSIDE)]
    await asyncio.sleep(0.2)
    with pytest.raises(Overloaded):
        await turns.run(work)
    for one in tries[: MOST_INSIDE // 2]:
        one.cancel()
    await asyncio.sleep(0.2)
    assert most == AT_A_TIME
    go_on.set()
    await asyncio.gather(*tries, return_exceptions=True)
    assert most == AT_A_TIME
    assert await turns.run(lambda: "free") == "free"
