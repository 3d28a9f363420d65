"""Stages of one file on disk: each is done once, by whoever comes first."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from clearcast.engines.engine import Progress, ignore_progress
from pipelines.batch.stages import SharedStages, StageElsewhere, WorkGone
from pipelines.stages import Piece, run_pieces

TYPES = {"number": int, "nothing": type(None)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stages").mkdir()
    return tmp_path


class Work:
    """Gives `value` after giving others a turn, and counts how often it was done."""

    def __init__(self, value: int) -> None:
        self.value, self.done = value, 0

    async def __call__(self, _report: Progress) -> int:
        self.done += 1
        await asyncio.sleep(0.01)
        return self.value


async def test_a_finished_stage_is_found_by_a_later_process(folder: Path) -> None:
    work = Work(7)
    assert await SharedStages(folder, TYPES)("number", work, ignore_progress) == 7
    later = SharedStages(folder, TYPES)
    assert await later("number", work, ignore_progress) == 7
    assert work.done == 1
    assert later.seconds["number"] >= 0.01


async def test_a_stage_that_gives_nothing_is_found_too(folder: Path) -> None:
    async def nothing(_report: Progress) -> None:
        calls.append(1)

    calls: list[int] = []
    for _ in range(2):
        assert await SharedStages(folder, TYPES)("nothing", nothing, ignore_progress) is None
    assert calls == [1]


async def test_two_at_once_do_a_stage_once(folder: Path) -> None:
    work = Work(7)
    both = (SharedStages(folder, TYPES) for _ in range(2))
    assert await asyncio.gather(*(one("number", work, ignore_progress) for one in both)) == [7, 7]
    assert work.done == 1


async def test_two_share_the_pieces_of_a_long_recording(folder: Path) -> None:
    works = [Work(number) for number in range(8)]
    done_by: list[list[int]] = [[], []]

    async def go(who: int) -> list[int]:
        def piece(number: int) -> Piece[int]:
            async def work(report: Progress) -> int:
                done_by[who].append(number)
                return await works[number](report)

            return Piece(f"number/{number}", work, ignore_progress)

        stages = SharedStages(folder, TYPES)
        return await run_pieces(stages, [piece(number) for number in range(8)])

    assert await asyncio.gather(go(0), go(1)) == [list(range(8))] * 2
    assert sorted(done_by[0] + done_by[1]) == list(range(8))
    assert min(map(len, done_by)) >= 3


def test_a_killed_process_leaves_no_lock(folder: Path) -> None:
    holder = """
        import asyncio, sys
        from pathlib import Path
        from pipelines.batch.stages import SharedStages

        async def work(_report):
            print("in it", flush=True)
            await asyncio.sleep(600)

        stages = SharedStages(Path(sys.argv[1]), {"number": int})
        asyncio.run(stages("number", work, lambda _: None))
    """
    command = [sys.executable, "-c", textwrap.dedent(holder), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in it\n"
        process.kill()
    assert asyncio.run(SharedStages(folder, TYPES)("number", Work(7), ignore_progress)) == 7


async def test_a_stage_for_other_workers_is_left_to_them(folder: Path) -> None:
    work = Work(7)
    with pytest.raises(StageElsewhere):
        await SharedStages(folder, TYPES, lambda group: group != "number")("number", work, ignore_progress)
    assert work.done == 0


async def test_no_stage_is_begun_when_the_folder_is_gone(folder: Path) -> None:
    stages, work = SharedStages(folder, TYPES), Work(7)
    shutil.rmtree(folder / "stages")
    with pytest.raises(WorkGone):
        await stages("number", work, ignore_progress)
    assert work.done == 0
