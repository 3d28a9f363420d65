"""Captions of a room: real peers speak, what fails is told and tried again, and the sound goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.recording import Clip
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.errors import Overloaded, ServiceUnavailable
from clearcast.speech.transcript import Transcript
from clearcast.speech.vtt import read_vtt
from streaming import captions as captions_module
from streaming.captions import BEHIND, Captions
from streaming.live_text.options import CaptionOptions
from streaming.messages import Caption, CaptionsChanged, Message, Pong
from streaming.opus import SAMPLE_RATE_HZ, Sound
from streaming.outbox import Outbox
from streaming.recorded_captions import captions_of
from streaming.recording_keeper import RecordedShow
from streaming.room import Room
from streaming.show_recording import ShowRecording
from streaming.testing.hall import NotingKeeper, OpenDoor, a_hall, a_room
from streaming.testing.peers import Ear, Guest, Mouth, listen, speak
from streaming.testing.spoken import Conversation, KnowsEveryWord, sittings_of

SAID = Conversation.of([(0.4, 3), (0.9, 4)])
OPTIONS = CaptionOptions()


def tone(conversation: Conversation) -> Sound:
    """Loud where there is a word, at 48 kHz, and a minute of silence."""
    times_s = np.arange(round((conversation.duration_s + 60) * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    loud = np.zeros(len(times_s), np.float32)
    for word in conversation.words:
        loud[(times_s >= word.start_s) & (times_s < word.end_s)] = 0.3
    return (loud * np.sin(2 * np.pi * 300 * times_s)).astype(np.float32)[:, np.newaxis]


@dataclass
class Flawed(KnowsEveryWord):
    """Attributes:
    flaw: what comes instead of an answer.
    """

    flaw: Exception | None = None

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        if self.flaw is not None:
            raise self.flaw
        return await super().transcribe(clip, options, progress)


@dataclass
class Show:
    """A room with captions, and what everybody was told."""

    room: Room
    transcriber: Flawed = field(default_factory=lambda: Flawed(SAID))
    most: int = 4
    told: list[Message] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    guests: list[Guest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sittings = sittings_of(self.transcriber, self.most)
        self.captions = Captions(self.sittings, self.room, str.upper, self.told.append, self.note, "user_1")

    def note(
        self, event: str, participant: str, start: datetime, end: datetime, **facts: str | float | bool
    ) -> None:
        self.noted.append(event)

    async def speak(self, mouth: Mouth) -> None:
        self.guests.append(await speak(self.room, "anna", mouth))
        self.captions.review()

    @property
    def lines(self) -> list[Caption]:
        return [one for one in self.told if isinstance(one, Caption) and one.is_final]

    @property
    def words(self) -> list[str]:
        return " ".join(line.text for line in self.lines).split()

    @property
    def troubles(self) -> dict[str, str]:
        states = [one for one in self.told if isinstance(one, CaptionsChanged)]
        return states[-1].troubles if states else {}

    async def until(self, is_so: Callable[[], bool]) -> None:
        """With the room's clock running."""
        async with asyncio.timeout(60):
            while not is_so():
                self.captions.look_after(asyncio.get_running_loop().time())
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self.captions.close()
        for guest in self.guests:
            await guest.close()
        await self.sittings.close()


@pytest.fixture
async def show(room: Room) -> AsyncIterator[Show]:
    show = Show(room)
    yield show
    await show.close()


async def test_lines_come_while_they_are_on_and_none_after(show: Show) -> None:
    mouth = Mouth(tone(SAID))
    await show.captions.switch(OPTIONS)
    await show.speak(mouth)
    await show.until(lambda: len(show.words) >= 3)
    await show.captions.switch(None)
    count, said = len(show.told), mouth.said
    assert show.words == [word.text for word in SAID.words][: len(show.words)]
    assert {(line.participant, line.name) for line in show.lines} == {("anna", "ANNA")}
    assert show.noted == ["caption"] * len(show.lines)
    await show.until(lambda: mouth.said > said + 150)  # 3 s more
    assert len(show.told) == count
    assert not show.sittings.count


async def test_a_recogniser_that_fails_is_told_and_tried_again_and_the_sound_goes_on(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions_module, "_RETRY_S", 0.5)
    ear, mouth = Ear(), Mouth(tone(Conversation.of([(0.4, 60)])))
    show.guests.append(await listen(show.room, ear))
    gone = ServiceUnavailable("Gone.")
    gone.retryable = False
    show.transcriber.flaw = gone
    await show.captions.switch(CaptionOptions(max_segment_s=2))
    await show.speak(mouth)
    await show.until(lambda: show.troubles == {"anna": "service_unavailable"})
    show.transcriber.flaw = RuntimeError("A mistake of ours.")
    await show.until(lambda: show.troubles == {"anna": "internal_error"})
    show.transcriber.flaw = None
    await show.until(lambda: bool(show.lines) and show.troubles == {})
    assert show.noted[0] == "caption_failed"
    assert len(ear.packets) > mouth.said - 50
    assert ear.receiver.counts.lost < 25


async def test_who_finds_no_place_is_told_and_has_one_when_one_is_free(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions_module, "_RETRY_S", 0.1)
    show = Show(room, most=1)
    other = show.sittings.caption(OPTIONS.checked(), lambda _: None, lambda: 0.0)
    with pytest.raises(Overloaded):
        await show.captions.switch(OPTIONS)
    assert show.captions.state().is_on is False
    await show.captions.switch(OPTIONS, must_fit=False)  # as a room does that has them of its own
    await show.speak(Mouth(tone(SAID)))
    await show.until(lambda: show.troubles == {"anna": "overloaded"})
    await other.close()
    await show.until(lambda: show.told != [] and show.troubles == {})
    await show.until(lambda: bool(show.lines))
    await show.close()


async def test_a_recogniser_that_does_not_answer_is_told_as_behind(show: Show) -> None:
    show.transcriber.takes_s = 7.0
    await show.captions.switch(CaptionOptions(partials=False, silence_s=0.2))
    await show.speak(Mouth(tone(SAID)))
    await show.until(lambda: show.troubles == {"anna": BEHIND})
    show.transcriber.takes_s = 0.0
    await show.until(lambda: show.troubles == {})
    assert show.words


async def test_what_is_being_said_when_a_recording_stops_is_in_it(room: Room) -> None:
    keeper, show = NotingKeeper(), Show(room, Flawed(Conversation.of([(0.2, 60)])))
    what = RecordedShow("room_1", "user_1", "show", False, str.upper, lambda _: None)
    recording = ShowRecording(keeper, what, room, lambda: None, show.captions.settle)
    recording.is_wanted = True
    show.captions._note = recording.note_said
    await show.captions.switch(OPTIONS)
    await show.speak(Mouth(tone(show.transcriber.conversation)))
    await recording.review()
    await show.until(lambda: any(isinstance(one, Caption) for one in show.told))
    recording.is_wanted = False
    await recording.review()
    (kept,) = keeper.recordings
    assert kept.is_stopped
    assert "caption" in kept.events
    await show.close()


async def test_a_room_that_is_changed_from_outside_has_captions_at_once() -> None:
    hall = a_hall(OpenDoor())
    room = hall.open(a_room(captions=True))
    assert room.captions.state().is_on
    for is_on in (False, True):
        hall.open(a_room(captions=is_on))
        async with asyncio.timeout(15):
            while room.captions.state().is_on is not is_on:
                await asyncio.sleep(0.01)
    await hall.close()


def caption(text: str, *, is_final: bool) -> Caption:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    return Caption(
        participant="p_1", name="Anna", is_final=is_final, text=text, start_s=0, end_s=1, at=at, id=None
    )


async def test_who_reads_slowly_does_without_half_heard_lines_and_gets_the_final_ones() -> None:
    outbox = Outbox(limit=20)
    for _ in range(9):
        outbox.put(Pong())
    for _ in range(50):
        outbox.put(caption("hal", is_final=False))
    outbox.put(caption("half", is_final=True))
    assert not outbox.overflowed
    told = [await outbox.next() for _ in range(10)]
    assert told[-1] == caption("half", is_final=True)


def test_the_captions_of_a_recording_are_in_the_order_they_were_said_with_names(tmp_path: Path) -> None:
    def event(start_s: float, text: str, **facts: object) -> str:
        made_by = "transcribe: spoken (test)"
        times = {"at_s": 9.0, "start_s": start_s, "end_s": start_s + 1.5}
        return json.dumps({**times, "event": "caption", "text": text, "made_by": made_by, **facts})

    lines = [
        event(4.0, "And I am Bela", name="Studio", speaker_id=1),
        event(1.0, "I am Anna", name="Studio", speaker_id=0, speaker="Anna"),
        json.dumps({"at_s": 5.0, "event": "chat", "id": "1", "name": "Anna", "text": "Hello"}),
        event(6.0, "Hello both", name="Cleo"),
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    text = captions_of(path, 8.0)
    assert text is not None
    assert "spoken (test)" in text
    segments = read_vtt(text).segments
    assert [(one.speaker, one.text) for one in segments] == [
        ("Anna", "I am Anna"),
        ("Studio (2)", "And I am Bela"),
        ("Cleo", "Hello both"),
    ]
    path.write_text("", encoding="utf-8")
    assert captions_of(path, 8.0) is None
