"""Transcription by CMU PocketSphinx: English, rough, and nothing to download.

The model comes inside the package: a semi-continuous acoustic model and a trigram of general American
English. Expect about every second word to be wrong in ordinary speech; results are labelled "rough".

A beam size of 1 searches less: 0.12 CPU-seconds per second of sound instead of 0.20, 49 instead of 47 % of
words wrong (21 clips). Other beam sizes are all the same. Hints it cannot use are ignored: temperature,
hotwords, initial_prompt, batched.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.engines.engine import EngineOptions, Progress, make_engine
from clearcast.engines.transcribe._cuts import cut_at_quiet, join_close, widen, within
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.speech.transcript import Segment, Transcript, Word, join_words
from clearcast.speech.turns import Span

_FRAMES_PER_S = 100  # PocketSphinx's `frate`
_PAUSE_S = 0.5  # shorter pauses do not end an utterance
_MARGIN_S = 0.5  # silence kept around speech: the model expects some, and its mean settles on it
_LONGEST_S = 15.0  # the search grows with length and its language model knows sentences, not minutes
_SEARCHED_AT_ONCE_S = 600.0
_SHORTEST_S = 0.1  # nothing to decode in less than a few frames
# Fewer hypotheses, and phones looked ahead for five frames, which changes no word and saves a tenth.
_GREEDY = {"maxhmmpf": 3000, "pl_window": 5}
_VARIANT = re.compile(r"\(\d+\)$")  # "and(2)": the second pronunciation of "and"


@dataclass(frozen=True)
class PocketSphinxOptions(EngineOptions):
    """No options: the model in the package is the only one."""


class PocketSphinxEngine(TranscriptionEngine):
    """Decodes utterance by utterance, each for itself, so that the same sound gives the same words."""

    Options = PocketSphinxOptions
    quality = "rough"
    languages: ClassVar[frozenset[str] | None] = frozenset({"en"})

    _speech_finder: VoiceActivityEngine

    @property
    def model_name(self) -> str:
        return "en-us"

    def _load(self) -> None:
        self._decoders: dict[bool, Any] = {}
        self._decoding = threading.Lock()
        self._decoder(greedy=False)
        self._speech_finder = make_engine(VoiceActivityEngine, "silero", {}, self.context)

    def _decoder(self, greedy: bool) -> Any:
        """A decoder, made when first asked for: each holds a model of its own, 95 MB."""
        # The package of this file's name: absolute imports never find this file.
        from pocketsphinx import Decoder

        if greedy not in self._decoders:
            options = _GREEDY if greedy else {}
            # Its log goes to the terminal past Python's logging.
            self._decoders[greedy] = Decoder(loglevel="FATAL", **options)
        return self._decoders[greedy]

    def _run(
        self,
        recording: Recording,
        start_s: float,
        end_s: float,
        options: TranscribeOptions,
        progress: Progress,
    ) -> Transcript:
        segments = []
        stretch = Span(start_s, max(start_s, end_s))
        for utterance in self._utterances(recording, stretch, options):
            if words := self._decode(recording, utterance, options.beam_size == 1):
                segments.append(_segment(words))
            progress((utterance.end_s - stretch.start_s) / stretch.duration_s)
        progress(1.0)
        return Transcript(
            segments=tuple(segments),
            language="en" if segments else None,
            duration_s=recording.duration_s,
            provenance=(self.provenance,),
        )

    def _utterances(
        self, recording: Recording, stretch: Span, options: TranscribeOptions
    ) -> Iterator[Span]:
        speech: Iterable[Span]
        if options.speech is not None:
            speech = options.speech
        elif options.voice_activity:
            speech = self._find_speech(recording, stretch)
        else:
            speech = (stretch,)
        spans = join_close(within(speech, stretch), _PAUSE_S, _LONGEST_S)
        for span in widen(spans, _MARGIN_S, stretch):
            yield from cut_at_quiet(recording, span, _LONGEST_S)

    def _find_speech(self, recording: Recording, stretch: Span) -> Iterator[Span]:
        # By parts, so that memory does not grow with the stretch.
        for part in cut_at_quiet(recording, stretch, _SEARCHED_AT_ONCE_S):
            sound = Recording.from_array(recording.read(part.start_s, part.end_s))
            for span in self._speech_finder.detect(sound):
                yield Span(part.start_s + span.start_s, part.start_s + span.end_s)

    def _decode(self, recording: Recording, utterance: Span, greedy: bool) -> list[Word]:
        samples = recording.read(utterance.start_s, utterance.end_s)
        if len(samples) < _SHORTEST_S * SAMPLE_RATE_HZ:
            return []
        with self._decoding:
            decoder = self._decoder(greedy)
            # Forget the noise level and the cepstral mean of whatever was decoded before.
            decoder.reinit_feat()
            decoder.start_utt()
            # The whole utterance at once: its own cepstral mean is then subtracted. A running mean needs
            # some seconds to settle, and short utterances never get there.
            decoder.process_raw(_pcm16(samples), full_utt=True)
            decoder.end_utt()
            if decoder.hyp() is None:
                return []
            return [_word(part, utterance) for part in decoder.seg() if not _is_filler(part.word)]


def _pcm16(samples: FloatAudio) -> bytes:
    scaled = np.rint(samples * np.float32(32768.0)).clip(-32768, 32767)
    return bytes(scaled.astype("<i2").tobytes())


def _is_filler(written: str) -> bool:
    """Silence and noise: <s>, <sil>, [NOISE], ++BREATH++."""
    return written[0] in "<[+"


def _word(part: Any, utterance: Span) -> Word:
    start_s = utterance.start_s + part.start_frame / _FRAMES_PER_S
    end_s = utterance.start_s + (part.end_frame + 1) / _FRAMES_PER_S
    return Word(
        start_s=round(min(start_s, utterance.end_s), 3),
        end_s=round(min(end_s, utterance.end_s), 3),
        text=_VARIANT.sub("", part.word),
        confidence=min(1.0, max(0.0, part.prob)),  # posterior in the word lattice
    )


def _segment(words: list[Word]) -> Segment:
    confidences = [word.confidence for word in words if word.confidence is not None]
    return Segment(
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        text=join_words(tuple(words)),
        words=tuple(words),
        confidence=sum(confidences) / len(confidences),
    )
