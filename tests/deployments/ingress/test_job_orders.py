"""What an order of a job costs, and which files it may name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import sqlalchemy as sa

from clearcast.storage.database import Database
from tests.deployments.ingress.loopback import MakeApp, connect, wav


@contextmanager
def looks_at(database: Database, table: str) -> Iterator[list[str]]:
    """The queries that read `table` meanwhile."""
    seen: list[str] = []

    def heard(_c: Any, _cursor: Any, text: str, *_more: Any) -> None:
        if text.startswith("SELECT") and f"FROM {table}" in text:
            seen.append(text)

    sa.event.listen(database.engine, "after_cursor_execute", heard)
    try:
        yield seen
    finally:
        sa.event.remove(database.engine, "after_cursor_execute", heard)


async def upload(client: httpx.AsyncClient, name: str) -> str:
    sent = await client.post("/v1/files", files={"file": (name, wav(300), "audio/wav")})
    return str(sent.json()["id"])


async def test_many_files_are_looked_up_at_once_and_keep_their_order(make_app: MakeApp, key: str) -> None:
    app = make_app()
    async with connect(app, key) as client:
        one, two = await upload(client, "one.wav"), await upload(client, "two.wav")
        body = {"pipeline": "meeting", "file_ids": [two, one] * 50}
        with looks_at(app.state.ingress.database, "files") as seen:
            answer = await client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    assert [task["file_name"] for task in answer.json()["tasks"]] == ["two.wav", "one.wav"] * 50
    assert len(seen) == 1


async def test_other_peoples_and_unfinished_files_are_refused_among_good_ones(
    make_app: MakeApp, key: str, other_key: str
) -> None:
    app = make_app()
    async with connect(app, key) as client, connect(app, other_key) as other:
        mine, theirs = await upload(client, "mine.wav"), await upload(other, "theirs.wav")
        begin = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}
        begun = await client.post("/v1/uploads", headers=begin)
        begun_id = begun.headers["Location"].rpartition("/")[2]
        for file_id, status, code in (
            (theirs, 404, "not_found"),
            (begun_id, 422, "option_invalid"),
        ):
            body = {"pipeline": "meeting", "file_ids": [mine, file_id]}
            refused = await client.post("/v1/jobs", json=body)
            assert (refused.status_code, refused.json()["code"]) == (status, code)
            assert refused.json()["field"] == "file_ids"
