"""The wiring: profiles become deployments with the resources they name."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from ray import serve
from ray.serve.schema import ServeDeploySchema

from clearcast.audio.recording import Clip
from clearcast.audio.sandbox import Prepared
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.errors import SettingsInvalid
from clearcast.settings import Settings, load_settings
from deployments.app import MODELS, AppArgs, build, wire
from deployments.handles import Caller, ServedDiarizer

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("profile", ["local", "gpu", "cluster"])
def test_every_profile_can_be_built(profile: str) -> None:
    assert build(AppArgs(profile=profile)) is not None


@pytest.mark.parametrize(("profile", "most_cpus", "most_gpus"), [("local", 1.0, 0.0), ("gpu", 4.0, 1.0)])
def test_one_machine_has_room_for_all_models_at_once(
    profile: str, most_cpus: float, most_gpus: float
) -> None:
    serve_settings = load_settings(profile).serve
    limits = [getattr(serve_settings, name) for name in MODELS]
    shared_cpus = 0.1 + 0.1  # the ingress, and the runner of jobs
    assert sum(one.num_cpus * one.max_replicas for one in limits) + shared_cpus <= most_cpus
    assert sum(one.num_gpus * one.max_replicas for one in limits) <= most_gpus + 1e-9


def test_a_new_version_starts_beside_the_old_one_but_for_the_runner_of_jobs() -> None:
    front = build(AppArgs(profile="cluster"))._bound_deployment
    _, models, jobs = front.init_args
    all_of_them = {name: one._bound_deployment for name, one in {**models, "jobs": jobs}.items()}
    all_of_them["front"] = front
    beside = {name for name, one in all_of_them.items() if one._deployment_config.max_surge_percent == 100}
    # Its lock lets a second runner begin only when the first has gone.
    assert beside == {*MODELS, "front"}
    drain_s = load_settings("cluster").serve.drain_s
    assert front._deployment_config.graceful_shutdown_timeout_s == drain_s


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsInvalid, match="local"):
        build(AppArgs(profile="lokal"))


def test_the_serve_yaml_names_our_builder_and_listens_on_loopback() -> None:
    values = yaml.safe_load((ROOT / "deployments" / "serve.yaml").read_text(encoding="utf-8"))
    schema = ServeDeploySchema.model_validate(values)
    (application,) = schema.applications
    assert application.import_path == "deployments.app:build"
    assert AppArgs(**application.args)
    assert schema.http_options.host == "127.0.0.1"


def test_a_model_takes_its_fraction_of_a_gpu_and_leaves_when_idle(
    ray_cluster: None, serve_settings: Settings, conversation: Prepared
) -> None:
    limits = serve_settings.serve.diarizer.model_copy(
        update={"num_gpus": 0.25, "num_cpus": 0.1, "idle_s": 1.0, "min_replicas": 0}
    )
    settings = serve_settings.model_copy(
        update={"serve": serve_settings.serve.model_copy(update={"diarizer": limits})}
    )
    serve.run(wire(settings), name="idle", route_prefix="/idle")
    try:
        _wait_for_replicas(0)
        # A model at zero replicas comes back when it is needed.
        handle = serve.get_deployment_handle("diarizer", "idle")
        diarizer = ServedDiarizer(Caller(handle, "diarizer", 60))
        import asyncio

        found = asyncio.run(diarizer.diarize(Clip(conversation.path.resolve().as_uri()), DiarizeOptions()))
        assert len(found.speakers) == 2
    finally:
        serve.delete("idle")


def _wait_for_replicas(wanted: int) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        states = serve.status().applications["idle"].deployments["diarizer"].replica_states
        if sum(states.values()) == wanted:
            return
        time.sleep(0.5)
    pytest.fail(f"the diarizer never came to {wanted} replicas: {states}")
