"""Silero voice activity detection, v6, from the file that the faster-whisper package carries.

What lives here: running the network by windows with its state carried over, and the hysteresis that turns
its probabilities into spans. What does not: anything of faster-whisper itself; neither it nor torch is
imported, so this engine costs an ONNX Runtime session and little more.

Source: Silero VAD (snakers4/silero-vad); the hysteresis follows its `get_speech_timestamps`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.engines.engine import EngineOptions, Progress
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.errors import ModelMissing
from clearcast.speech.turns import Span

FRAME_SAMPLES = 512  # 32 ms at 16 kHz: what the network was trained on
CONTEXT_SAMPLES = 64  # the end of the frame before, which the network hears again
STATE_SHAPE = (1, 1, 128)
WINDOW_FRAMES = 1875  # one minute: small in memory, long enough to be as fast as the whole file


@dataclass(frozen=True)
class SileroOptions(EngineOptions):
    """Attributes:
    threshold: probability from which a frame counts as speech.
    min_silence_s: a shorter pause does not end a span.
    pad_s: added on either side of a span.
    min_speech_s: a shorter span is dropped.
    """

    threshold: float = 0.3
    min_silence_s: float = 0.25
    pad_s: float = 0.03
    min_speech_s: float = 0.15


class Silero(VoiceActivityEngine):
    """Finds speech frame by frame, 32 ms each."""

    Options = SileroOptions
    options: SileroOptions
    model_name = "silero-v6"

    def _load(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # the arena would keep the largest window for ever
        options.log_severity_level = 4
        self._session: Any = onnxruntime.InferenceSession(
            str(_weights()), providers=["CPUExecutionProvider"], sess_options=options
        )

    def _run(self, recording: Recording, progress: Progress) -> tuple[Span, ...]:
        probabilities = np.concatenate([np.zeros(0, np.float32), *self._probabilities(recording, progress)])
        return speech_spans(probabilities, recording.num_samples, self.options)

    def _probabilities(self, recording: Recording, progress: Progress) -> Iterator[npt.NDArray[np.float32]]:
        """Speech probability of each frame, window by window."""
        hidden, cell = np.zeros(STATE_SHAPE, np.float32), np.zeros(STATE_SHAPE, np.float32)
        context = np.zeros(CONTEXT_SAMPLES, np.float32)
        for start, sound in recording.windows(WINDOW_FRAMES * FRAME_SAMPLES / SAMPLE_RATE_HZ):
            frames = _frames(sound)
            before = np.concatenate([context[None], frames[:-1, -CONTEXT_SAMPLES:]])
            found, hidden, cell = self._session.run(
                None, {"input": np.concatenate([before, frames], axis=1), "h": hidden, "c": cell}
            )
            context = frames[-1, -CONTEXT_SAMPLES:]
            progress(min(1.0, (start + len(sound)) / recording.num_samples))
            yield np.asarray(found, np.float32).reshape(-1)


def _frames(sound: FloatAudio) -> npt.NDArray[np.float32]:
    """Shape (frames, FRAME_SAMPLES); the last one is filled up with silence."""
    missing = -len(sound) % FRAME_SAMPLES
    return np.pad(sound, (0, missing)).reshape(-1, FRAME_SAMPLES)


def _weights() -> Path:
    spec = importlib.util.find_spec("faster_whisper")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "assets" / "silero_vad_v6.onnx"
        if path.is_file():
            return path
    raise ModelMissing("faster-whisper, whose package carries Silero, is not installed as it should be.")


def speech_spans(
    probabilities: Sequence[float] | npt.NDArray[np.float32], num_samples: int, options: SileroOptions
) -> tuple[Span, ...]:
    """Spans of speech out of one probability per frame, in a recording of `num_samples` samples.

    A span starts with the first frame at the threshold and ends where the probability has stayed 0.15 below
    it for the shortest silence.
    """
    low = max(options.threshold - 0.15, 0.01)
    min_silence = options.min_silence_s * SAMPLE_RATE_HZ
    min_speech = options.min_speech_s * SAMPLE_RATE_HZ
    spans: list[list[int]] = []
    start: int | None = None
    quiet_since: int | None = None
    for index, probability in enumerate(probabilities):
        here = index * FRAME_SAMPLES
        if probability >= options.threshold:
            quiet_since = None
            start = here if start is None else start
        elif start is not None and probability < low:
            quiet_since = here if quiet_since is None else quiet_since
            if here - quiet_since >= min_silence:
                if quiet_since - start > min_speech:
                    spans.append([start, quiet_since])
                start = quiet_since = None
    if start is not None and num_samples - start > min_speech:
        spans.append([start, num_samples])
    return _padded(spans, num_samples, options.pad_s * SAMPLE_RATE_HZ)


def _padded(spans: list[list[int]], num_samples: int, pad: float) -> tuple[Span, ...]:
    """Widened on either side; neighbours nearer than two pads share the pause between them."""
    for index, span in enumerate(spans):
        if index == 0:
            span[0] = int(max(0, span[0] - pad))
        if index + 1 == len(spans):
            span[1] = int(min(num_samples, span[1] + pad))
            break
        following = spans[index + 1]
        pause = following[0] - span[1]
        share = pause // 2 if pause < 2 * pad else pad
        span[1] = int(min(num_samples, span[1] + share))
        following[0] = int(max(0, following[0] - share))
    return tuple(Span(start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ) for start, end in spans)
