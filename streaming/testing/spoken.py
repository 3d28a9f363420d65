"""A made-up conversation: sound in which anybody can tell when somebody speaks, and a recogniser that knows
every word of it.

What lives here: stand-ins for a voice activity network and a recogniser, to test what is done with their
answers. What does not: anything about real speech.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, Clip, FloatAudio
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.engines.voice_activity._segmenting import FRAME_SAMPLES
from clearcast.errors import Overloaded
from clearcast.ids import new_id
from clearcast.services import Transcriber
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript, Word
from clearcast.storage.voices import VoiceSample
from clearcast.testing.services import FakeEmbedder
from streaming.live_text.desk import RecognitionDesk
from streaming.live_text.sitting import LiveParts
from streaming.live_text.sittings import Sittings
from streaming.live_text.speakers import KnownVoice

_MADE_BY = Provenance("transcribe", "spoken", "test")


@dataclass(frozen=True, slots=True)
class Conversation:
    """Words with their times; sound is loud where there is one and silent elsewhere."""

    words: tuple[Word, ...]
    duration_s: float

    @classmethod
    def of(cls, phrases: Sequence[tuple[float, int]], word_s: float = 0.4) -> Conversation:
        """Phrases as (pause before it in seconds, number of words)."""
        words: list[Word] = []
        at_s = 0.0
        for pause_s, count in phrases:
            at_s += pause_s
            for _ in range(count):
                words.append(Word(at_s, at_s + word_s, f"word{len(words)}"))
                at_s += word_s
        return cls(tuple(words), at_s + 1.0)

    def sound(self) -> FloatAudio:
        samples = np.zeros(round(self.duration_s * SAMPLE_RATE_HZ), np.float32)
        for word in self.words:
            samples[round(word.start_s * SAMPLE_RATE_HZ) : round(word.end_s * SAMPLE_RATE_HZ)] = 0.1
        return samples


class LoudIsSpeech:
    """In place of a `FrameScorer`: what is loud is speech."""

    def score(self, samples: FloatAudio) -> FloatAudio:
        powers = np.square(samples.reshape(-1, FRAME_SAMPLES)).mean(axis=1)
        return np.where(powers > 1e-4, 0.9, 0.02).astype(np.float32)


@dataclass
class KnowsEveryWord:
    """A `Transcriber` that gives the words whose middle lies in the speech it is asked for.

    Attributes:
        takes_s: so long it works on a call.
        overloads: so many calls are refused first.
        asked: the clips so far.
    """

    conversation: Conversation
    takes_s: float = 0.0
    overloads: int = 0
    asked: list[Clip] = field(default_factory=list)

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        self.asked.append(clip)
        await asyncio.sleep(self.takes_s)
        if self.overloads:
            self.overloads -= 1
            raise Overloaded("Too much work waits.")
        words = tuple(
            word
            for word in self.conversation.words
            if any(
                span.start_s <= (word.start_s + word.end_s) / 2 < span.end_s
                for span in options.speech or ()
            )
        )
        text = " ".join(word.text for word in words)
        segments = (Segment(words[0].start_s, words[-1].end_s, text, words),) if words else ()
        return Transcript(segments, "en", self.conversation.duration_s, (_MADE_BY,))


def sittings_of(transcriber: Transcriber, most: int = 4) -> Sittings:
    """At most so many transcriptions by this one, with nobody to tell apart; what is loud is speech."""
    embedder = FakeEmbedder()
    parts = LiveParts(
        desk=RecognitionDesk(transcriber),
        embedder=embedder,
        finder=embedder,
        new_scorer=LoudIsSpeech,
        make_sample=_no_sample,
        enrolled=_nobody,
        recogniser=_MADE_BY,
        languages=("en",),
    )
    return Sittings(parts, Path(tempfile.gettempdir()) / new_id("spoken"), most)


async def _no_sample(_: object) -> VoiceSample:
    raise AssertionError("nobody registers here")


async def _nobody(user_id: str) -> tuple[KnownVoice, ...]:
    return ()
