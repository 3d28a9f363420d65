"""Silero voice activity detection: the network (version 6) that ships inside the faster-whisper package.

What lives here: the engine and `FrameScorer`, the network with its memory, which live streams use too. What
does not: the rules that turn probabilities into spans (`_segmenting`).

The recording is read and scored by windows: the network's LSTM state and the 64 samples it sees of the
frame before are carried over, so that memory stays flat and the result is the one faster-whisper gives for
the whole file. ONNX Runtime alone is loaded; faster-whisper, CTranslate2 and PyTorch are not imported.
Source of the model: snakers4/silero-vad, MIT licence.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.engines.engine import EngineOptions, Progress
from clearcast.engines.voice_activity._segmenting import (
    FRAME_SAMPLES,
    SampleSpan,
    SpeechRules,
    SpeechSegmenter,
    padded,
)
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.errors import ModelMissing
from clearcast.speech.turns import Span

_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (1, 1, 128)
_MODEL_FILE = "silero_vad_v6.onnx"


@dataclass(frozen=True)
class SileroOptions(EngineOptions):
    """Attributes:
    threshold: probability from which a frame is speech; 0.3 finds quiet voices, 0.5 is stricter.
    min_silence_s: a pause shorter than this does not end a stretch of speech.
    min_speech_s: stretches that are not longer than this are dropped.
    pad_s: stretches grow by this on both sides.
    max_speech_s: longer stretches are cut, at a short pause if there is one; None never cuts.
    window_frames: frames of 32 ms read and scored at a time; bounds the memory, does not change the result.
    """

    threshold: float = 0.3
    min_silence_s: float = 0.25
    min_speech_s: float = 0.15
    pad_s: float = 0.03
    max_speech_s: float | None = None
    window_frames: int = 1024

    @property
    def rules(self) -> SpeechRules:
        longest_s = float("inf") if self.max_speech_s is None else self.max_speech_s
        return SpeechRules(self.threshold, self.min_silence_s, self.min_speech_s, self.pad_s, longest_s)


class FrameScorer:
    """The network with its memory of one recording or stream: frames go in, in order."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._hidden = np.zeros(_STATE_SHAPE, np.float32)
        self._cell = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros((1, _CONTEXT_SAMPLES), np.float32)

    def score(self, samples: FloatAudio) -> FloatAudio:
        """Speech probability of each frame, shape (n,), of the next n · 512 samples (float32, 16 kHz)."""
        frames = samples.reshape(-1, FRAME_SAMPLES)
        contexts = np.concatenate([self._context, frames[:-1, -_CONTEXT_SAMPLES:]])
        self._context = frames[-1:, -_CONTEXT_SAMPLES:].copy()
        feed = {"input": np.hstack([contexts, frames]), "h": self._hidden, "c": self._cell}
        scores, self._hidden, self._cell = self._session.run(None, feed)
        return np.asarray(scores, np.float32).reshape(-1)


class SileroEngine(VoiceActivityEngine):
    """Voice activity by Silero."""

    Options = SileroOptions
    options: SileroOptions

    @property
    def model_name(self) -> str:
        return "silero-v6"

    def _load(self) -> None:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        # One thread: the network is a chain of small steps, more threads only cost.
        settings.inter_op_num_threads = settings.intra_op_num_threads = 1
        settings.enable_cpu_mem_arena = False  # the arena would keep the memory of the largest window
        settings.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            str(_model_path()), providers=["CPUExecutionProvider"], sess_options=settings
        )

    def new_scorer(self) -> FrameScorer:
        """A scorer for one recording or stream. The engine must be loaded."""
        return FrameScorer(self._session)

    def _run(self, recording: Recording, progress: Progress) -> tuple[Span, ...]:
        follower = self.follow()
        spans: list[Span] = []
        total = recording.num_samples
        for start, sound in recording.windows(self.options.window_frames * FRAME_SAMPLES / SAMPLE_RATE_HZ):
            spans += follower.push(sound)
            progress((start + len(sound)) / total)
        return (*spans, *follower.finish())

    def follow(self) -> SpeechFollower:
        """For a recording that still grows. The engine must be loaded."""
        return SpeechFollower(self.new_scorer(), self.options.rules)


class SpeechFollower:
    """The speech of one recording as it comes; the same spans as for the whole at once."""

    def __init__(self, scorer: FrameScorer, rules: SpeechRules) -> None:
        self._scorer, self._segmenter = scorer, SpeechSegmenter(rules)
        self._waiting = np.zeros(0, np.float32)
        self._num_samples = 0
        self._spans: list[SampleSpan] = []  # the last one told and those after it
        self._told = 0  # how many of `_spans`

    def push(self, samples: FloatAudio) -> list[Span]:
        """The spans that are known for certain with these samples (float32, 16 kHz), in order. One is told
        when the next has ended, which may share the pause between them."""
        self._num_samples += len(samples)
        waiting = np.concatenate((self._waiting, samples))
        whole = len(waiting) // FRAME_SAMPLES * FRAME_SAMPLES
        self._waiting = waiting[whole:]
        if whole:
            self._spans += self._segmenter.push(self._scorer.score(waiting[:whole]))
        return self._tell(len(self._spans) - 1)

    def finish(self) -> list[Span]:
        """The rest: the recording ends here."""
        if self._num_samples:
            self._spans += self._segmenter.push(self._scorer.score(_filled(self._waiting)))
            self._spans += self._segmenter.finish(self._num_samples)
        return self._tell(len(self._spans))

    def _tell(self, until: int) -> list[Span]:
        if until <= self._told:
            return []
        wide = padded(self._spans, self._num_samples, self._segmenter.rules.pad_s)[self._told : until]
        self._spans, self._told = self._spans[until - 1 :], 1
        return [Span(start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ) for start, end in wide]


def _filled(sound: FloatAudio) -> FloatAudio:
    """The last window, filled to whole frames as faster-whisper does it.

    It adds a frame of silence when nothing is missing, and its way of cutting the contexts silences the
    last 64 samples of the last frame; both are repeated here so that the results are the same.
    """
    filled = np.pad(sound, (0, FRAME_SAMPLES - len(sound) % FRAME_SAMPLES))
    filled[-_CONTEXT_SAMPLES:] = 0.0
    return filled


def _model_path() -> Path:
    found = importlib.util.find_spec("faster_whisper")
    if found is not None and found.origin is not None:
        path = Path(found.origin).parent / "assets" / _MODEL_FILE
        if path.is_file():
            return path
    raise ModelMissing(
        f"The Silero network ({_MODEL_FILE}) is not in the installed faster-whisper package.",
        hint="Install the pinned faster-whisper version.",
    )
