"""The services over Serve handles: time-outs, retries on a dead replica, one overload contract.

What lives here: the service Protocols implemented by calls to replicas, and the translation of Ray's
errors into ours. What does not: the replicas.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from ray import serve
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from clearcast.audio.recording import Clip
from clearcast.engines.boost.contract import BoostOptions, BoostReport
from clearcast.engines.classify.contract import ClassifyOptions
from clearcast.engines.denoise.contract import DenoiseOptions, DenoiseResult
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.embed.contract import Calibration, Embedding
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.extract.contract import Extraction, ExtractOrder
from clearcast.engines.identify.contract import IdentificationEngine
from clearcast.engines.measure.contract import MeasureEngine
from clearcast.engines.separate.contract import SeparateOptions, Separation
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.errors import Overloaded, ServiceTimeout, ServiceUnavailable
from clearcast.local import engine_from
from clearcast.local_sound import LocalMeter
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.speech.keywords import Keywords
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization, Span
from deployments.streamed import Done

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A replica killed in mid-call is replaced within seconds, but Serve never repeats the call for us.
# Where there is another replica, the first waits, of 0.1 and 0.2 s, are all; those of up to 6.4 s outlast a
# process start with its model.
ATTEMPTS = 8
FIRST_WAIT_S = 0.1

_REPLICA_LOST = (ActorDiedError, ActorUnavailableError, ReplicaUnavailableError)


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls one deployment. `name` is for messages and logs, `timeout_s` bounds a call with its retries."""

    handle: DeploymentHandle[Any]
    name: str
    timeout_s: float

    async def call(self, method: str, *args: Any) -> Any:
        """The answer of a plain method. Raises as `_guarded`."""

        async def once() -> Any:
            response = getattr(self.handle, method).remote(*args)
            try:
                return await response
            except asyncio.CancelledError:
                response.cancel()
                raise

        return await self._guarded(once)

    async def stream(self, method: str, args: Sequence[Any], progress: Progress) -> Any:
        """The result of a method that answers by `deployments.streamed`. Raises as `_guarded`."""

        async def once() -> Any:
            response = getattr(self.handle.options(stream=True), method).remote(*args)
            try:
                async for item in response:
                    if isinstance(item, Done):
                        return item.value
                    progress(item)
            except asyncio.CancelledError:
                response.cancel()
                raise
            raise ServiceUnavailable(f"The {self.name} stopped before it was done.")

        return await self._guarded(once)

    async def _guarded(self, once: Callable[[], Awaitable[T]]) -> T:
        """Repeat `once` when its replica dies.

        Raises Overloaded, ServiceTimeout, ServiceUnavailable, or the error the replica's code raised.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._repeated(once)
        except TimeoutError as error:
            raise ServiceTimeout(f"The {self.name} gave no answer in {self.timeout_s:g} s.") from error
        except BackPressureError as error:
            raise Overloaded(f"The {self.name} has too much work waiting.") from error
        except DeploymentUnavailableError as error:
            raise ServiceUnavailable(f"The {self.name} could not be started.") from error
        except RayTaskError as error:
            raise _cause(error) from None

    async def _repeated(self, once: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return await once()
            except _REPLICA_LOST as error:
                if attempt == ATTEMPTS - 1:
                    raise ServiceUnavailable(f"The {self.name} died {ATTEMPTS} times.") from error
                logger.warning("replica lost", extra={"deployment": self.name, "attempt": attempt})
                await asyncio.sleep(FIRST_WAIT_S * 2**attempt)
        raise AssertionError("unreachable")


def _cause(error: RayTaskError) -> BaseException:
    """The exception the replica's own code raised, without Ray's wrapping."""
    cause = error.cause
    while isinstance(cause, RayTaskError):
        cause = cause.cause
    return cast(BaseException, cause)


MODELS = (
    *("diarizer", "embedder", "transcriber", "booster", "denoiser", "separator", "extractor"),
    "classifier",
)
"""The deployments that `served` calls."""


def served_by(app_name: str, settings: Settings) -> Services:
    """All services of a Serve application, in any process of its cluster. Raises as `served`."""
    return served(settings, {name: serve.get_deployment_handle(name, app_name) for name in MODELS})


def served(settings: Settings, handles: Mapping[str, DeploymentHandle[Any]]) -> Services:
    """All services, over the handles of the deployments by name. Raises EngineUnknown, SettingsInvalid."""

    def caller(name: str) -> Caller:
        return Caller(handles[name], name, getattr(settings.serve, name).timeout_s)

    speech = ServedEmbedder(caller("embedder"))
    return Services(
        diarizer=ServedDiarizer(caller("diarizer")),
        embedder=speech,
        speech_finder=speech,
        transcriber=ServedTranscriber(caller("transcriber")),
        booster=ServedBooster(caller("booster")),
        denoiser=ServedDenoiser(caller("denoiser")),
        separator=ServedSeparator(caller("separator")),
        extractor=ServedExtractor(caller("extractor")),
        classifier=ServedClassifier(caller("classifier")),
        meter=LocalMeter(engine_from(MeasureEngine, settings)),
        identifier=engine_from(IdentificationEngine, settings),
    )


@dataclass(frozen=True, slots=True)
class ServedDiarizer:
    caller: Caller

    async def diarize(
        self, clip: Clip, options: DiarizeOptions, progress: Progress = ignore_progress
    ) -> Diarization:
        return cast(Diarization, await self.caller.stream("diarize", (clip, options), progress))


@dataclass(frozen=True, slots=True)
class ServedEmbedder:
    caller: Caller

    async def describe(self) -> tuple[Provenance, Calibration]:
        return cast(tuple[Provenance, Calibration], await self.caller.call("describe"))

    async def embed(self, voices: Sequence[Sequence[Clip]]) -> tuple[Embedding | None, ...]:
        return cast(tuple[Embedding | None, ...], await self.caller.call("embed", voices))

    async def likeness(self, voiceprint: Embedding, others: Sequence[Embedding]) -> tuple[float, ...]:
        return cast(tuple[float, ...], await self.caller.call("likeness", voiceprint, others))

    async def find_speech(self, clip: Clip, progress: Progress = ignore_progress) -> tuple[Span, ...]:
        return cast(tuple[Span, ...], await self.caller.stream("find_speech", (clip,), progress))


@dataclass(frozen=True, slots=True)
class ServedTranscriber:
    caller: Caller

    async def transcribe(
        self, clip: Clip, options: TranscribeOptions, progress: Progress = ignore_progress
    ) -> Transcript:
        return cast(Transcript, await self.caller.stream("transcribe", (clip, options), progress))


@dataclass(frozen=True, slots=True)
class ServedBooster:
    caller: Caller

    async def boost(
        self, source: Path, target: Path, options: BoostOptions, progress: Progress = ignore_progress
    ) -> BoostReport:
        return cast(BoostReport, await self.caller.stream("boost", (source, target, options), progress))


@dataclass(frozen=True, slots=True)
class ServedDenoiser:
    caller: Caller

    async def denoise(
        self, source: Path, target: Path, options: DenoiseOptions, progress: Progress = ignore_progress
    ) -> DenoiseResult:
        return cast(DenoiseResult, await self.caller.stream("denoise", (source, target, options), progress))


@dataclass(frozen=True, slots=True)
class ServedSeparator:
    caller: Caller

    async def separate(
        self,
        source: Path,
        targets: Mapping[str, Path],
        options: SeparateOptions,
        progress: Progress = ignore_progress,
    ) -> Separation:
        arguments = (source, dict(targets), options)
        return cast(Separation, await self.caller.stream("separate", arguments, progress))


@dataclass(frozen=True, slots=True)
class ServedExtractor:
    caller: Caller

    async def extract(
        self, source: Path, target: Path, order: ExtractOrder, progress: Progress = ignore_progress
    ) -> Extraction:
        return cast(Extraction, await self.caller.stream("extract", (source, target, order), progress))


@dataclass(frozen=True, slots=True)
class ServedClassifier:
    caller: Caller

    async def classify(
        self, clip: Clip, options: ClassifyOptions, progress: Progress = ignore_progress
    ) -> Keywords:
        return cast(Keywords, await self.caller.stream("classify", (clip, options), progress))
