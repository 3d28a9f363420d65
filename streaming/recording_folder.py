"""A recording's folder: everything that is needed to finish it lies in it, whatever was killed.

    recording.json       what is recorded, written first and as a whole; `RecordingFacts`
    mix-001.opus …       what everybody heard, in parts that play on from one another
    original-<participant id>-001.opus …    a voice as it was received
    cleaned-<participant id>-001.opus …     the same after denoising, in rooms that can
    events.jsonl         chat, joins and leaves, a line each
    lock                 held by the process that writes or stores
    outgoing/            what is on its way into the blob store

Every track begins when the recording does: what was before its first packet, and between two packets, is
silence, so that tracks and events lie on one timeline.

What lives here: names, the facts, tracks and their parts, the lock. What does not: when to record, and
where files go afterwards.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, cast

from clearcast.errors import Conflict, FileFormatInvalid
from streaming.ogg_parts import Part, seal
from streaming.ogg_writer import OggOpusWriter, PartLimits, WriterOptions
from streaming.opus import SAMPLE_RATE_HZ
from streaming.recorder import Recorder

TrackRole = Literal["mix", "original", "cleaned"]

_PART = re.compile(r"(mix|original|cleaned)(?:-([A-Za-z0-9_-]{1,64}))?-(\d{3,})\.opus")
_FACTS, _EVENTS, _LOCK, _OUTGOING = "recording.json", "events.jsonl", "lock", "outgoing"


@dataclass(frozen=True, slots=True)
class Track:
    """One sound of a recording; `voice` is its participant's id, empty for the mix."""

    role: TrackRole
    voice: str = ""

    @property
    def stem(self) -> str:
        return f"{self.role}-{self.voice}" if self.voice else self.role


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """What `recording.json` says. Attributes:
    id, room_id, owner_id: as in the records.
    room_name: when the recording began.
    is_transcribed: whether the recording becomes a meeting job.
    started_at: in UTC; second 0 of every track.
    stopped_at: when somebody, or the disk, ended it; None while it runs, or was broken off.
    failure: why it ended by itself, or what it lacks; None when it is whole.
    voices: the names of participants by their ids.
    """

    id: str
    room_id: str
    owner_id: str
    room_name: str
    is_transcribed: bool
    started_at: datetime
    stopped_at: datetime | None = None
    failure: str | None = None
    voices: dict[str, str] = field(default_factory=dict)

    def pack(self) -> bytes:
        content = {"clearcast": 1, "type": "recording", **asdict(self)}
        return json.dumps(content, ensure_ascii=False, indent=1, default=datetime.isoformat).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Raises FileFormatInvalid."""
        try:
            content = json.loads(data)
            if (content.pop("clearcast"), content.pop("type")) != (1, "recording"):
                raise FileFormatInvalid("This is no recording.json that is known here.")
            content["started_at"] = datetime.fromisoformat(content["started_at"])
            if content["stopped_at"] is not None:
                content["stopped_at"] = datetime.fromisoformat(content["stopped_at"])
            return cls(**content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileFormatInvalid("A recording.json cannot be read.") from error


class RecordingFolder:
    """A folder that this process holds. Everything here blocks but `failure`, `lost_packets`.

    Attributes:
        facts: as they lie on the disk.
        tracks: finished parts with sound in them, in order; as the last `seal` found them.
    """

    def __init__(self, path: Path, lock: int, facts: RecordingFacts, limits: PartLimits) -> None:
        self.path, self.facts = path, facts
        self.tracks: dict[Track, tuple[Part, ...]] = {}
        self._lock, self._limits = lock, limits
        self._recorders: dict[Track, Recorder] = {}  # the last one of each
        self._heard: dict[Track, int] = {}  # samples before it
        self._lost_packets = 0
        self._failure: Exception | None = None

    @classmethod
    def create(cls, path: Path, facts: RecordingFacts, limits: PartLimits = PartLimits()) -> Self:
        """Raises OSError, FileExistsError among them."""
        path.mkdir(parents=True, mode=0o700)
        try:
            (path / _OUTGOING).mkdir(mode=0o700)  # now: a disk that is full later has no room for it
            folder = cls(path, _lock(path), facts, limits)
            folder.write(facts)
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return folder

    @classmethod
    def take(cls, path: Path, limits: PartLimits = PartLimits()) -> Self:
        """The folder as its writer left it, its parts sealed.

        Raises Conflict when it is held already, FileFormatInvalid when it says nothing, OSError.
        """
        lock = _lock(path)
        try:
            folder = cls(path, lock, RecordingFacts.unpack((path / _FACTS).read_bytes()), limits)
            folder.seal()
        except BaseException:
            os.close(lock)
            raise
        return folder

    @property
    def events_path(self) -> Path:
        return self.path / _EVENTS

    @property
    def outgoing(self) -> Path:
        """The folder of what is on its way out."""
        return self.path / _OUTGOING

    @property
    def duration_s(self) -> float:
        """Of the longest track."""
        return max((sum(part.duration_s for part in parts) for parts in self.tracks.values()), default=0.0)

    @property
    def size_bytes(self) -> int:
        """Of all that lies in it now."""
        return sum(entry.stat().st_size for entry in os.scandir(self.path) if entry.is_file())

    @property
    def failure(self) -> Exception | None:
        """What stopped one of the recorders, or kept it from beginning, if anything did."""
        failures = (recorder.failure for recorder in self._recorders.values())
        return self._failure or next((failure for failure in failures if failure is not None), None)

    @property
    def voices(self) -> set[str]:
        """Who was recorded by this process."""
        return {track.voice for track in self._recorders if track.voice}

    @property
    def lost_packets(self) -> int:
        """That the disk was too slow for, in all tracks."""
        return self._lost_packets + sum(recorder.lost for recorder in self._recorders.values())

    def write(self, facts: RecordingFacts) -> None:
        """Whole or not at all. Raises OSError."""
        partial = self.path / f".{_FACTS}"
        with partial.open("wb") as file:
            file.write(facts.pack())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path / _FACTS)
        self.facts = facts

    def seal(self) -> None:
        """Finish the parts that lie there: torn pages cut off, ends marked. Raises OSError."""
        found: dict[Track, tuple[Part, ...]] = {}
        for track, _, path in _part_paths(self.path):
            part = seal(path)
            if part is not None:
                found[track] = (*found.get(track, ()), part)
        self.tracks = found
        self._recorders.clear()
        self._heard = {track: sum(part.samples for part in parts) for track, parts in found.items()}

    def open_track(self, track: Track, channels: int, pre_skip_samples: int) -> Recorder:
        """Record this track from now on, behind what lies there of it. Raises OSError."""
        before = self._recorders.pop(track, None)
        heard = self._heard.get(track, 0)
        if before is not None:
            heard += before.written_samples
            self._lost_packets += before.lost
            self._failure = self._failure or before.failure
        self._heard[track] = heard
        try:
            writer = self._writer(track, channels, pre_skip_samples)
        except OSError as error:
            self._failure = error
            raise
        self._recorders[track] = Recorder(writer, lambda: self._elapsed_samples() - heard)
        return self._recorders[track]

    def _writer(self, track: Track, channels: int, pre_skip_samples: int) -> OggOpusWriter:
        numbers = [number for known, number, _ in _part_paths(self.path) if known == track]
        options = WriterOptions(
            channels=channels,
            pre_skip_samples=pre_skip_samples,
            tags={"TITLE": self.facts.room_name, "DATE": self.facts.started_at.date().isoformat()},
            limits=self._limits,
            first_part=max(numbers, default=0) + 1,
        )
        return OggOpusWriter(self.path / f"{track.stem}.opus", options)

    def _elapsed_samples(self) -> int:
        """Since the recording began, by the wall clock: it goes on over restarts."""
        return round((datetime.now(UTC) - self.facts.started_at).total_seconds() * SAMPLE_RATE_HZ)

    def remove(self) -> None:
        """The folder with all that is in it, and let go of it. Raises OSError.

        Out of sight first: half a folder is never taken for a recording.
        """
        gone = self.path.with_name(f".{self.path.name}")
        self.path.rename(gone)
        shutil.rmtree(gone)
        self.release()

    def release(self) -> None:
        """Another may take it."""
        os.close(self._lock)


def look(path: Path) -> tuple[RecordingFacts, datetime]:
    """What a folder says, and when sound was last written to it (UTC), without taking it.

    Raises FileFormatInvalid, OSError.
    """
    facts = RecordingFacts.unpack((path / _FACTS).read_bytes())
    times_s = [part.stat().st_mtime for _, _, part in _part_paths(path)]
    written = (datetime.fromtimestamp(time_s, UTC) for time_s in times_s)
    return facts, max(written, default=facts.started_at)


def _lock(folder: Path) -> int:
    """Goes with its process. Raises Conflict."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Conflict("Somebody writes to this recording.") from None
    return descriptor


def _part_paths(folder: Path) -> list[tuple[Track, int, Path]]:
    """(track, number, path) of every part, in order."""
    found = []
    for entry in os.scandir(folder):
        match = _PART.fullmatch(entry.name)
        if match is not None:
            track = Track(cast(TrackRole, match[1]), match[2] or "")
            found.append((track, int(match[3]), Path(entry.path)))
    return sorted(found, key=lambda one: (one[0].stem, one[1]))
