"""Problem documents: one form for everything that goes wrong."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import httpx
import pytest

from clearcast import errors
from clearcast.errors import ClearCastError, NotFound, OptionInvalid
from deployments.ingress.problems import problem_document, translated
from tests.deployments.ingress.loopback import wav

MEMBERS = {"type", "title", "status", "detail", "code", "hint", "retryable", "request_id"}


def tree(kind: type[ClearCastError] = ClearCastError) -> Iterator[type[ClearCastError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.code)
def test_every_error_makes_a_full_document(kind: type[ClearCastError]) -> None:
    document = problem_document(kind("What happened.", hint="Do this.", speech_s=1.5), "req_1")
    assert document.keys() >= MEMBERS
    assert document["type"] == f"/docs/errors#{kind.code}"
    assert document["detail"] == "What happened."
    assert document["speech_s"] == 1.5
    assert 400 <= document["status"] <= 599 or kind is errors.RoomElsewhere


def test_fields_of_an_error_cannot_replace_members_of_the_document() -> None:
    document = problem_document(NotFound("Gone.", status=200, code="fine"), "req_1")
    assert (document["status"], document["code"]) == (404, "not_found")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_full_disk_wherever_it_shows(number: int) -> None:
    known = translated(OSError(number, "no room"))
    assert isinstance(known, errors.StorageFull)
    assert known.http_status == 507


def test_other_failures_of_the_disk_stay_internal() -> None:
    assert translated(PermissionError("/secret/path")).code == "internal_error"
    assert "/secret" not in translated(PermissionError("/secret/path")).message


async def test_an_unknown_address_and_a_wrong_method_are_problems_too(client: httpx.AsyncClient) -> None:
    missing = await client.get("/v1/nothing")
    assert missing.headers["content-type"] == "application/problem+json"
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = await client.put("/v1/voices")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, POST"
    wrong = await client.put("/v1/voices/Sara")
    assert wrong.headers["allow"] == "DELETE, PATCH"


async def test_wrong_options_name_their_fields_and_do_not_repeat_the_values(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post(
        "/v1/meetings",
        data={"num_speakers": "s3cret", "language": "english"},
        files={"file": wav(300)},
    )
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "option_invalid")
    assert {found["field"] for found in problem["errors"]} == {"num_speakers", "language"}
    assert "s3cret" not in answer.text


async def test_options_that_contradict_each_other_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/diarizations", data={"num_speakers": "2", "max_speakers": "3"}, files={"file": wav(300)}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "option_invalid")


async def test_a_query_option_with_a_wrong_value_is_a_problem_too(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/voices/import", params={"mode": "both"}, content=b"{}")
    assert (answer.json()["code"], answer.json()["field"]) == ("option_invalid", "mode")


async def test_only_routes_of_the_openai_sdk_have_its_form_of_an_error(
    client: httpx.AsyncClient,
) -> None:
    theirs = await client.get("/v1/models/nothing")
    assert theirs.json()["error"] == {
        "message": "There is no model 'nothing' here. See GET /v1/models.",
        "type": "invalid_request_error",
        "code": "not_found",
        "param": "model",
    }
    assert theirs.headers["x-should-retry"] == "false"
    assert "error" not in (await client.get("/v1/nothing")).json()


def test_hints_are_part_of_the_message_the_openai_sdk_shows() -> None:
    document = problem_document(OptionInvalid("Wrong.", hint="Right: 1."), "req_1", openai=True)
    assert document["error"]["message"] == "Wrong. Right: 1."
