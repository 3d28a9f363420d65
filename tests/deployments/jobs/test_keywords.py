"""Jobs that spot keywords: one document for each file."""

from __future__ import annotations

from clearcast.speech.keywords_file import read_keywords
from clearcast.storage.tables import File
from clearcast.testing.services import fake_services
from tests.deployments.jobs.conftest import House, Running


async def test_what_is_spotted_is_a_result_of_its_own_kind(house: House, running: Running) -> None:
    job_id = house.ask(pipeline="classify")
    async with running(fake_services()):
        view = await house.ended(job_id)
    assert view.job.state == "succeeded", view.tasks[0].error
    [result] = view.results
    assert (result.name, result.kind, result.is_partial) == ("keywords", "keywords", False)
    with house.database.reading() as session:
        file = session.get_one(File, result.file_id)
    assert file.media_type == "application/json"
    found = read_keywords(house.blobs.get_bytes(file.blob_key))
    assert [word.label for word in found.words] == ["yes"]
    assert found.duration_s == 20.0
