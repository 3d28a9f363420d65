"""From a finished recording's folder to stored files, and to the job that is made of them.

What lives here: the steps, each of which may be done again after a kill. The folder stays whole until
everything is stored and said so, and a step that is done again finds what it needs. What does not:
recording, and when a folder's turn comes (`recordings`).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from clearcast.errors import NotFound
from clearcast.storage.blob_files import room_on_disk
from clearcast.storage.files import FileRecord
from clearcast.storage.intake import Intake
from clearcast.storage.room_recordings import RecordedPart, RecordingRecord, RoomRecordings
from streaming.events import read_events
from streaming.ogg_parts import Part, join
from streaming.ogg_writer import PartLimits
from streaming.recorded_captions import captions_of
from streaming.recording_folder import RecordingFacts, RecordingFolder, Track

logger = logging.getLogger(__name__)

NO_SOUND = "no_sound"


@dataclass(frozen=True, slots=True)
class MeetingOrder:
    """What is asked for when a recording is to be transcribed. Attributes:
    files: (file id, name) of the mix, in order.
    label: for people to know the job by.
    """

    owner_id: str
    recording_id: str
    files: tuple[tuple[str, str], ...]
    label: str


OrderMeeting = Callable[[MeetingOrder], str]
"""Gives the job's id. Asked again for the same recording, it gives the same job. Blocks; raises Overloaded,
ServiceUnavailable, NotFound."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """One file to be stored: one part, or several that become one."""

    what: RecordedPart
    track: Track
    parts: tuple[Part, ...]
    start_s: float

    @property
    def duration_s(self) -> float:
        return sum(part.duration_s for part in self.parts)


class RecordingStore:
    """Everything here blocks."""

    def __init__(
        self, recordings: RoomRecordings, intake: Intake, limits: PartLimits, order_meeting: OrderMeeting
    ) -> None:
        """`limits`: parts of a track become one file up to them."""
        self._recordings = recordings
        self._intake = intake
        self._limits = limits
        self._order_meeting = order_meeting

    def store(self, folder: RecordingFolder) -> None:
        """All of it, and then the folder goes. One whose records were erased goes at once.

        Raises StorageFull, ServiceUnavailable, Overloaded, OSError; the folder is as good as before then.
        """
        facts = folder.facts
        kept: list[FileRecord] = []
        try:
            record = self._begin(folder)
            if folder.tracks:
                self._keep_all(folder, record, kept)
                job_id = self._order(record, facts, kept)
                self._recordings.move(facts.owner_id, facts.id, "stored", job_id)
        except NotFound:  # erased, meanwhile perhaps: what came after the erasure goes, too
            logger.info("a recording was erased before it was stored", extra={"recording_id": facts.id})
            for file in kept:
                with suppress(NotFound):
                    self._intake.drop(facts.owner_id, file.id)
        folder.remove()

    def _begin(self, folder: RecordingFolder) -> RecordingRecord:
        facts = folder.facts
        ended_at = facts.stopped_at or facts.started_at + timedelta(seconds=folder.duration_s)
        if folder.tracks:
            return self._recordings.move(
                facts.owner_id, facts.id, "storing", ended_at=ended_at, failure=facts.failure
            )
        return self._recordings.move(
            facts.owner_id, facts.id, "failed", ended_at=ended_at, failure=facts.failure or NO_SOUND
        )

    def _keep_all(self, folder: RecordingFolder, record: RecordingRecord, kept: list[FileRecord]) -> None:
        facts = folder.facts
        stored: list[tuple[_Planned, FileRecord]] = []
        for planned in self._plan(folder):
            source = _outgoing(folder, planned)
            file = self._recordings.keep(
                self._intake, record, planned.what, _file_name(facts, planned), source
            )
            stored.append((planned, file))
            kept.append(file)
        source = folder.outgoing / "events.json"
        with room_on_disk():
            _write_sidecar(source, folder, record, stored)
        name = f"{_title(facts)} events.json"
        kept.append(self._recordings.keep(self._intake, record, RecordedPart("events"), name, source))
        captions = captions_of(folder.events_path, folder.duration_s)
        if captions is not None:
            source = folder.outgoing / "captions.vtt"
            with room_on_disk():
                source.write_text(captions, encoding="utf-8")
            name = f"{_title(facts)} captions.vtt"
            kept.append(self._recordings.keep(self._intake, record, RecordedPart("captions"), name, source))

    def _plan(self, folder: RecordingFolder) -> Iterator[_Planned]:
        """The same for the same folder."""
        for track, parts in folder.tracks.items():
            name = folder.facts.voices.get(track.voice, "")
            start_s = 0.0
            for number, group in enumerate(self._groups(parts)):
                what = RecordedPart(track.role, track.voice, name, number)
                yield _Planned(what, track, group, start_s)
                start_s += sum(part.duration_s for part in group)

    def _groups(self, parts: Sequence[Part]) -> Iterator[tuple[Part, ...]]:
        """Parts that become one file."""
        group: tuple[Part, ...] = ()
        for part in parts:
            size_bytes = sum(one.size_bytes for one in group) + part.size_bytes
            duration_s = sum(one.duration_s for one in group) + part.duration_s
            fits = size_bytes <= self._limits.max_bytes and duration_s <= self._limits.max_duration_s
            if group and not fits:
                yield group
                group = ()
            group = (*group, part)
        yield group

    def _order(
        self, record: RecordingRecord, facts: RecordingFacts, kept: Sequence[FileRecord]
    ) -> str | None:
        """The job's id, if there is to be one."""
        if not facts.is_transcribed or record.job_id is not None:
            return record.job_id
        ids = {file.id for file in kept}
        known = self._recordings.get(facts.owner_id, facts.id).files
        mix = tuple(
            (one.file_id, one.name) for one in known if one.part.role == "mix" and one.file_id in ids
        )
        return (
            self._order_meeting(MeetingOrder(facts.owner_id, facts.id, mix, _title(facts))) if mix else None
        )


def _outgoing(folder: RecordingFolder, planned: _Planned) -> Path:
    """A file that may be taken away: the folder keeps its own."""
    target = folder.outgoing / f"{planned.track.stem}-{planned.what.part}.opus"
    target.unlink(missing_ok=True)
    paths = [part.path for part in planned.parts]
    with room_on_disk():
        if len(paths) > 1:
            join(paths, target)
            return target
        try:
            os.link(paths[0], target)  # takes no room
        except OSError:  # a file system without links
            shutil.copyfile(paths[0], target)
    return target


def _title(facts: RecordingFacts) -> str:
    name = facts.room_name.replace("/", "-").replace("\\", "-")
    return f"{name} {facts.started_at:%Y-%m-%d %H.%M}"


def _file_name(facts: RecordingFacts, planned: _Planned) -> str:
    whose = planned.what.participant or planned.what.participant_id
    words = [_title(facts), planned.what.role, whose.replace("/", "-").replace("\\", "-")]
    if planned.what.part:
        words.append(str(planned.what.part + 1))
    return " ".join(word for word in words if word) + ".opus"


def _events(path: Path) -> Iterator[dict[str, object]]:
    """All but the chat that was taken back."""
    removed = {event.get("id") for event in read_events(path) if event.get("event") == "chat_removed"}
    for event in read_events(path):
        if event.get("event") != "chat" or event.get("id") not in removed:
            yield event


def _write_sidecar(
    target: Path,
    folder: RecordingFolder,
    record: RecordingRecord,
    stored: Sequence[tuple[_Planned, FileRecord]],
) -> None:
    """What happened and which file is what, as JSON; memory stays flat however much was said."""
    facts = folder.facts
    head = {
        "clearcast": 1,
        "type": "room_recording",
        "recording_id": facts.id,
        "room": {"id": facts.room_id, "name": facts.room_name},
        "started_at": facts.started_at.isoformat(),
        "duration_s": round(folder.duration_s, 3),
        "failure": record.failure,
        "participants": [{"id": voice, "name": name} for voice, name in sorted(facts.voices.items())],
        "files": [
            {
                "file_id": file.id,
                "name": file.name,
                "role": planned.what.role,
                "participant": planned.what.participant_id or None,
                "start_s": round(planned.start_s, 3),
                "duration_s": round(planned.duration_s, 3),
            }
            for planned, file in stored
        ],
    }
    with target.open("w", encoding="utf-8") as sidecar:
        sidecar.write(json.dumps(head, ensure_ascii=False, indent=1)[:-2] + ',\n "events": [')
        separator = "\n  "
        for event in _events(folder.events_path):
            sidecar.write(separator + json.dumps(event, ensure_ascii=False))
            separator = ",\n  "
        sidecar.write("\n ]\n}\n")
