"""Diarization by pyannote.audio: neural segmentation with overlap, voiceprints, clustering.

Turns are those of `Pipeline.from_pretrained(…)(…)` on the same checkpoint and samples; overlap is kept
unless `exclusive` is asked for. Nothing is fetched here: the token that its owner asks for belongs to
`clearcast models pull`. Its usage reports to its makers are off.

Memory: the sound lies in a temporary file of 4 bytes per sample (removed at the end, also after a crash),
mapped into memory and let go of as the work proceeds. What grows with length are pyannote's own scores and
voiceprints: measured with random weights on one CPU thread, an hour takes 270 MB more than ten seconds
(1,065 MB without the trimming below), for as much processor time.

Reference: Bredin, "pyannote.audio 2.1 speaker diarization pipeline", 2023; Landini et al., "Bayesian HMM
clustering of x-vector sequences (VBx) in speaker diarization", 2022, for community-1.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.engines.diarize._pyannote_models import COMMUNITY, HUB_MODELS, MODELS, located
from clearcast.engines.diarize.contract import DiarizationEngine, DiarizeOptions
from clearcast.engines.engine import EngineOptions, Progress
from clearcast.engines.model_choice import device_for, is_path, published
from clearcast.engines.placeholders import forget_placeholders
from clearcast.errors import ModelCorrupt, ModelMissing, StorageFull
from clearcast.models.spec import ModelSpec
from clearcast.speech.turns import Diarization, Turn

_PIPELINES = (
    "pyannote.audio.pipelines.SpeakerDiarization",
    "pyannote.audio.pipelines.speaker_diarization.SpeakerDiarization",
)
_VBX = "VBxClustering"
_KNOWN_KEYS = {"version", "dependencies", "pipeline", "params"}
_WRITTEN_AT_ONCE_S = 60.0
_CALLS_PER_TRIM = 50  # some milliseconds each, against seconds of network passes
_SEGMENTATION_SHARE = 0.2  # of the work; voiceprints take most of the rest


@dataclass(frozen=True)
class PyannoteOptions(EngineOptions):
    """Attributes:
    model: "community-1", "3.1", or the path of a folder with a config.yaml, written with a slash.
    device: "auto" takes the GPU where there is one.
    segmentation_batch_size, embedding_batch_size: windows at a time; null means 1 on a CPU, where more
        only costs (measured: 3 times the time, 2.4 times the memory at 32), and 32 on a GPU.
    """

    model: str = "community-1"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    segmentation_batch_size: int | None = None
    embedding_batch_size: int | None = None


class PyannoteEngine(DiarizationEngine):
    """One recording at a time; further calls wait."""

    Options = PyannoteOptions
    options: PyannoteOptions

    _pipeline: Any

    @classmethod
    def models(cls, options: PyannoteOptions) -> tuple[ModelSpec, ...]:
        if is_path(options.model):
            return ()
        return published(options.model, MODELS, "pyannote pipeline")

    @classmethod
    def catalogue(cls) -> tuple[ModelSpec, ...]:
        return tuple(HUB_MODELS.values())

    @property
    def model_name(self) -> str:
        return Path(self.options.model).name

    def _load(self) -> None:
        config = self._config()
        # Read at import, and by default on: a self-hosted service reports to nobody.
        os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
        with _without_remarks():
            import torch
            from pyannote.audio import Pipeline
            from pyannote.audio.core.plda import PLDA

            device = device_for(self.options.device, "pyannote", has_gpu=torch.cuda.is_available())
            batch_size = 32 if device == "cuda" else 1
            params = config["pipeline"]["params"]
            params["segmentation_batch_size"] = self.options.segmentation_batch_size or batch_size
            params["embedding_batch_size"] = self.options.embedding_batch_size or batch_size
            params["legacy"] = False  # both kinds of output
            if params.get("plda") is None:
                # Upstream fetches one for every pipeline, though only VBx clustering looks at it.
                params["plda"] = PLDA.__new__(PLDA)
            try:
                self._pipeline = Pipeline.from_pretrained(config)
            except Exception as error:  # whatever torch, numpy and pickle find wrong
                raise ModelCorrupt(f"The pipeline {self.model_name!r} cannot be read: {error}") from error
            forget_placeholders()
            self._pipeline.to(torch.device(device))
        self._running = threading.Lock()

    def _config(self) -> dict[str, Any]:
        """The pipeline's configuration with every model in it a local path, so that no hub is asked."""
        folder = self._folder()
        try:
            config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
            name, params = config["pipeline"]["name"], config["pipeline"]["params"]
            unknown = set(config) - _KNOWN_KEYS
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise ModelCorrupt(
                f"{folder} holds no pyannote pipeline: its config.yaml cannot be read ({error})."
            ) from error
        # A configuration can name any class, preprocessors any call: only what diarization needs is let in.
        if name not in _PIPELINES or unknown:
            raise ModelCorrupt(
                f"{folder}/config.yaml is not a speaker diarization pipeline ({name}, {sorted(unknown)})."
            )
        for key in ("segmentation", "embedding", "plda"):
            if params.get(key) is None and (key != "plda" or params.get("clustering", _VBX) == _VBX):
                params[key] = {"checkpoint": COMMUNITY.repo, "subfolder": key}  # upstream's default
            if params.get(key) is not None:
                params[key] = self._local(params[key], folder, strict=key == "plda")
        return dict(config)

    def _folder(self) -> Path:
        if specs := self.models(self.options):
            return located(specs[0], self.context.models_dir)
        folder = Path(self.options.model).expanduser().resolve()
        if not folder.is_dir():
            raise ModelMissing(f"There is no folder {folder}.", hint="Set the option model of pyannote.")
        return folder

    def _local(self, reference: Any, folder: Path, *, strict: bool) -> dict[str, Any]:
        """What a configuration's reference means on this machine, as `from_pretrained` takes it."""
        if isinstance(reference, dict):
            subfolder = reference.get("subfolder")
            found = self._local(str(reference.get("checkpoint")), folder, strict=True)
            return found if subfolder is None else {**found, "subfolder": subfolder}
        if reference.startswith("$model/"):
            return {"checkpoint": folder, "subfolder": reference.removeprefix("$model/").partition("@")[0]}
        if reference in HUB_MODELS:
            path = located(HUB_MODELS[reference], self.context.models_dir)
        else:
            path = folder / reference  # an absolute reference stays what it is
        if not path.exists():
            raise ModelMissing(
                f"The pipeline {self.model_name!r} refers to {reference!r}, which is not on this machine.",
                hint="Write a path that exists into its config.yaml.",
            )
        # Upstream forgives left-over training weights in models given by plain name.
        return {"checkpoint": path} if strict else {"checkpoint": path, "strict": False}

    def _run(self, recording: Recording, options: DiarizeOptions, progress: Progress) -> Diarization:
        turns: tuple[Turn, ...] = ()
        if recording.num_samples:
            with self._running, _mapped(recording) as (waveform, let_go), _without_remarks():
                output = self._pipeline(
                    {"waveform": waveform, "sample_rate": SAMPLE_RATE_HZ},
                    num_speakers=options.num_speakers,
                    min_speakers=options.min_speakers,
                    max_speakers=options.max_speakers,
                    hook=_hook(progress, let_go),
                )
            found = (
                output.exclusive_speaker_diarization if options.exclusive else output.speaker_diarization
            )
            turns = _turns(found, recording.duration_s)
        progress(1.0)
        return Diarization(
            turns=turns,
            duration_s=recording.duration_s,
            provenance=self.provenance,
            overlap_marked=not options.exclusive,
        )


def _turns(annotation: Any, duration_s: float) -> tuple[Turn, ...]:
    """Turns within the recording; the last window of pyannote is padded and may reach past it."""
    turns = []
    for segment, _, label in annotation.itertracks(yield_label=True):
        start_s, end_s = max(0.0, float(segment.start)), min(float(segment.end), duration_s)
        if start_s < end_s:
            turns.append(Turn(start_s, end_s, str(label)))
    return tuple(turns)


def _hook(progress: Progress, let_go: Callable[[], None]) -> Callable[..., None]:
    """Upstream calls it after each batch of a step, with `completed` of `total`, and once per finished
    step without them. What `progress` raises stops the work."""
    shares = {
        "segmentation": (0.0, _SEGMENTATION_SHARE),
        "embeddings": (_SEGMENTATION_SHARE, 0.95),
    }

    def on_step(
        step: str, *_: Any, completed: int | None = None, total: int | None = None, **__: Any
    ) -> None:
        let_go()
        if completed is not None and total and step in shares:
            start, stop = shares[step]
            progress(float(start + (stop - start) * min(1.0, completed / total)))

    return on_step


@contextmanager
def _mapped(recording: Recording) -> Iterator[tuple[Any, Callable[[], None]]]:
    """The whole recording as a float32 tensor of shape (1, n) over a temporary file, and a call that gives
    the pages read so far back to the system (they are read again from the file when needed)."""
    import torch

    with tempfile.TemporaryFile(prefix="clearcast-") as file:
        try:
            for _, samples in recording.windows(_WRITTEN_AT_ONCE_S):
                file.write(samples.astype("<f4", copy=False).tobytes())
            file.flush()
        except OSError as error:
            raise StorageFull(
                "There is no room for pyannote's working copy of the sound.",
                hint=f"It takes {4 * recording.num_samples / 1e6:.0f} MB in {tempfile.gettempdir()}.",
            ) from error
        # Writable, although nobody writes: torch warns about memory that is not. Never closed by hand,
        # because tensors may still look at it; it goes when the last of them does.
        view = mmap.mmap(file.fileno(), 0)
        calls = itertools.count(1)

        def let_go() -> None:
            view.madvise(mmap.MADV_DONTNEED)
            if next(calls) % _CALLS_PER_TRIM == 0:
                _trim_heap()

        yield torch.from_numpy(np.frombuffer(view, np.float32))[None], let_go


def _trim_heap() -> None:
    """Give freed heap back to the system, where the C library can (glibc). Each network pass allocates and
    frees large blocks between small ones that stay, and the heap would keep the holes."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Hush what upstream says through Python warnings: that torchcodec found no ffmpeg (we hand over
    samples), means of turns too short to have any, fewer speakers than asked for. Errors stay errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
