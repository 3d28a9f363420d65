from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import soundfile

from clearcast.errors import Conflict, FileFormatInvalid
from streaming.listeners import EncodedFrame
from streaming.ogg_writer import PartLimits
from streaming.recording_folder import RecordingFacts, RecordingFolder, Track
from streaming.testing.chirps import chirps, onsets
from tests.streaming.test_ogg_writer import encoded

MIX = Track("mix")


def recording_facts(ago_s: float = 0.0) -> RecordingFacts:
    started_at = datetime.now(UTC) - timedelta(seconds=ago_s)
    return RecordingFacts(
        "rec_1", "room_1", "user_1", "Standup", True, started_at, voices={"p_1": "Anna ä"}
    )


async def record(folder: RecordingFolder, track: Track, seconds: float) -> None:
    recorder = folder.open_track(track, 1, 312)
    for packet, position in encoded(chirps(seconds)):
        recorder.put_encoded(EncodedFrame(position, 960, packet))
    await recorder.close()


def test_the_folder_says_what_it_is(tmp_path: Path) -> None:
    facts = recording_facts()
    folder = RecordingFolder.create(tmp_path / "live" / "rec_1", facts)
    written = json.loads((folder.path / "recording.json").read_text())
    assert (written["room_id"], written["owner_id"], written["voices"]) == (
        "room_1",
        "user_1",
        {"p_1": "Anna ä"},
    )
    stopped = replace(facts, stopped_at=datetime.now(UTC), failure="storage_full")
    folder.write(stopped)
    folder.release()
    taken = RecordingFolder.take(folder.path)
    assert taken.facts == stopped
    taken.remove()
    assert list((tmp_path / "live").iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"clearcast": 2, "type": "recording"}', b'{"clearcast": 1}']
)
def test_a_folder_that_says_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "recording.json").write_bytes(content)
    for _ in range(2):  # it is let go of
        with pytest.raises(FileFormatInvalid):
            RecordingFolder.take(tmp_path)


_HOLDER = """
import sys, time
from pathlib import Path
from streaming.recording_folder import RecordingFolder
RecordingFolder.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_who_holds_it_is_alone_until_killed(tmp_path: Path) -> None:
    folder = RecordingFolder.create(tmp_path / "rec_1", recording_facts())
    with pytest.raises(Conflict):
        RecordingFolder.take(folder.path)
    folder.release()
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder.path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(Conflict):
            RecordingFolder.take(folder.path)
        child.kill()
    RecordingFolder.take(folder.path).release()


async def test_tracks_go_on_behind_what_lies_there_and_share_one_timeline(tmp_path: Path) -> None:
    folder = RecordingFolder.create(tmp_path / "rec_1", recording_facts(ago_s=3.0))
    await record(folder, MIX, 1.0)
    await record(folder, Track("original", "p_1"), 2.0)
    folder.release()
    torn = folder.path / "mix-001.opus"
    os.truncate(torn, torn.stat().st_size - 10)

    folder = RecordingFolder.take(folder.path)
    assert {track.stem: len(parts) for track, parts in folder.tracks.items()} == {
        "mix": 1,
        "original-p_1": 1,
    }
    folder.write(replace(folder.facts, started_at=folder.facts.started_at - timedelta(seconds=60)))
    await record(folder, MIX, 1.0)
    folder.seal()
    first, second = folder.tracks[MIX]
    assert second.path.name == "mix-002.opus"
    assert 3.0 < first.duration_s < 4.5
    heard, _ = soundfile.read(second.path, dtype="float32")
    at_s = first.duration_s + onsets(heard)[0] / 48_000
    print(f"goes on at {at_s:.2f} s of the recording")
    assert 62.9 < at_s < 75.0
    assert folder.duration_s == pytest.approx(first.duration_s + second.duration_s)
    folder.release()


async def test_limits_hold_for_each_part(tmp_path: Path) -> None:
    folder = RecordingFolder.create(tmp_path / "rec_1", recording_facts(), PartLimits(max_bytes=14_000))
    await record(folder, MIX, 6.0)
    folder.seal()
    names = [part.path.name for part in folder.tracks[MIX]]
    assert names == [f"mix-{number:03d}.opus" for number in range(1, len(names) + 1)]
    assert len(names) >= 3
    assert all(part.size_bytes < 22_000 for part in folder.tracks[MIX])
    assert folder.size_bytes >= sum(part.size_bytes for part in folder.tracks[MIX])
    folder.release()
