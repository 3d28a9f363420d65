"""Several voices to one sound, and to one without each of them.

What lives here: sums, what happens when a voice is early or late, and the limit above. What does not: when
a mix is due, and who gets it (`desk`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from streaming.frames import Frame, Framer
from streaming.opus import Sound

# Sums are bent softly from the knee on, and never reach full scale, however many speak.
_KNEE, _CEILING = 0.8, 0.999

# A voice whose queue never emptied for so many mixes runs late without need: two of its frames become one.
# Soon where it is far behind; not sooner than its packets' unrest shows where it is one frame behind.
_LATE_MIXES, _FAR_BEHIND_MIXES = 250, 25
_FAR_BEHIND_FRAMES = 2
_MOST_FRAMES = 10  # 200 ms of 20 ms frames: what a stall may leave behind; older ones are dropped


@dataclass(frozen=True, slots=True)
class Mix:
    """One frame of all voices. Attributes:
    voices: float32 (n, channels) of everybody who was there.
    shape: of every frame.
    """

    voices: dict[Hashable, Sound]
    shape: tuple[int, int]

    def everybody(self) -> Sound:
        """The sum of all, softly limited."""
        return self.without(None)

    def without(self, key: Hashable) -> Sound:
        """The sum of all others: what a speaker hears who does not want to hear himself."""
        total = np.zeros(self.shape, np.float32)
        for other, sound in self.voices.items():
            if other != key:
                total += sound
        return limited(total)


def limited(samples: Sound) -> Sound:
    """The same below 0.8 of full scale; what is above, bent below full scale."""
    size = np.abs(samples)
    if not samples.size or size.max() <= _KNEE:
        return samples
    room = _CEILING - _KNEE
    bent = np.sign(samples) * (_KNEE + room * np.tanh((size - _KNEE) / room))
    return np.where(size > _KNEE, bent, samples).astype(np.float32)


class Mixer:
    """Voices put their frames in whenever they have them; a mix takes one frame of each."""

    def __init__(self, frame_samples: int, channels: int) -> None:
        self._shape = (frame_samples, channels)
        self._voices: dict[Hashable, _Voice] = {}

    def add(self, key: Hashable) -> None:
        self._voices[key] = _Voice(self._shape)

    def remove(self, key: Hashable) -> None:
        del self._voices[key]

    def put(self, key: Hashable, frame: Frame) -> None:
        """A frame of any length with the mixer's channels."""
        self._voices[key].put(frame)

    def mix(self) -> Mix:
        """The next frame of everybody."""
        return Mix({key: voice.take() for key, voice in self._voices.items()}, self._shape)


class _Voice:
    """One voice's frames until they are due.

    Late ones are bridged by the last frame backwards, fading: it goes on where the sound stopped.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._framer = Framer(shape[0])
        self._queue: deque[Sound] = deque(maxlen=_MOST_FRAMES)
        self._last: Sound = np.zeros(shape, np.float32)
        self._fade = np.linspace(0.0, 1.0, shape[0], dtype=np.float32)[:, np.newaxis]
        self._absent = True
        self._mixes_late = 0

    def put(self, frame: Frame) -> None:
        self._queue.extend(whole.samples for whole in self._framer.push(frame))

    def take(self) -> Sound:
        if not self._queue:
            self._mixes_late = 0
            bridge = np.zeros_like(self._last) if self._absent else self._last[::-1] * (1 - self._fade)
            self._absent = True
            return bridge
        sound = self._queue.popleft()
        self._mixes_late = self._mixes_late + 1 if self._queue else 0
        far = len(self._queue) > _FAR_BEHIND_FRAMES
        if self._mixes_late >= (_FAR_BEHIND_MIXES if far else _LATE_MIXES):
            sound = sound * (1 - self._fade) + self._queue.popleft() * self._fade
            self._mixes_late = 0
        self._last = sound
        if self._absent:
            self._absent = False
            return sound * self._fade
        return sound
