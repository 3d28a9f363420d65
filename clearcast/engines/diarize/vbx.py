"""Diarization with nothing downloaded: Silero, Resemblyzer windows, VBx clustering, relabelling.

What lives here: the order of the steps and their options. The steps are in the modules with a leading `_`
beside this one; README.md there tells where the trained numbers come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clearcast.audio.recording import Recording
from clearcast.engines.diarize import _clusters, _relabel
from clearcast.engines.diarize._speaker_space import SpeakerSpace
from clearcast.engines.diarize._vbx import VbxOptions, vbx
from clearcast.engines.diarize._windows import Windows, embed_windows, stretches
from clearcast.engines.diarize.contract import DiarizationEngine, DiarizeOptions
from clearcast.engines.embed.resemblyzer import Resemblyzer, ResemblyzerOptions
from clearcast.engines.engine import EngineOptions, Progress, make_engine
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.speech.turns import Diarization

THIN = 2  # speakers are counted on every second window, 0.4 s apart; their turns are drawn on all
LISTENED, EMBEDDED = 0.1, 0.95  # shares of the work done after finding speech, after the voiceprints


@dataclass(frozen=True)
class VbxDiarizerOptions(EngineOptions):
    """Attributes:
    threads: CPU threads.
    device: of the embedding network, "cpu" or "cuda".
    first_guess_distance: cosine distance in speaker space up to which windows are one speaker at first.
    least_speech_s: a speaker has at least this much speech …
    least_speech_share: … or this share of all speech, whichever is less (but never below 0.8 s).
    """

    threads: int = 1
    device: str = "cpu"
    first_guess_distance: float = 0.5
    least_speech_s: float = 3.0
    least_speech_share: float = 0.06


class VbxDiarizer(DiarizationEngine):
    """One speaker per instant: it does not mark overlap. Finds the number of speakers by itself."""

    Options = VbxDiarizerOptions
    options: VbxDiarizerOptions
    model_name = "silero-v6+resemblyzer"

    def _load(self) -> None:
        self._voice_activity = make_engine(VoiceActivityEngine, "silero", {}, self.context)
        options = ResemblyzerOptions(device=self.options.device, threads=self.options.threads)
        self._embedder = Resemblyzer(options, self.context)
        self._space = SpeakerSpace.load()
        self._voice_activity.load()
        self._embedder.load()

    def _run(self, recording: Recording, options: DiarizeOptions, progress: Progress) -> Diarization:
        found = self._voice_activity.detect(recording, lambda share: progress(LISTENED * share))
        speech = stretches(found)
        windows = embed_windows(
            recording,
            speech,
            self._embedder,
            lambda share: progress(LISTENED + (EMBEDDED - LISTENED) * share),
        )
        if len(windows) == 0:
            return Diarization((), recording.duration_s, self.provenance)
        coarse = windows.thinned(THIN)
        speakers = _clusters.centroids(self._clustered(coarse, options), coarse.embeddings)
        progress(0.99)
        labels = np.asarray((windows.embeddings @ speakers.T).argmax(axis=1), np.int64)
        turns = _relabel.painted(windows, _relabel.consistent(windows, labels), speech)
        progress(1.0)
        return Diarization(turns, recording.duration_s, self.provenance)

    def _clustered(self, windows: Windows, options: DiarizeOptions) -> _clusters.Labels:
        points = self._space.project(windows.embeddings)
        first = _clusters.compact(_clusters.agglomerated(points, self.options.first_guess_distance))
        labels = vbx(points, self._space.between, first, VbxOptions())
        weights_s = _seconds(windows)
        least_s = min(
            self.options.least_speech_s,
            max(0.8, self.options.least_speech_share * float(weights_s.sum())),
        )
        labels = _clusters.absorbed(labels, windows.embeddings, weights_s, least_s)
        fewest, most = _clusters.bounds(options)
        if most is not None:
            labels = _clusters.merged(labels, points, most)
        return _clusters.split(labels, points, fewest)


def _seconds(windows: Windows) -> _clusters.Matrix:
    """Speech each window stands for: the hop where windows overlap, its own length where it is alone."""
    length_s = windows.end_s - windows.start_s
    return np.where(length_s >= 1.59, np.minimum(length_s, 0.4), length_s)
