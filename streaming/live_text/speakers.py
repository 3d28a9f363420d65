"""Who speaks in a live transcription.

What lives here: telling voices apart as they come, and the names of those that are known. What does not:
voiceprints themselves (`clearcast/engines/embed`).

A stretch of speech is looked at in windows. Each is compared with every voice known so far, in the space in
which `EmbeddingEngine.likeness` tells speakers apart; one that is like none is new, as long as there
may be more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.engines.embed.contract import Embedding
from clearcast.services import Embedder
from clearcast.speech.transcript import Transcript, Word, join_words
from clearcast.speech.turns import Span
from streaming.live_text.agreement import without_loops
from streaming.live_text.lines import Speaker
from streaming.live_text.sound import SoundTrail

# 1.6 s is what Resemblyzer hears at once.
_WINDOW_S, _STEP_S = 1.6, 0.8
# A voice that was heard for less is not taken for a new one: too little to tell by.
_NEW_VOICE_S = 1.2


@dataclass(frozen=True, slots=True)
class KnownVoice:
    """A voice that was registered. `voiceprint` has shape (dimension,)."""

    name: str | None
    voiceprint: Embedding


@dataclass(slots=True)
class _Voice:
    id: int
    name: str | None
    voiceprint: Embedding
    is_registered: bool
    is_present: bool  # one of those who are expected to speak
    heard: int = 1

    def hear(self, embedding: Embedding) -> None:
        """Voices that were not registered become clearer with every hearing."""
        if not self.is_registered:
            total = self.voiceprint * self.heard + embedding
            self.voiceprint = (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)
            self.heard += 1


@dataclass(frozen=True, slots=True)
class Heard:
    """A stretch, in seconds since the stream began, and the voiceprints of windows of it; None where a
    window holds too little."""

    whole: Span
    windows: tuple[Span, ...]
    embeddings: tuple[Embedding | None, ...]


@dataclass(frozen=True, slots=True)
class SpokenBy:
    """A stretch, in seconds since the stream began, and whose voice it is; None where that is not known."""

    span: Span
    speaker: Speaker | None


class VoicesHeard:
    """The voices of one transcription."""

    def __init__(self, embedder: Embedder, most: int, similarity: float) -> None:
        """At most `most` voices; `similarity` is what counts as the same one."""
        self._embedder = embedder
        self._most = most
        self._similarity = similarity
        self._voices: list[_Voice] = []

    def register(self, voice: KnownVoice, speaker_id: int | None = None) -> int:
        """Know this voice from now on; its speaker id. One that has the id already is replaced. Without an
        id it is somebody who may or may not speak, and counts among the most there are only once heard."""
        free_id = max((one.id for one in self._voices), default=-1) + 1
        number = free_id if speaker_id is None else speaker_id
        self._voices = [one for one in self._voices if one.id != number]
        self._voices.append(
            _Voice(
                number, voice.name, voice.voiceprint, is_registered=True, is_present=speaker_id is not None
            )
        )
        return number

    @property
    def _present(self) -> int:
        return sum(voice.is_present for voice in self._voices)

    async def listen(self, trail: SoundTrail, start: int, end: int) -> Heard:
        """Voiceprints of samples [start, end). Nothing is learned from them yet."""
        whole = Span(start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ)
        if not self._most:
            return Heard(whole, (), ())
        windows = _windows(whole)
        clips = [
            trail.clip(round(span.start_s * SAMPLE_RATE_HZ), round(span.end_s * SAMPLE_RATE_HZ))[0]
            for span in windows
        ]
        embeddings = await self._embedder.embed([[clip] for clip in clips])
        return Heard(whole, tuple(windows), embeddings)

    async def who(self, heard: Heard) -> tuple[SpokenBy, ...]:
        """Whose voice is heard where, without gaps, neighbours being different."""
        if not heard.windows:
            return (SpokenBy(heard.whole, None),)
        known = [one for one in heard.embeddings if one is not None]
        alike = list(await asyncio.gather(*(self._alike(voice, known) for voice in self._voices)))
        found: list[Speaker | None] = []
        for window, embedding in zip(heard.windows, heard.embeddings, strict=True):
            if embedding is None:
                found.append(None)
                continue
            place = sum(one is not None for one in heard.embeddings[: len(found)])
            speaker = self._nearest(embedding, [scores[place] for scores in alike])
            if speaker is None or (speaker.score or 0.0) < self._similarity:
                if window.duration_s >= _NEW_VOICE_S and self._present < self._most:
                    voice = self._meet(embedding)
                    alike.append(await self._alike(voice, known))
                    speaker = Speaker(voice.id)
                elif speaker is not None:
                    # Nobody else is expected, or it is too short to be somebody new: the likeliest, whose
                    # name is not claimed.
                    speaker = Speaker(speaker.id, None, speaker.score)
            found.append(speaker)
        return _joined(heard.whole, heard.windows, found)

    async def _alike(self, voice: _Voice, embeddings: Sequence[Embedding]) -> tuple[float, ...]:
        return await self._embedder.likeness(voice.voiceprint, embeddings) if embeddings else ()

    def _nearest(self, embedding: Embedding, scores: Sequence[float]) -> Speaker | None:
        """The likeliest voice, which has been heard again if it is like enough."""
        if not scores:
            return None
        place = int(np.argmax(scores))
        voice, score = self._voices[place], scores[place]
        if score >= self._similarity:
            voice.is_present = True
            voice.hear(embedding)
        return Speaker(voice.id, voice.name, score)

    def _meet(self, embedding: Embedding) -> _Voice:
        """A new voice, which nobody registered."""
        number = max((one.id for one in self._voices), default=-1) + 1
        self._voices.append(_Voice(number, None, embedding, is_registered=False, is_present=True))
        return self._voices[-1]


def _windows(whole: Span) -> list[Span]:
    """Windows that cover the stretch, the last one as long as the others."""
    if whole.duration_s <= _WINDOW_S + _STEP_S:
        return [whole]
    count = int(np.ceil((whole.duration_s - _WINDOW_S) / _STEP_S)) + 1
    last_s = whole.end_s - _WINDOW_S
    starts_s = [min(whole.start_s + index * _STEP_S, last_s) for index in range(count)]
    return [Span(start_s, start_s + _WINDOW_S) for start_s in starts_s]


def _joined(whole: Span, windows: Sequence[Span], found: Sequence[Speaker | None]) -> tuple[SpokenBy, ...]:
    """Stretches between the middles of neighbouring windows. One window alone among others of one voice is
    taken to be that voice: half a second of somebody else is more often a mistake than a person."""
    ids = [None if speaker is None else speaker.id for speaker in found]
    for index in range(1, len(ids) - 1):
        if ids[index - 1] == ids[index + 1] != ids[index]:
            ids[index] = ids[index - 1]
    parts: list[SpokenBy] = []
    first = 0
    for index in range(1, len(ids) + 1):
        if index < len(ids) and ids[index] == ids[first]:
            continue
        start_s = whole.start_s if first == 0 else _border_s(windows, first)
        end_s = whole.end_s if index == len(ids) else _border_s(windows, index)
        mine = [one for one in found[first:index] if one is not None and one.id == ids[first]]
        best = max(mine, key=lambda one: one.score if one.score is not None else -1.0, default=None)
        parts.append(SpokenBy(Span(start_s, end_s), best))
        first = index
    return tuple(parts)


def _border_s(windows: Sequence[Span], index: int) -> float:
    """Half-way between the middles of a window and the one before."""
    before, after = windows[index - 1], windows[index]
    return (before.start_s + before.end_s + after.start_s + after.end_s) / 4


def by_speaker(
    transcript: Transcript, parts: tuple[SpokenBy, ...]
) -> list[tuple[Speaker | None, tuple[Word, ...], str]]:
    """The words in runs of one voice. A segment without word times is one word of its own."""
    runs: list[tuple[Speaker | None, list[Word]]] = []
    for segment in transcript.segments:
        for word in segment.words or (Word(segment.start_s, segment.end_s, segment.text),):
            speaker = _at((word.start_s + word.end_s) / 2, parts)
            if runs and _id_of(runs[-1][0]) == _id_of(speaker):
                runs[-1][1].append(word)
            else:
                runs.append((speaker, [word]))
    found = []
    for speaker, words in runs:
        text = join_words(tuple(words))
        kept = without_loops(text.split())
        found.append((speaker, tuple(words), text if len(kept) == len(text.split()) else " ".join(kept)))
    return found


def _id_of(speaker: Speaker | None) -> int | None:
    return None if speaker is None else speaker.id


def _at(moment_s: float, parts: tuple[SpokenBy, ...]) -> Speaker | None:
    for part in parts:
        if moment_s < part.span.end_s:
            return part.speaker
    return parts[-1].speaker
