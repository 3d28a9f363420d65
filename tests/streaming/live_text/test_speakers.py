"""Who is taken for whom, by voiceprints that are given."""

from __future__ import annotations

import numpy as np

from clearcast.speech.turns import Span
from clearcast.testing.services import FakeEmbedder
from streaming.live_text.speakers import Heard, KnownVoice, VoicesHeard

PRINTS = np.eye(8, dtype=np.float32)


def heard(person: int) -> Heard:
    span = Span(0.0, 1.6)
    return Heard(span, (span,), (PRINTS[person],))


async def test_enrolled_voices_that_are_not_heard_leave_room_for_strangers() -> None:
    voices = VoicesHeard(FakeEmbedder(), most=2, similarity=0.45)
    for person in range(4):
        voices.register(KnownVoice(f"Person {person}", PRINTS[person]))
    told = [(await voices.who(heard(person)))[0].speaker for person in (3, 7, 7)]
    assert [(one.id, one.name) for one in told if one is not None] == [
        (3, "Person 3"),
        (4, None),
        (4, None),
    ]


async def test_a_voice_that_was_registered_to_speak_counts_at_once() -> None:
    voices = VoicesHeard(FakeEmbedder(), most=1, similarity=0.45)
    voices.register(KnownVoice("Anna", PRINTS[0]), speaker_id=0)
    (part,) = await voices.who(heard(5))
    assert part.speaker is not None
    assert (part.speaker.id, part.speaker.name) == (0, None)
