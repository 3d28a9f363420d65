"""Log lines: JSON that a program can read, one per record."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import httpx
import pytest

from clearcast.testing.services import FakeTranscriber, fake_services
from deployments.ingress.log_lines import OURS, log_fields, write_logs
from tests.deployments.ingress.loopback import MakeApp, connect, wav


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    yield
    for name in OURS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.NOTSET)
        logger.handlers.clear()


async def test_a_request_is_one_line_with_its_fields(client: httpx.AsyncClient) -> None:
    stream = io.StringIO()
    write_logs(io.StringIO(), "DEBUG")
    write_logs(stream, "INFO")  # takes the place of the one before
    await client.get("/v1/voices", headers={"X-Request-Id": "r1"})
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert (line["message"], line["level"], line["logger"]) == ("request", "INFO", "clearcast.access")
    assert (line["request_id"], line["route"], line["status"]) == ("r1", "/v1/voices", 200)
    assert line["time"].endswith("+00:00")
    assert line["code"] is None


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    write_logs(stream, "INFO")
    try:
        raise ValueError("Sara's secret\nin two lines") from OSError(28, "No space left", "/home/sara.wav")
    except ValueError:
        logging.getLogger("pipelines.meeting").exception("stage failed", extra={"stage": "آ"})
    (text,) = stream.getvalue().splitlines()
    line = json.loads(text)
    assert line["stage"] == "آ"
    assert line["exception"][:2] == ["OSError: No space left", "ValueError"]
    assert line["exception"][2].endswith("test_an_exception_stays_on_its_line")
    assert "Sara" not in text and "/home" not in text


def test_records_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    write_logs(stream, "WARNING")
    logging.getLogger("clearcast.engines").info("engine loaded")
    assert not stream.getvalue()


async def test_all_lines_of_a_request_or_job_share_their_ids() -> None:
    stream = io.StringIO()
    write_logs(stream, "INFO")
    logger = logging.getLogger("clearcast.storage")

    async def elsewhere() -> None:
        await asyncio.to_thread(logger.info, "in a thread")

    with log_fields(request_id="r1"), log_fields(job_id="job_1"):
        await asyncio.create_task(elsewhere())
        logger.info("own", extra={"job_id": "job_2"})
    logger.info("after")
    lines = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [(line.get("request_id"), line.get("job_id")) for line in lines] == [
        ("r1", "job_1"),
        ("r1", "job_2"),
        (None, None),
    ]


async def test_no_personal_data_is_logged(make_app: MakeApp, key: str) -> None:
    stream = io.StringIO()
    write_logs(stream, "DEBUG")
    name, file_name, words = "Zarathustra", "confession-of-friday.wav", "hello there"
    sound = {"file": (file_name, wav(300, 900))}
    broken = fake_services(
        transcriber=FakeTranscriber(error=ValueError(f"{name} said {words} in {file_name}"))
    )
    async with connect(make_app(), key) as client:
        enrolled = await client.post("/v1/voices", data={"name": name}, files=sound)
        meeting = await client.post("/v1/meetings", data={"voices": name, "hotwords": words}, files=sound)
        await client.post("/v1/meetings", data={"voices": f"{name}?"}, files=sound)
        await client.post("/v1/meetings", files={"file": (file_name, b"no sound")})
        await client.patch(f"/v1/voices/{name}", json={"name": f"{name} II"})
        await client.delete(f"/v1/voices/{name}%20II")
        await client.get("/v1/search", params={"q": words, "speaker": name})
        await client.get(f"/v1/models/{name}", params={"key": key})
        await client.get(f"/{name}/{file_name}")
        await client.get("/v1/voices", headers={"Authorization": f"Bearer {key}x"})
    async with connect(make_app(broken), key) as client:
        failed = await client.post("/v1/meetings", files=sound)
    assert (enrolled.status_code, meeting.status_code, failed.status_code) == (201, 200, 500)
    assert meeting.json()["transcript"]["segments"]
    said = {segment["text"] for segment in meeting.json()["transcript"]["segments"]}
    log = stream.getvalue()
    assert "request failed" in log and len(log.splitlines()) >= 11
    for secret in (name, "confession", words, key, key[-16:], *said):
        assert secret not in log
    for line in map(json.loads, log.splitlines()):
        assert line["request_id"] and line["message"].isascii()
