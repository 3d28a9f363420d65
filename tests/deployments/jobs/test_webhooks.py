"""A job that ended tells its webhook: signed, again after failures, once after success."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from clearcast.secret_file import FILE_NAME, server_secret
from clearcast.storage.tables import WebhookDelivery
from clearcast.testing.services import fake_services
from clearcast.webhooks.records import BROKE_OFF, WebhookRecords
from clearcast.webhooks.secret import secret_of
from clearcast.webhooks.signature import check
from deployments.jobs import engine, webhook_run
from tests.deployments.jobs.conftest import ANNA, BEN, House, Running

Message = tuple[dict[str, str], bytes]


@asynccontextmanager
async def receiver(answers: list[int]) -> AsyncIterator[tuple[str, list[Message]]]:
    """A loopback server that takes messages and gives these answers, then 200."""
    taken: list[Message] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head)}
        taken.append((headers, await reader.readexactly(int(headers["content-length"]))))
        status = answers.pop(0) if answers else 200
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", taken


async def delivered(house: House, within_s: float = 30.0) -> WebhookDelivery:
    async with asyncio.timeout(within_s):
        while True:
            with house.database.reading() as session:
                found = session.query(WebhookDelivery).one_or_none()
            if found is not None and found.finished_at is not None:
                return found
            await asyncio.sleep(0.05)


@pytest.fixture
def open_house(house: House) -> House:
    """With webhooks allowed to loopback, where the test's receiver is."""
    jobs = house.settings.jobs.model_copy(update={"webhook_private_networks": True})
    house.settings = house.settings.model_copy(update={"jobs": jobs})
    return house


async def test_the_end_is_told_and_signed(open_house: House, running: Running) -> None:
    async with receiver([]) as (url, taken):
        job_id = open_house.ask(webhook_url=url)
        async with running(fake_services()):
            record = await delivered(open_house)
    assert (record.state, record.attempts, record.last_answer) == ("delivered", 1, "200")
    [(headers, body)] = taken
    check(secret_of(open_house.settings.data_path, ANNA), headers, body)
    message = json.loads(body)
    assert message["type"] == "job.succeeded"
    assert message["data"]["id"] == job_id
    assert message["data"]["counts"] == {"succeeded": 1}
    records = WebhookRecords(open_house.database)
    assert [one.state for one in records.deliveries(ANNA, job_id=job_id)] == ["delivered"]
    assert records.deliveries(BEN) == []


async def test_a_receiver_in_trouble_is_told_again(
    open_house: House, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_run, "PAUSES_S", (0.05,))
    async with receiver([503, 500]) as (url, taken):
        open_house.ask(webhook_url=url)
        async with running(fake_services()):
            record = await delivered(open_house)
    assert (record.state, record.attempts) == ("delivered", 3)
    assert len({headers["webhook-id"] for headers, _ in taken}) == 1, "repetitions can be told"


async def test_private_addresses_are_not_called(house: House, running: Running) -> None:
    async with receiver([]) as (url, taken):
        house.ask(webhook_url=url)
        async with running(fake_services()):
            record = await delivered(house)
    assert (record.state, record.last_answer) == ("failed", "address_refused")
    assert taken == []


async def test_a_delivery_whose_workflow_breaks_off_has_failed(
    open_house: House, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RECONCILE_S", 0.1)
    server_secret(open_house.settings.data_path, "any")
    (open_house.settings.data_path / FILE_NAME).chmod(0o644)  # which the server refuses to use
    async with receiver([]) as (url, taken):
        open_house.ask(webhook_url=url)
        async with running(fake_services()):
            record = await delivered(open_house)
    assert (record.state, record.last_answer) == ("failed", BROKE_OFF)
    assert taken == []


async def test_erasing_a_job_erases_what_became_of_its_webhooks(
    open_house: House, running: Running
) -> None:
    async with receiver([]) as (url, _):
        job_id = open_house.ask(webhook_url=url)
        async with running(fake_services()):
            await delivered(open_house)
    open_house.records.delete(ANNA, job_id)
    assert WebhookRecords(open_house.database).deliveries(ANNA) == []
