"""Keywords by a small residual CNN on MFCCs, in ONNX Runtime: the shipped Persian digits, or a model that
`clearcast train-keywords` made.

What lives here: the engine. What does not: splitting, features and the stream, which any network could use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.engines.classify._features import COEFFICIENTS, Frames, mel_frames, network_input
from clearcast.engines.classify._model_folder import (
    NETWORK_FILE,
    SHIPPED,
    folder_of,
    read_model,
)
from clearcast.engines.classify._splitting import FRAMES_PER_S, SplitRules
from clearcast.engines.classify._stream import KeywordStream, Recognise
from clearcast.engines.classify.contract import ClassifyOptions, KeywordEngine
from clearcast.engines.engine import EngineOptions, Progress
from clearcast.errors import ModelCorrupt
from clearcast.speech.keywords import SILENCE, UNKNOWN, Keywords, SpottedWord

__all__ = ["SHIPPED", "ResidualCnnEngine", "ResidualCnnOptions"]

_BLOCK_S = 10.0
_MIN_WORD_S = 0.06
_CROPPED = 0.6  # of what surrounds a word, on each side
_SILENCE_S = 0.2
# A file can be looked at before it is judged; somebody who speaks live waits for the answer.
_SETTLE_FILE_S, _SETTLE_LIVE_S = 1.5, 0.3


@dataclass(frozen=True)
class ResidualCnnOptions(EngineOptions):
    """Attributes:
    model: "persian-digits", or the path of a folder that `clearcast train-keywords` wrote, with a slash.
    """

    model: str = "persian-digits"


class ResidualCnnEngine(KeywordEngine):
    """Keywords by a residual CNN."""

    Options = ResidualCnnOptions
    options: ResidualCnnOptions

    @property
    def model_name(self) -> str:
        return self.options.model if self.options.model in SHIPPED else folder_of(self.options.model).name

    def labels(self) -> tuple[str, ...]:
        self.load()
        return self._model.labels

    def _load(self) -> None:
        import onnxruntime

        folder = folder_of(self.options.model)
        self._model = read_model(folder)
        settings = onnxruntime.SessionOptions()
        # One thread: a word is a few milliseconds of small steps, more threads only cost.
        settings.inter_op_num_threads = settings.intra_op_num_threads = 1
        settings.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / NETWORK_FILE), providers=["CPUExecutionProvider"], sess_options=settings
            )
            (scores,) = self._scores(np.zeros((1, COEFFICIENTS, self._model.input_frames), np.float32))
        except Exception as error:  # ONNX Runtime's errors share no base of their own
            raise ModelCorrupt(f"{folder / NETWORK_FILE} cannot be loaded.") from error
        if scores.shape != (len(self._model.labels) + 2,):
            raise ModelCorrupt(f"{folder / NETWORK_FILE} does not fit its labels.")

    def _run(self, recording: Recording, options: ClassifyOptions, progress: Progress) -> Keywords:
        # A file of one word may begin and end with it: silence around it shows where, as between words.
        silence = np.zeros(round(_SILENCE_S * SAMPLE_RATE_HZ), np.float32)
        stream = self._new_stream(options, _SETTLE_FILE_S)
        heard = stream.push(silence)
        for start, samples in recording.windows(_BLOCK_S):
            heard += stream.push(samples)
            progress(min(1.0, (start + len(samples)) / recording.num_samples))
        heard += [*stream.push(silence), *stream.finish()]
        found = [one.word for one in heard if one.is_final and not one.is_taken_back]
        if recording.duration_s <= options.window_s and all(word.label == UNKNOWN for word in found):
            found = self._as_one_word(recording, options) or found
        words = (_moved(word, -_SILENCE_S, recording.duration_s) for word in found)
        return Keywords(tuple(words), recording.duration_s, self._model.labels, self.provenance)

    def _as_one_word(self, recording: Recording, options: ClassifyOptions) -> list[SpottedWord]:
        """A short recording in which no word could be told from silence: all of it, if that is one."""
        pad = round(_SILENCE_S * SAMPLE_RATE_HZ)
        frames = mel_frames(np.pad(recording.read(), pad))
        around = round(_SILENCE_S * FRAMES_PER_S)
        label, probability = self._recogniser(options)(frames, around, around)
        if label in {UNKNOWN, SILENCE}:
            return []
        return [SpottedWord(_SILENCE_S, _SILENCE_S + recording.duration_s, label, probability)]

    def _stream(self, options: ClassifyOptions) -> KeywordStream:
        return self._new_stream(options, _SETTLE_LIVE_S)

    def _new_stream(self, options: ClassifyOptions, settle_s: float) -> KeywordStream:
        rules = SplitRules(
            options.min_silence_s, options.silence_db, _MIN_WORD_S, options.window_s, settle_s
        )
        return KeywordStream(self._recogniser(options), rules, keep_unknown=options.keep_unknown)

    def _recogniser(self, options: ClassifyOptions) -> Recognise:
        model = self._model
        least = model.min_probability if options.min_probability is None else options.min_probability

        def recognise(frames: Frames, before: int, behind: int) -> tuple[str, float]:
            crops = _crops(frames, before, behind)
            inputs = np.stack([network_input(crop, model.input_frames) for crop in crops])
            probabilities = _softmax(self._scores(inputs)).mean(axis=0)
            best = int(np.argmax(probabilities))
            classes = (*model.labels, UNKNOWN, SILENCE)
            probability = round(float(probabilities[best]), 4)
            if best < len(model.labels) and probabilities[best] < least:
                return UNKNOWN, probability
            return classes[best], probability

        return recognise

    def _scores(self, inputs: Frames) -> Frames:
        """Of each input, shape (n, classes)."""
        found: Any = self._session.run(None, {"features": inputs})[0]
        return np.asarray(found, np.float32)


def _crops(frames: Frames, before: int, behind: int) -> list[Frames]:
    """A word with all of its surroundings and with less of them, before, behind and on both sides: in noise
    nobody knows where it begins and ends, and the mean is surer than any one (Krizhevsky et al., 2012, on
    crops of pictures)."""
    starts, ends = (0, round(_CROPPED * before)), (0, round(_CROPPED * behind))
    return [frames[start : len(frames) - end] for start in starts for end in ends]


def _moved(word: SpottedWord, by_s: float, duration_s: float) -> SpottedWord:
    """The word at another time, no earlier than the start and no later than the end of the recording."""
    start_s, end_s = (min(max(0.0, time_s + by_s), duration_s) for time_s in (word.start_s, word.end_s))
    return replace(word, start_s=start_s, end_s=end_s)


def _softmax(scores: Frames) -> Frames:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
