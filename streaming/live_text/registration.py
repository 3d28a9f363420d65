"""A voice registered over a live connection.

What lives here: collecting the sound, and whether it is good enough. What does not: voiceprints
(`clearcast/engines/embed`), keeping them (`clearcast/storage/voice_store.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, Clip, FloatAudio, Recording
from clearcast.errors import AudioTooLong, SeveralSpeakers, SpeechTooShort, TooQuiet
from clearcast.services import Embedder, SpeechFinder
from clearcast.speech.turns import Span
from clearcast.storage.voices import VoiceSample
from streaming.live_text.sound import SoundTrail

LONGEST_S = 60.0
GOOD_SPEECH_S = 5.0
_QUIET_DBFS = -45.0
_WINDOW_S = 1.6
# Windows of one voice are this much alike in 99 of 100 cases (0.43 on ours), those of two voices in 5.
_ONE_VOICE = 0.3

MakeSample = Callable[[Sequence[Clip]], Awaitable[VoiceSample]]
"""A voiceprint of stretches that one person speaks. Raises SpeechTooShort."""


class Registration:
    """One voice, from its first sample to its voiceprint.

    Attributes:
        speaker_id, name: as the client named it.
        speech_s: seconds of speech that were found; 0 before `complete`.
    """

    def __init__(self, folder: Path, speaker_id: int, name: str | None) -> None:
        """`folder` is for this one's files alone."""
        self.speaker_id, self.name, self.speech_s = speaker_id, name, 0.0
        folder.mkdir(exist_ok=True)
        self._trail = SoundTrail(folder)

    def push(self, samples: FloatAudio) -> None:
        """float32 mono at 16 kHz. Raises AudioTooLong."""
        if self._trail.num_samples > LONGEST_S * SAMPLE_RATE_HZ:
            raise AudioTooLong(f"A voice is registered with {LONGEST_S:.0f} s at most.")
        self._trail.append(samples)

    async def complete(
        self, embedder: Embedder, finder: SpeechFinder, make_sample: MakeSample
    ) -> VoiceSample:
        """Raises SpeechTooShort, TooQuiet, SeveralSpeakers."""
        whole, _ = self._trail.clip(0, self._trail.num_samples)
        spans = await finder.find_speech(whole)
        self.speech_s = sum(span.duration_s for span in spans)
        if not spans:
            raise SpeechTooShort("Nobody was heard.", hint="Speak close to the microphone.", speech_s=0.0)
        self._assert_loud(whole, spans)
        sample = await make_sample([whole])
        await self._assert_one_voice(embedder, whole, spans)
        return sample

    def _assert_loud(self, whole: Clip, spans: Sequence[Span]) -> None:
        with Recording.from_uri(whole.uri) as recording:
            power = np.mean([float(np.mean(np.square(recording.read(s.start_s, s.end_s)))) for s in spans])
        level_dbfs = 10 * float(np.log10(max(float(power), 1e-12)))
        if level_dbfs < _QUIET_DBFS:
            raise TooQuiet(
                f"The voice is too quiet: {level_dbfs:.0f} dBFS.",
                hint="Come closer to the microphone, or turn it up.",
                level_dbfs=round(level_dbfs, 1),
            )

    async def _assert_one_voice(self, embedder: Embedder, whole: Clip, spans: Sequence[Span]) -> None:
        windows = [
            [Clip(whole.uri, start_s, start_s + _WINDOW_S)]
            for span in spans
            for start_s in np.arange(span.start_s, span.end_s - _WINDOW_S + 0.01, _WINDOW_S)
        ]
        found = [one for one in await embedder.embed(windows) if one is not None]
        for first, second in combinations(found, 2):
            (alike,) = await embedder.likeness(first, [second])
            if alike < _ONE_VOICE:
                raise SeveralSpeakers(
                    "Two people are heard.", hint="Register one voice at a time, without others speaking."
                )

    def close(self) -> None:
        self._trail.close()
