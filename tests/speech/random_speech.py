"""Random transcripts for property tests: many scripts, many speakers, and engines that misbehave."""

from __future__ import annotations

import random

from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript, Word, join_words
from clearcast.speech.turns import Turn

PROVENANCE = (Provenance("transcribe", "faster_whisper", "small"),)

TEXTS = {
    "en": "so the budget, is what? we need! Dr. don't “quoted” more; time. I think (maybe) 3.5 a<b R&D",
    "fa": "سلام، می‌خواهیم نرم‌افزار است؟ کتاب‌ها ۱۴۰۳ ۰۹۱۲ بودجهٔ ي ی ک ClearCast خانه‌ها. و",
    "ar": "مرحبا، كيف الحال؟ الحَمْدُ لِلَّهِ ١٢٣ اجتماعٌ اليوم. نعم",
    "he": "שלום, מה שלומך? הפגישה מתחילה עכשיו. כן 12:30 תודה",
    "emoji": "ok 👍🏽 👨‍👩‍👧‍👦 great 🇮🇷🇩🇪 ❤️ yes! 😀😀",
    "url": "see https://example.org/" + "a-very-long-path/" * 5 + " now.",
}
JAPANESE = (
    "今日はとてもいい天気ですね。明日の「会議」は三時から始まりますので、資料をお願いします！ラッキーデータ"
)
SPEAKERS = (None, "Anna", "رضا", "SPEAKER_01", "田中", "Dr: Who", "A <b>&amp; B", "N" * 70)


def random_transcript(seed: int, *, calm: bool = False) -> Transcript:
    """A transcript of up to 12 segments; `calm` ones have sane times and nobody talks at once."""
    rng = random.Random(seed)
    clock_s = rng.uniform(0, 5)
    segments = []
    for _ in range(rng.randint(1, 12)):
        speaker = rng.choice(SPEAKERS)
        segment = _segment(rng, clock_s, speaker, calm=calm)
        segments.append(segment)
        clock_s = segment.end_s + rng.choice((0.0, 0.02, 0.3, 2.5))
        if not calm and rng.random() < 0.3:
            clock_s = max(0.0, clock_s - rng.uniform(0, 6))
    segments.sort(key=lambda segment: segment.start_s)
    end_s = max(segment.end_s for segment in segments)
    duration_s = end_s + rng.choice((0.0, 0.0004, 3.0))
    if not calm and rng.random() < 0.2:
        duration_s = max(1.0, duration_s - rng.uniform(0, 2))
    return Transcript(tuple(segments), "fa", duration_s, PROVENANCE)


def random_turns(rng: random.Random, duration_s: float) -> list[Turn]:
    turns = []
    for _ in range(rng.randint(1, 20)):
        start_s = rng.uniform(0, duration_s)
        end_s = min(duration_s, start_s + rng.uniform(0.1, 8))
        turns.append(Turn(start_s, end_s, f"SPEAKER_{rng.randint(0, 3):02d}"))
    return sorted(turns)


def _segment(rng: random.Random, start_s: float, speaker: str | None, *, calm: bool) -> Segment:
    if rng.random() < 0.2:
        length = rng.randint(1, 60)
        text = "".join(JAPANESE[(rng.randint(0, 9) + i) % len(JAPANESE)] for i in range(length))
        words = _words(rng, list(text), start_s, calm=calm, joins=True)
    else:
        vocabulary = rng.choice(list(TEXTS.values())).split()
        words = _words(rng, [rng.choice(vocabulary) for _ in range(rng.randint(1, 40))], start_s, calm=calm)
    end_s = max(word.end_s for word in words)
    with_words = rng.random() < 0.7
    return Segment(start_s, end_s, join_words(words), words if with_words else (), speaker)


def _words(
    rng: random.Random, texts: list[str], start_s: float, *, calm: bool, joins: bool = False
) -> tuple[Word, ...]:
    words = []
    clock_s = start_s
    for index, text in enumerate(texts):
        length_s = rng.uniform(0.06, 0.1) * max(2, len(text)) if not joins else rng.uniform(0.1, 0.2)
        if not calm and rng.random() < 0.1:
            length_s = rng.choice((0.0, 9.0))
        word_start_s = clock_s if calm or rng.random() < 0.95 else max(start_s, clock_s - 0.5)
        words.append(
            Word(word_start_s, word_start_s + length_s, text, rng.random(), None, joins and index > 0)
        )
        clock_s = word_start_s + length_s + rng.choice((0.0, 0.0, 0.05, 0.4))
    return tuple(words)
