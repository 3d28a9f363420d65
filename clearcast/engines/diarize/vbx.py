"""Diarization with nothing downloaded: Silero, Resemblyzer windows, VBx clustering, relabelling.

What lives here: the order of the steps and their options. The steps are in the modules with a leading `_`
beside this one; README.md there tells where the trained numbers come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clearcast.audio.recording import Recording
from clearcast.engines.diarize import _clusters, _relabel
from clearcast.engines.diarize._vbx import VbxOptions, vbx
from clearcast.engines.diarize._windows import COARSE_HOP_S, Windows, embed_windows, stretches
from clearcast.engines.diarize.contract import DiarizationEngine, DiarizeOptions
from clearcast.engines.embed._speaker_space import SpeakerSpace
from clearcast.engines.embed.resemblyzer import Resemblyzer, ResemblyzerOptions
from clearcast.engines.engine import EngineOptions, Progress, make_engine
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.speech.turns import Diarization

LISTENED, EMBEDDED = 0.1, 0.95  # shares of the work done after finding speech, after the voiceprints
FLICKER_ROUNDS = 3


@dataclass(frozen=True)
class VbxDiarizerOptions(EngineOptions):
    """Attributes:
    threads: CPU threads.
    device: of the embedding network, "cpu" or "cuda".
    first_guess_distance: squared distance in speaker space up to which windows are one speaker at first.
    least_run: windows on end (0.4 s apart) that a speaker must hold somewhere, or else a whole stretch.
    least_speech_s: a speaker has at least this much speech …
    least_speech_share: … or this share of all speech, whichever is less (but never below 0.3 s).
    """

    threads: int = 1
    device: str = "cpu"
    first_guess_distance: float = 160.0
    least_run: int = 4
    least_speech_s: float = 1.2
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
        if not speech:
            return Diarization((), recording.duration_s, self.provenance)
        fine, coarse = embed_windows(
            recording,
            speech,
            self._embedder,
            lambda share: progress(LISTENED + (EMBEDDED - LISTENED) * share),
        )
        speakers = self._clustered(coarse, options)
        progress(0.99)
        labels = speakers[_relabel.nearest(coarse.middle_s, fine.middle_s)]
        turns = _relabel.painted(fine, _relabel.consistent(fine, labels), speech)
        progress(1.0)
        return Diarization(turns, recording.duration_s, self.provenance)

    def _clustered(self, windows: Windows, options: DiarizeOptions) -> _clusters.Labels:
        """The speaker of each coarse window: as many as are heard, then as many as were asked for."""
        points = self._space.project(windows.embeddings)
        labels = self._told_apart(windows, points)
        weights_s = np.minimum(windows.end_s - windows.start_s, COARSE_HOP_S)
        share_s = self.options.least_speech_share * float(weights_s.sum())
        least_s = min(self.options.least_speech_s, max(0.3, share_s))
        enough = _clusters.long_enough(labels, weights_s, least_s)
        labels = _clusters.absorbed(labels, windows.embeddings, enough)
        fewest, most = _clusters.bounds(options)
        if most is not None:
            labels = _clusters.merged(labels, points, most)
        return _clusters.split(labels, points, fewest)

    def _told_apart(self, windows: Windows, points: _clusters.Matrix) -> _clusters.Labels:
        """Many speakers first, then those that only flicker dissolved, then as few as explain the rest."""
        between = self._space.between
        generous, strict = VbxOptions(speaker_scale=2.0), VbxOptions(speaker_scale=9.0, trust=7.0)
        first = _clusters.agglomerated(points, self.options.first_guess_distance)
        labels = vbx(points, between, first, generous)
        for _ in range(FLICKER_ROUNDS):
            keep = _clusters.steady(labels, windows.stretch, self.options.least_run)
            if keep.all():
                break
            labels = _clusters.absorbed(labels, windows.embeddings, keep)
            again = VbxOptions(speaker_scale=2.0, trust=7.0, rounds=10)
            labels = vbx(points, between, labels, again)
        return vbx(points, between, labels, strict)
