"""What the ingress counts, in Prometheus's form; each app has a registry of its own.

What lives here: the instruments of one ingress process and the clock of a pipeline's stages. What does not:
the queue, which all processes share (`queue_metrics.py`); names, tokens or anything a person said,
which never become labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from clearcast.settings import EngineSettings
from deployments.ingress.queue_metrics import FACTOR_BUCKETS, QueueMetrics

# From a health check to an eight-hour recording.
_REQUEST_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1200, 3600)
_STAGE_BUCKETS_S = (0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1200, 3600)


class Metrics:
    """The instruments of one ingress process."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, engines: EngineSettings = EngineSettings()) -> None:
        self.registry = CollectorRegistry()
        self.queue = QueueMetrics(self.registry)
        self.engine_of_stage = {
            "diarize": engines.diarize.engine,
            "enrol": engines.embed.engine,
            "identify": engines.embed.engine,
            "transcribe": engines.transcribe.engine,
        }
        self.requests = Counter(
            "clearcast_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "clearcast_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("method", "route"),
            buckets=_REQUEST_BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "clearcast_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.errors = Counter(
            "clearcast_errors", "Problems answered, by code.", ("code",), registry=self.registry
        )
        self.overloads = Counter(
            "clearcast_overloads", "Requests sent away because the house was full.", registry=self.registry
        )
        self.rate_limited = Counter(
            "clearcast_rate_limited",
            "Requests refused because their sender makes too many.",
            registry=self.registry,
        )
        self.received_bytes = Counter(
            "clearcast_received_bytes",
            "Bytes of request bodies: uploads above all.",
            ("route",),
            registry=self.registry,
        )
        self.replicas = Gauge(
            "clearcast_replicas",
            "Replicas that run, by deployment.",
            ("deployment",),
            registry=self.registry,
        )
        self.real_time_factor = Histogram(
            "clearcast_real_time_factor",
            "Seconds of work for each second of sound, of requests that wait for their answer.",
            ("engine",),
            buckets=FACTOR_BUCKETS,
            registry=self.registry,
        )
        self.audio_seconds = Counter(
            "clearcast_audio_seconds",
            "Seconds of sound that went through a pipeline to its end.",
            ("pipeline",),
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "clearcast_stage_seconds",
            "Wall-clock seconds of a pipeline's stage.",
            ("pipeline", "stage"),
            buckets=_STAGE_BUCKETS_S,
            registry=self.registry,
        )

    def count_problem(self, code: str) -> None:
        self.errors.labels(code).inc()
        if code == "overloaded":
            self.overloads.inc()
        if code == "rate_limited":
            self.rate_limited.inc()

    def count_replicas(self, running: Mapping[str, int]) -> None:
        """Show these and no others."""
        self.replicas.clear()
        for deployment, number in running.items():
            self.replicas.labels(deployment).set(number)

    def page(self) -> bytes:
        """All of it, in the text format of Prometheus."""
        return generate_latest(self.registry)


class StageClock:
    """Times the stages of one run of a pipeline, which announces them by calling it with its progress."""

    def __init__(self, metrics: Metrics, pipeline: str, now: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._pipeline = pipeline
        self._now = now
        self._stage: str | None = None
        self._since_s = 0.0
        self._sound_s = 0.0
        self.fraction = 0.0

    def __call__(self, stage: str, fraction: float) -> None:
        """Stage `stage` has got to `fraction`."""
        self.fraction = fraction
        if stage != self._stage:
            self.stop()
            self._stage, self._since_s = stage, self._now()

    def heard(self, sound_s: float) -> None:
        """So many more seconds of sound go through the stages."""
        self._sound_s += sound_s

    def stop(self) -> None:
        """The present stage is over."""
        if self._stage is not None:
            spent_s = self._now() - self._since_s
            self._metrics.stage_seconds.labels(self._pipeline, self._stage).observe(spent_s)
            engine = self._metrics.engine_of_stage.get(self._stage)
            if engine is not None and self._sound_s > 0:
                self._metrics.real_time_factor.labels(engine).observe(spent_s / self._sound_s)
        self._stage = None
