"""One file of a batch: done once, kept whole, and left alone when it is finished."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from clearcast.errors import ModelMissing, StorageFull
from clearcast.services import Services
from clearcast.testing.services import fake_services
from pipelines.batch.file_work import MOST_STARTS, BatchStopped, FileWork
from pipelines.batch.plan import BatchOrder, Item, finished, plan_batch
from pipelines.batch.record import Record
from tests.pipelines.batch.conftest import again


def done(order: BatchOrder, item: Item, services: Services | None = None) -> Record:
    record = asyncio.run(FileWork(order, services or fake_services()).do(item))
    assert record is not None
    return record


def results(order: BatchOrder) -> dict[str, bytes]:
    folder = Path(order.destination)
    files = (path for path in folder.rglob("*") if path.is_file() and ".batch" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_results_lie_beside_each_other_and_the_record_tells_of_them(
    order: BatchOrder, items: Sequence[Item]
) -> None:
    record = done(replace(order, formats=("json", "txt")), items[2])
    assert sorted(results(order)) == ["week/c.transcript.json", "week/c.transcript.txt"]
    assert record.outcome == "done"
    assert record.duration_s == pytest.approx(3.0)
    assert set(record.stages_s) == {"decode", "score", "listen", "transcribe", "keep"}
    assert set(record.outputs) == set(results(order))
    assert "transcribe" in record.engine


def test_nothing_half_done_stays_when_a_file_is_finished(order: BatchOrder, items: Sequence[Item]) -> None:
    done(order, items[0])
    assert list(order.work_path.iterdir()) == []
    assert list(Path(order.destination).rglob("*.part")) == []


def test_finished_files_are_skipped(order: BatchOrder, items: Sequence[Item]) -> None:
    done(order, items[0])
    plan = plan_batch(again(order), items)
    assert [item.name for item, _ in plan.done] == [items[0].name]
    assert [item.name for item in plan.todo] == ["week/c", "b"]  # the largest first


def test_a_file_is_done_again_when_its_bytes_or_options_change(
    order: BatchOrder, items: Sequence[Item], sources: Path
) -> None:
    item = items[0]
    done(order, item)
    assert finished(again(order), item) is not None
    assert finished(again(order, options={"language": "en"}), item) is None
    assert finished(again(order, formats=("srt",)), item) is None
    source = Path(item.source)
    os.utime(source, ns=(1, 1))
    touched = replace(item, version=str(source.stat().st_mtime_ns))
    assert finished(again(order), touched) is not None, "the same bytes at another time"
    content = bytearray(source.read_bytes())
    content[-1] ^= 1
    source.write_bytes(content)
    changed = replace(item, version=str(source.stat().st_mtime_ns))
    assert finished(again(order), changed) is None


def test_a_file_is_done_again_when_a_result_is_gone(order: BatchOrder, items: Sequence[Item]) -> None:
    done(order, items[0])
    Path(order.destination, "a.transcript.json").unlink()
    assert finished(again(order), items[0]) is None


def test_a_bad_file_is_a_record(order: BatchOrder, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"this is text")
    item = Item(str(bad), "bad", 12, str(bad.stat().st_mtime_ns))
    record = done(order, item)
    assert (record.outcome, record.error_code) == ("failed", "audio_unrecognised")
    assert results(order) == {}
    plan = plan_batch(again(order), [item])
    assert [record.error_code for _, record in plan.done] == ["audio_unrecognised"]
    assert plan_batch(again(order), [item], retry_failed=True).todo == (item,)


def test_wrong_options_and_missing_files_are_records_too(order: BatchOrder, items: Sequence[Item]) -> None:
    wrong = replace(items[0], options={"language": "English"})
    assert done(order, wrong).error_code == "option_invalid"
    assert done(order, Item("/there/is/none.wav", "none", 0, "")).error_code == "not_found"


def test_an_unexpected_error_is_a_record_that_is_tried_again(
    order: BatchOrder, items: Sequence[Item]
) -> None:
    services = fake_services()
    services = replace(services, transcriber=Failing(RuntimeError("private words")))
    record = done(order, items[0], services)
    assert (record.outcome, record.error_code) == ("failed", "internal_error")
    assert "private words" not in (record.message or "")
    assert items[0] in plan_batch(again(order), items).todo


def test_what_no_file_would_escape_stops_the_batch(order: BatchOrder, items: Sequence[Item]) -> None:
    for error in (ModelMissing("not here"), StorageFull("full")):
        services = replace(fake_services(), transcriber=Failing(error))
        with pytest.raises(BatchStopped) as stopped:
            done(order, items[0], services)
        assert stopped.value.error is error
    assert len(plan_batch(again(order), items).todo) == len(items)


def test_finished_stages_are_not_done_again_after_a_failure(
    order: BatchOrder, items: Sequence[Item]
) -> None:
    services = fake_services()
    with pytest.raises(BatchStopped):
        done(order, items[0], replace(services, transcriber=Failing(StorageFull("full"))))
    finder = Counting(services.speech_finder)
    record = done(again(order), items[0], replace(services, speech_finder=finder))
    assert record.outcome == "done"
    assert finder.calls == 0


def test_a_file_that_kills_its_workers_ends_as_a_record(order: BatchOrder, items: Sequence[Item]) -> None:
    class Killed(BaseException):
        """Ends the work with no word, as SIGKILL does."""

    services = replace(fake_services(), transcriber=Failing(Killed()))
    for _ in range(MOST_STARTS):
        with pytest.raises(Killed):
            done(order, items[0], services)
    assert done(order, items[0], services).outcome == "failed"


def test_many_visits_that_end_well_are_no_deaths(order: BatchOrder, items: Sequence[Item]) -> None:
    idle = FileWork(order, fake_services(), lambda _group: False)
    for _ in range(MOST_STARTS + 1):
        assert asyncio.run(idle.do(items[0])) is None
    assert done(order, items[0]).outcome == "done"


def test_many_workers_at_once_bring_a_file_to_one_end(order: BatchOrder, items: Sequence[Item]) -> None:
    count = MOST_STARTS + 1

    async def all_at_once() -> list[Record | None]:
        works = (FileWork(order, fake_services()) for _ in range(count))
        return await asyncio.gather(*(work.do(items[2]) for work in works))

    records = asyncio.run(all_at_once())
    assert [record is not None and record.outcome for record in records] == ["done"] * count
    assert list(order.work_path.iterdir()) == []


def test_two_workers_on_one_file_do_nothing_twice(order: BatchOrder, items: Sequence[Item]) -> None:
    transcriber = Counting(fake_services().transcriber)
    services = replace(fake_services(), transcriber=transcriber)

    async def both() -> list[Record | None]:
        works = [FileWork(order, services), FileWork(order, services)]
        return await asyncio.gather(*(work.do(items[2]) for work in works))

    records = asyncio.run(both())
    assert [record is not None and record.outcome for record in records] == ["done", "done"]
    assert transcriber.calls == 1


def test_a_worker_without_the_model_leaves_the_file_to_the_next(
    order: BatchOrder, items: Sequence[Item]
) -> None:
    transcriber = Counting(fake_services().transcriber)
    services = replace(fake_services(), transcriber=transcriber)
    first = FileWork(order, services, lambda group: group in {"decode", "score", "listen"})
    assert asyncio.run(first.do(items[0])) is None
    assert transcriber.calls == 0
    finder = Counting(services.speech_finder)
    second = FileWork(order, replace(services, speech_finder=finder))
    record = asyncio.run(second.do(items[0]))
    assert record is not None and record.outcome == "done"
    assert finder.calls == 0


def test_a_damaged_record_makes_its_file_unfinished(order: BatchOrder, items: Sequence[Item]) -> None:
    done(order, items[0])
    record = Path(order.destination, ".batch", "transcription", "a.json")
    facts = json.loads(record.read_text())
    record.write_text(json.dumps({**facts, "outcome": "perhaps"}))
    assert finished(again(order), items[0]) is None


class Failing:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def transcribe(self, *_: object) -> None:
        raise self.error


class Counting:
    """A service that counts how often it is called."""

    def __init__(self, service: object) -> None:
        self._service = service
        self.calls = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        method = getattr(self._service, name)

        async def counted(*arguments: object) -> object:
            self.calls += 1
            return await method(*arguments)

        return counted
