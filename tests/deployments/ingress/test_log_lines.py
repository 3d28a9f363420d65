"""Log lines: JSON that a program can read, one per record."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import httpx
import pytest

from deployments.ingress.log_lines import OURS, write_logs


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
        raise ValueError("wrong\nin two lines")
    except ValueError:
        logging.getLogger("pipelines.meeting").exception("stage failed", extra={"stage": "آ"})
    (text,) = stream.getvalue().splitlines()
    line = json.loads(text)
    assert line["stage"] == "آ"
    assert "ValueError: wrong" in line["exception"]


def test_records_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    write_logs(stream, "WARNING")
    logging.getLogger("clearcast.engines").info("engine loaded")
    assert not stream.getvalue()
