"""Transcription by CMU PocketSphinx: English, rough, and nothing to download.

The model comes inside the package: a semi-continuous acoustic model and a trigram of general American
English. Expect about every second word to be wrong in ordinary speech; results are labelled "rough".

A beam size of 1 searches less, and so do live requests: 0.11 CPU-seconds per second of sound instead of
0.20, with as many words wrong (47 %, 21 clips). Other beam sizes are all the same. Hints it cannot use are
ignored: temperature, hotwords, initial_prompt, batched.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.engines.engine import EngineOptions, Progress, ignore_progress, make_engine, share
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
_SLICE_BYTES = SAMPLE_RATE_HZ // 4 * 2  # decoded in about 30 ms; between slices the work can be stopped
_SHORTEST_S = 0.1  # nothing to decode in less than a few frames
# Fewer hypotheses; phones looked ahead for five frames; Gaussians computed for every second frame; fewer
# words looked at again in the second pass.
_GREEDY = {"maxhmmpf": 4000, "maxwpf": 20, "pl_window": 5, "ds": 2, "fwdflatsfwin": 20}
_VARIANT = re.compile(r"\(\d+\)$")  # "and(2)": the second pronunciation of "and"


@dataclass(frozen=True)
class PocketSphinxOptions(EngineOptions):
    """No options: the model in the package is the only one."""


class PocketSphinxEngine(TranscriptionEngine):
    """Decodes utterance by utterance, each for itself, so that the same sound gives the same words."""

    Options = PocketSphinxOptions
    quality = "rough"
    stops_soon: ClassVar[bool] = True
    languages: ClassVar[frozenset[str] | None] = frozenset({"en"})

    _speech_finder: VoiceActivityEngine

    @property
    def model_name(self) -> str:
        return "en-us"

    def _load(self) -> None:
        self._decoders: dict[bool, _SlicedDecoder] = {}
        self._making = threading.Lock()
        self._decoder(greedy=False)
        self._speech_finder = make_engine(VoiceActivityEngine, "silero", {}, self.context)

    def _decoder(self, greedy: bool) -> _SlicedDecoder:
        """A decoder, made when first asked for: each holds a model of its own, 95 MB."""
        with self._making:
            if greedy not in self._decoders:
                self._decoders[greedy] = _SlicedDecoder(_GREEDY if greedy else {})
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
            before_s = utterance.start_s - stretch.start_s
            part = share(progress, before_s / stretch.duration_s, utterance.duration_s / stretch.duration_s)
            if words := self._decode(recording, utterance, options, part):
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

    def _decode(
        self, recording: Recording, utterance: Span, options: TranscribeOptions, progress: Progress
    ) -> list[Word]:
        samples = recording.read(utterance.start_s, utterance.end_s)
        if len(samples) < _SHORTEST_S * SAMPLE_RATE_HZ:
            return []
        is_greedy = options.is_live or options.beam_size == 1
        if is_greedy and not options.is_live:
            # Who reports progress may be made to wait for live work, which needs this decoder.
            progress = ignore_progress
        parts = self._decoder(is_greedy).decode(_pcm16(samples), progress)
        return [_word(part, utterance) for part in parts if not _is_filler(part.word)]


class _SlicedDecoder:
    """A PocketSphinx that can be stopped in the middle of an utterance.

    The cepstral mean of the whole utterance is subtracted: a running mean needs some seconds to settle, and
    short utterances never get there. PocketSphinx does so only where it gets an utterance in one piece, and
    then nothing stops it. So the mean is taken first, in a pass that searches for nothing (2 ms for each
    second of sound), and held fixed in the second. The words are the same as those of one piece.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        # The package of this file's name: absolute imports never find this file.
        from pocketsphinx import Decoder

        self._lock = threading.Lock()
        # Its log goes to the terminal past Python's logging.
        self._decoder = Decoder(loglevel="FATAL", **options)
        self._search = self._decoder.current_search()
        self._decoder.add_jsgf_string("nothing", "#JSGF V1.0; grammar nothing; public <it> = a;")

    def decode(self, pcm16: bytes, progress: Progress) -> list[Any]:
        """The words and pauses that were heard. What `progress` raises ends the work."""
        with self._lock:
            mean = self._cepstral_mean(pcm16)
            decoder = self._decoder
            decoder.activate_search(self._search)
            decoder.reinit_feat()  # forget the noise level of whatever was decoded before
            decoder.start_utt()
            try:
                for first in range(0, len(pcm16), _SLICE_BYTES):
                    decoder.set_cmn(mean)  # each time: it would run after the sound from three seconds on
                    decoder.process_raw(pcm16[first : first + _SLICE_BYTES])
                    progress(first / len(pcm16))
            finally:
                decoder.end_utt()
            return [] if decoder.hyp() is None else list(decoder.seg())

    def _cepstral_mean(self, pcm16: bytes) -> str:
        decoder = self._decoder
        decoder.activate_search("nothing")
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(pcm16, no_search=True, full_utt=True)
        mean: str = decoder.get_cmn()
        decoder.end_utt()
        return mean


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
