from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streaming.events import QUEUE_LINES, EventLog, read_events


async def test_events_have_their_second_and_who_did_what(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", datetime.now(UTC) - timedelta(seconds=90))
    log.note("joined", "p_1", name="Anna ä", is_muted=False)
    log.note("ended")
    await log.close()
    joined, ended = read_events(tmp_path / "events.jsonl")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(str(joined.pop("at")))) < timedelta(seconds=60)
    at_s = joined.pop("at_s")
    assert isinstance(at_s, float)
    assert 90 <= at_s < 120
    assert joined == {"event": "joined", "participant": "p_1", "name": "Anna ä", "is_muted": False}
    assert set(ended) == {"at_s", "at", "event"}


async def test_a_line_torn_by_a_kill_is_left_out_and_the_next_process_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for number in range(2):
        log = EventLog(path, datetime.now(UTC))
        log.note("chat", "p_1", text=f"{number}\n\ud800")
        log.note("chat", "p_1", text="torn")
        await log.close()
        os.truncate(path, path.stat().st_size - 5)
    assert [str(event["text"])[0] for event in read_events(path)] == ["0", "1"]
    assert list(read_events(tmp_path / "none")) == []


async def test_a_chat_message_that_was_removed_is_read_no_more(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, datetime.now(UTC))
    log.note("chat", "p_1", id="1-1", text="my password is swordfish")
    log.note("chat", "p_2", id="1-2", text="می‌خواهم \u2028")
    log.note("chat_removed", "p_1", id="1-1")
    log.note("chat_removed", "p_1", id="0-9")  # said before the recording began
    await log.close()
    events = [(event["event"], event["id"], event.get("text")) for event in read_events(path)]
    assert events == [
        ("chat", "1-2", "می‌خواهم \u2028"),
        ("chat_removed", "1-1", None),
        ("chat_removed", "0-9", None),
    ]


_CHILD = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from streaming.events import EventLog
log = EventLog(Path(sys.argv[1]), datetime.now(UTC))
for number in range(100):
    log.note("chat", text=str(number))
time.sleep(0.5)
print("written", flush=True)
time.sleep(600)
"""


def test_what_was_noted_survives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CHILD, str(tmp_path / "events.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        child.kill()
    assert [event["text"] for event in read_events(tmp_path / "events.jsonl")] == list(map(str, range(100)))


async def test_a_disk_that_does_not_take_lines_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slow")
    reader = os.open(tmp_path / "slow", os.O_RDONLY | os.O_NONBLOCK)
    log = EventLog(tmp_path / "slow", datetime.now(UTC))
    for _ in range(QUEUE_LINES + 100):
        log.note("chat", text="x" * 2000)
    assert 0 < log.lost <= 100
    os.close(reader)  # the writer gets EPIPE
    await log.close()
