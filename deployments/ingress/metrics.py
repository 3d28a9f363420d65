"""What the ingress counts, in Prometheus's form; each app has a registry of its own.

What lives here: the instruments, the clock of a pipeline's stages, and `/metrics`. What does not: names,
tokens or anything a person said, which never become labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

# From a health check to an eight-hour recording.
_REQUEST_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1200, 3600)
_STAGE_BUCKETS_S = (0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1200, 3600)


class Metrics:
    """The instruments of one ingress process."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        self.fraction = 0.0

    def __call__(self, stage: str, fraction: float) -> None:
        """Stage `stage` has got to `fraction`."""
        self.fraction = fraction
        if stage != self._stage:
            self.stop()
            self._stage, self._since_s = stage, self._now()

    def stop(self) -> None:
        """The present stage is over."""
        if self._stage is not None:
            spent_s = self._now() - self._since_s
            self._metrics.stage_seconds.labels(self._pipeline, self._stage).observe(spent_s)
        self._stage = None
