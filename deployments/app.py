"""The sole wiring: settings in, a Serve application out.

    serve run deployments.app:build profile=local
    serve deploy deployments/serve.yaml

What lives here: which class runs as which deployment, with what resources. What does not: starting Ray
(`deployments/server.py`).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import LoggingConfig

from clearcast.origin import assert_own_packages
from clearcast.settings import DeploymentSettings, Settings, load_settings
from deployments.booster import Booster
from deployments.classifier import Classifier
from deployments.denoiser import Denoiser
from deployments.diarizer import Diarizer
from deployments.embedder import Embedder
from deployments.extractor import Extractor
from deployments.front import Front
from deployments.jobs.runner import JobRunner
from deployments.private_ray import environment, without_hub_token
from deployments.separator import Separator
from deployments.transcriber import Transcriber

MODELS: dict[str, type[Any]] = {
    "diarizer": Diarizer,
    "embedder": Embedder,
    "transcriber": Transcriber,
    "booster": Booster,
    "denoiser": Denoiser,
    "separator": Separator,
    "extractor": Extractor,
    "classifier": Classifier,
}
"""One deployment for each model, under the name of its settings in `serve`."""

SURGE_PERCENT = 100
"""A new version's replica starts beside the old one, which answers until the new one can; where there is
no room for it, the old one goes on. Not for the runner of jobs: the new one waits until the old one is
gone."""

METRICS_S = 2.0  # between two looks at how much work a model has


class AppArgs(BaseModel):
    """Arguments of `build`, from the command line or a Serve YAML."""

    model_config = ConfigDict(extra="forbid")

    profile: str | None = None


def build(args: AppArgs) -> Application:
    """The application of a profile. Raises SettingsInvalid."""
    return wire(load_settings(args.profile))


def wire(settings: Settings) -> Application:
    """Every deployment and who calls whom."""
    assert_own_packages()
    settings = without_hub_token(settings)
    models = {
        name: _model(cls, name, getattr(settings.serve, name), settings.serve.drain_s).bind(settings)
        for name, cls in MODELS.items()
    }
    app: Application = _front(settings).bind(settings, models, _runner().bind(settings, models))
    return app


def _runner() -> Any:
    return serve.deployment(
        JobRunner,
        name="jobs",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0.1, "runtime_env": {"env_vars": environment(1)}},
        health_check_period_s=1,
        graceful_shutdown_timeout_s=10,  # it does not wait for jobs: they go on after the next start
    )


def _model(cls: type[Any], name: str, limits: DeploymentSettings, drain_s: float) -> Any:
    return serve.deployment(
        cls,
        name=name,
        ray_actor_options={
            "num_cpus": limits.num_cpus,
            "num_gpus": limits.num_gpus,
            "runtime_env": {"env_vars": environment(limits.threads)},
        },
        autoscaling_config=AutoscalingConfig(
            min_replicas=limits.min_replicas,
            initial_replicas=max(limits.initial_replicas, limits.min_replicas),
            max_replicas=max(limits.max_replicas, limits.min_replicas),
            target_ongoing_requests=limits.busy_requests or limits.max_ongoing_requests,
            upscale_delay_s=limits.busy_s,
            downscale_delay_s=limits.idle_s,
            metrics_interval_s=METRICS_S,
            look_back_period_s=3 * METRICS_S,
        ),
        max_ongoing_requests=limits.max_ongoing_requests,
        max_queued_requests=limits.max_queued_requests,
        health_check_period_s=1,  # a dead replica is noticed and replaced within seconds
        max_surge_percent=SURGE_PERCENT,
        graceful_shutdown_timeout_s=drain_s,
    )


def _front(settings: Settings) -> Any:
    return serve.deployment(
        serve.ingress()(Front),
        name="front",
        num_replicas=settings.serve.ingress_replicas,
        ray_actor_options={"num_cpus": 0.1, "runtime_env": {"env_vars": environment(1)}},
        max_ongoing_requests=256,
        health_check_period_s=1,
        max_surge_percent=SURGE_PERCENT,
        graceful_shutdown_timeout_s=settings.serve.drain_s,
        # The ingress logs requests itself, by route; Serve's own lines would show names in addresses.
        logging_config=LoggingConfig(enable_access_log=False),
    )
