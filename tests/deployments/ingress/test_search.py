"""`GET /v1/search`."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from clearcast.search.transcripts import TranscriptIndex
from clearcast.settings import Settings
from clearcast.storage.database import Database
from clearcast.storage.tables import Job, Task
from clearcast.testing.people import People
from tests.deployments.ingress.loopback import MakeApp, connect
from tests.search.said import said

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def searcher(client: httpx.AsyncClient, settings: Settings, people: People) -> httpx.AsyncClient:
    """A client of "anna", who has a transcript; "omid" has another."""
    database = Database(settings.database_url)
    index = TranscriptIndex(database)
    for name, job, lines in (
        ("anna", "job_1", ("سلام", "من می‌خواهم بروم", "خداحافظ")),
        ("omid", "job_2", ("من می‌خواهم بمانم",)),
    ):
        owner = people.id_of(name)
        with database.writing() as session:
            session.add(
                Job(
                    id=job,
                    owner_id=owner,
                    pipeline="meeting",
                    options={},
                    priority="normal",
                    state="succeeded",
                )
            )
            session.flush()
            session.add(
                Task(
                    job_id=job,
                    number=0,
                    owner_id=owner,
                    pipeline="meeting",
                    file_id="file_1",
                    file_name="دوشنبه.wav",
                    state="succeeded",
                    place=0,
                )
            )
        index.put(owner, job, 0, said(*lines, speaker="Sara"), MONDAY)
    database.close()
    return client


async def test_a_search_answers_with_the_moment(searcher: httpx.AsyncClient) -> None:
    answer = await searcher.get("/v1/search", params={"q": "میخواهم", "speaker": "sara"})
    assert answer.status_code == 200
    assert answer.json() == {
        "moments": [
            {
                "job_id": "job_1",
                "task": 0,
                "file_name": "دوشنبه.wav",
                "start_s": 10.0,
                "end_s": 15.0,
                "speaker": "Sara",
                "text": "من می‌خواهم بروم",
                "marks": [[3, 11]],
                "recorded_at": "2026-03-02T09:00:00Z",
                "job_url": "/v1/jobs/job_1",
            }
        ],
        "next": None,
    }


async def test_dates_narrow_a_search(searcher: httpx.AsyncClient) -> None:
    async def count(**options: str) -> int:
        answer = await searcher.get("/v1/search", params={"q": "سلام", **options})
        return len(answer.raise_for_status().json()["moments"])

    assert await count(since="2026-03-02", until="2026-03-03T00:00:00+03:30") == 1
    assert await count(since="2026-03-02T09:00:01Z") == 0
    assert await count(until="2026-03-02T09:00:00") == 0


async def test_pages_follow_each_other(searcher: httpx.AsyncClient) -> None:
    options = {"q": "س* ", "order": "date", "limit": 1}
    first = (await searcher.get("/v1/search", params=options)).json()
    assert (first["moments"][0]["text"], first["next"]) == ("سلام", None)
    both = {"q": "من*", "limit": 1}
    assert len((await searcher.get("/v1/search", params=both)).json()["moments"]) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"q": ""},
        {"q": '"*-('},
        {"q": "x" * 10_000},
        {"q": " ".join(map(str, range(200)))},
        {"q": "a", "limit": "0"},
        {"q": "a", "limit": "1e9"},
        {"q": "a", "after": "zzz"},
        {"q": "a", "order": "chaos"},
        {"q": "a", "since": "0001-01-01T00:00:00+14:00"},
        {"q": "a", "until": "9999-12-31T23:59:59-14:00"},
        {"q": "a", "since": "yesterday"},
        {},
    ],
)
async def test_a_wrong_search_is_refused_and_never_a_fault(
    searcher: httpx.AsyncClient, options: dict[str, str]
) -> None:
    answer = await searcher.get("/v1/search", params=options)
    assert (answer.status_code, answer.json()["code"]) == (422, "option_invalid")


@pytest.mark.parametrize(
    "query", ['"', 'a"b', "NEAR(a, b)", "a*b*", "-a", "\x00a", "😀a", "a AND", "plain:a"]
)
async def test_the_engines_language_is_only_text(searcher: httpx.AsyncClient, query: str) -> None:
    answer = await searcher.get("/v1/search", params={"q": query, "speaker": "\x00", "since": "0001-01-01"})
    assert answer.status_code in {200, 422}


async def test_a_search_needs_a_key(make_app: MakeApp) -> None:
    async with connect(make_app()) as nobody:
        assert (await nobody.get("/v1/search", params={"q": "a"})).status_code == 401
