"""Every word that was said is in exactly one line, whatever the pauses and however slow the recogniser."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.errors import ServiceUnavailable
from clearcast.testing.services import FakeEmbedder
from streaming.live_text.desk import RecognitionDesk
from streaming.live_text.lines import Failed, Lag, Line, LiveEvent, Partial
from streaming.live_text.options import LiveOptions
from streaming.live_text.session import LiveTranscription
from streaming.live_text.sound import SoundTrail
from streaming.live_text.speakers import VoicesHeard
from streaming.live_text.utterances import UtteranceWatch
from streaming.testing.spoken import Conversation, KnowsEveryWord, LoudIsSpeech

PIECE = SAMPLE_RATE_HZ // 10


@dataclass
class Stuck:
    """A call of the recogniser that never ends by itself."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.set()


@dataclass
class Show:
    """One transcription of a conversation, and what it told."""

    conversation: Conversation
    folder: Path
    options: LiveOptions = field(default_factory=lambda: LiveOptions(speakers=0))
    at_once: int = 1
    is_sooner_with_less: bool = True
    stops_soon: bool = False
    told: list[LiveEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recogniser = KnowsEveryWord(self.conversation)

    def open(self) -> LiveTranscription:
        self.folder.mkdir(exist_ok=True)
        return LiveTranscription(
            RecognitionDesk(
                self.recogniser,
                self.at_once,
                is_sooner_with_less=self.is_sooner_with_less,
                stops_soon=self.stops_soon,
            ),
            UtteranceWatch(LoudIsSpeech(), self.options),
            SoundTrail(self.folder),
            VoicesHeard(FakeEmbedder(), self.options.speakers, self.options.similarity),
            self.options,
            self.told.append,
        )

    async def run(self, *, in_step: bool = True) -> None:
        """All of it; `in_step` lets the recogniser finish after every piece."""
        transcription = self.open()
        sound = self.conversation.sound()
        for at in range(0, len(sound), PIECE):
            await transcription.push(sound[at : at + PIECE])
            for _ in range(20 if in_step else 1):
                await asyncio.sleep(0)
        await transcription.finish()
        await transcription.close()

    def stick_once(self) -> Stuck:
        """The recogniser's first call is stuck."""
        works, stuck = self.recogniser.transcribe, Stuck()

        async def is_stuck_once(clip, options, progress=lambda _: None):  # type: ignore[no-untyped-def]
            if not stuck.begun.is_set():
                await stuck.wait()
            return await works(clip, options, progress)

        self.recogniser.transcribe = is_stuck_once  # type: ignore[method-assign]
        return stuck

    @property
    def lines(self) -> list[Line]:
        return [event for event in self.told if isinstance(event, Line)]

    @property
    def words(self) -> list[str]:
        return " ".join(line.text for line in self.lines).split()

    @property
    def said(self) -> list[str]:
        return [word.text for word in self.conversation.words]


PHRASES = st.lists(st.tuples(st.floats(0.05, 2.0), st.integers(1, 30)), min_size=1, max_size=6)


@given(PHRASES, st.booleans())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_word_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, phrases: Sequence[tuple[float, int]], in_step: bool
) -> None:
    show = Show(Conversation.of(phrases), tmp_path_factory.mktemp("live"))
    asyncio.run(show.run(in_step=in_step))
    assert show.words == show.said
    assert [line.id for line in show.lines] == list(range(1, len(show.lines) + 1))
    assert all(
        one.end_s <= other.start_s + 1e-6 for one, other in zip(show.lines, show.lines[1:], strict=False)
    )


async def test_a_pause_ends_a_line_and_its_text_was_made_in_the_pause(tmp_path: Path) -> None:
    show = Show(Conversation.of([(0.5, 4), (1.0, 3)]), tmp_path, LiveOptions(speakers=0, partials=False))
    await show.run()
    assert [len(line.words) for line in show.lines] == [4, 3]
    assert len(show.recogniser.asked) == 2  # the guess in each pause was right


async def test_previews_grow_and_only_grow_where_they_are_stable(tmp_path: Path) -> None:
    show = Show(Conversation.of([(0.2, 12)]), tmp_path)
    await show.run()
    partials = [event for event in show.told if isinstance(event, Partial)]
    assert len(partials) >= 2
    assert partials[0].end_s < 1.2
    for before, after in pairwise(partials):
        assert after.text.startswith(before.text[: before.stable])
    assert show.words == show.said


@pytest.mark.parametrize("settles", [True, False])
async def test_what_is_settled_of_a_long_utterance_is_not_heard_again(
    tmp_path: Path, settles: bool
) -> None:
    show = Show(Conversation.of([(0.2, 17)]), tmp_path, is_sooner_with_less=settles)
    await show.run()
    assert show.words == show.said
    assert len(show.lines) == 1
    last = show.recogniser.asked[-1]
    assert last.end_s is not None
    heard_s = last.end_s - last.start_s
    assert heard_s < 5.0 if settles else heard_s > 6.5


@pytest.mark.parametrize("partials", [False, True], ids=["a guess", "a preview"])
async def test_what_is_outdated_is_given_up_where_the_recogniser_can_be_stopped(
    tmp_path: Path, partials: bool
) -> None:
    """Two phrases of one line: the guess in the pause, or the preview of the first, would take for ever."""
    options = LiveOptions(speakers=0, partials=partials)
    show = Show(Conversation.of([(0.2, 4), (0.3, 4)]), tmp_path, options, stops_soon=True)
    stuck = show.stick_once()
    async with asyncio.timeout(20):
        await show.run()
    assert stuck.given_up.is_set()
    assert show.words == show.said
    assert len(show.lines) == 1


async def test_a_line_does_not_wait_for_a_preview_where_two_can_be_made_at_a_time(tmp_path: Path) -> None:
    show = Show(Conversation.of([(0.2, 4)]), tmp_path, at_once=2)
    stuck = show.stick_once()
    async with asyncio.timeout(20):
        await show.run()
    assert stuck.begun.is_set()
    assert show.words == show.said


async def test_a_slow_recogniser_says_so_and_loses_nothing(tmp_path: Path) -> None:
    show = Show(Conversation.of([(0.6, 3)] * 12), tmp_path)
    show.recogniser.takes_s = 0.02
    await show.run(in_step=False)
    lags = [event for event in show.told if isinstance(event, Lag)]
    assert [lag.is_behind for lag in lags[:2]] == [True, False]
    assert show.words == show.said
    assert len(show.recogniser.asked) < 12  # several utterances at a time


async def test_an_overloaded_recogniser_is_asked_again(tmp_path: Path) -> None:
    show = Show(Conversation.of([(0.5, 3)]), tmp_path, LiveOptions(speakers=0, partials=False))
    show.recogniser.overloads = 2
    await show.run()
    assert show.words == show.said
    assert not [event for event in show.told if isinstance(event, Failed)]


async def test_a_stretch_that_fails_is_told_and_the_next_one_comes(tmp_path: Path) -> None:
    show = Show(Conversation.of([(0.5, 3), (1.0, 2)]), tmp_path, LiveOptions(speakers=0, partials=False))
    works = show.recogniser.transcribe

    async def fails_first(clip, options, progress=lambda _: None):  # type: ignore[no-untyped-def]
        if options.speech[0].start_s < 1:
            error = ServiceUnavailable("Gone.")
            error.retryable = False
            raise error
        return await works(clip, options, progress)

    show.recogniser.transcribe = fails_first  # type: ignore[method-assign]
    await show.run()
    failed = [event for event in show.told if isinstance(event, Failed)]
    assert [event.error.code for event in failed] == ["service_unavailable"]
    assert show.words == ["word3", "word4"]


async def test_flush_tells_the_line_at_once(tmp_path: Path) -> None:
    show = Show(Conversation.of([(0.1, 5)]), tmp_path)
    transcription = show.open()
    await transcription.push(show.conversation.sound()[: 2 * SAMPLE_RATE_HZ])
    assert not show.lines
    await transcription.flush()
    assert show.words[:4] == show.said[:4]
    await transcription.close()


async def test_silence_is_nothing(tmp_path: Path) -> None:
    show = Show(Conversation((), 5.0), tmp_path)
    await show.run()
    assert not show.told
    assert not show.recogniser.asked
    assert np.any(show.conversation.sound()) == np.False_
