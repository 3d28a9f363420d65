"""What starts ClearCast elsewhere: files for Ray's launcher, Serve, Kubernetes, Docker and Compose.

Each file passes a validator that knows every name, and a typo planted in it does not pass.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from clearcast.origin import ROOT
from clearcast.settings import load_settings
from deployments.app import MODELS, AppArgs
from deployments.server import RAY_ENVIRONMENT
from tests.ops.shapes import kubernetes_fault, serve_faults

LAUNCHER = (ROOT / "cluster.yaml", ROOT / "ops" / "cluster" / "machines.yaml")
CONTAINER = ROOT / "ops" / "container"
BIN = Path(sys.executable).parent


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def kubernetes() -> list[dict[str, Any]]:
    """The resources as they are applied; by kubectl where it is, else those of the files."""
    folder = ROOT / "ops" / "kubernetes"
    if shutil.which("kubectl"):
        built = subprocess.run(
            ["kubectl", "kustomize", str(folder)], check=True, capture_output=True, text=True
        ).stdout
        return list(yaml.safe_load_all(built))
    return [read(folder / name) for name in read(folder / "kustomization.yaml")["resources"]]


def ray_service() -> dict[str, Any]:
    (found,) = [one for one in kubernetes() if one["kind"] == "RayService"]
    return found


@pytest.mark.parametrize("path", LAUNCHER, ids=lambda path: path.name)
def test_rays_own_validator_takes_the_launchers_files(path: Path) -> None:
    validate_config(prepare_config(read(path)))


@pytest.mark.parametrize("path", LAUNCHER, ids=lambda path: path.name)
@pytest.mark.parametrize("typo", ["idle_timeout_minute", "worker_start_ray_command", "upscaling_sped"])
def test_rays_own_validator_sees_a_typo(path: Path, typo: str) -> None:
    values = read(path)
    right = next(name for name in values if name.startswith(typo) or typo in name or name[:9] == typo[:9])
    values[typo] = values.pop(right)
    with pytest.raises(jsonschema.ValidationError, match=typo):
        validate_config(prepare_config(values))


def test_the_launcher_knows_a_head_cpu_workers_and_gpu_workers_that_grow() -> None:
    kinds = read(ROOT / "cluster.yaml")["available_node_types"]
    assert set(kinds) == {"head", "cpu", "gpu"}
    assert kinds["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert kinds["gpu"]["resources"]["GPU"] == 1
    assert all(kinds[kind]["min_workers"] < kinds[kind]["max_workers"] for kind in ("cpu", "gpu"))


@pytest.mark.parametrize("path", LAUNCHER, ids=lambda path: path.name)
def test_every_node_starts_ray_by_the_same_environment_with_the_dashboard_on_loopback(path: Path) -> None:
    values = read(path)
    for node in ("head", "worker"):
        _, start = values[f"{node}_start_ray_commands"]
        assert start.startswith("cd ~/clearcast && . ops/cluster/environment.sh && .venv/bin/ray start ")
        assert '--node-ip-address="$CLEARCAST_NODE_ADDRESS"' in start  # which the certificate is for
    assert "--dashboard-host=127.0.0.1" in values["head_start_ray_commands"][1]


def test_the_smallest_cluster_has_room_for_all_models_and_for_a_rolling_update() -> None:
    kinds = read(ROOT / "cluster.yaml")["available_node_types"]
    serve = load_settings("cluster").serve
    limits = [getattr(serve, name) for name in MODELS]
    assert sum(one.num_gpus for one in limits) <= 1, "one GPU holds a replica of each model"
    gpus = kinds["gpu"]["min_workers"]
    always = [one for one in limits if one.num_gpus and one.min_replicas]
    assert {one.min_replicas for one in always} == {gpus}
    # Two versions of what is always there, spread evenly, on each GPU.
    assert 2 * sum(one.num_gpus for one in always) <= 1
    cpus = kinds["gpu"]["resources"]["CPU"]
    assert sum(one.num_cpus for one in [*limits, *always]) <= cpus


@pytest.fixture
def node(tmp_path: Path) -> dict[str, str]:
    """What `environment.sh` gives a node."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "environment").write_text("RAY_AUTH_TOKEN=only-for-this-test\n")
    return environment_of(secrets)


def environment_of(secrets: Path) -> dict[str, str]:
    done = subprocess.run(
        ["bash", "-euc", ". ops/cluster/environment.sh; env -0"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "CLEARCAST_SECRETS": str(secrets),
            "CLEARCAST_NODE_ADDRESS": "10.1.2.3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def test_a_node_starts_ray_as_one_machine_does_with_a_token_and_tls(node: dict[str, str]) -> None:
    assert node.items() >= RAY_ENVIRONMENT.items()
    assert (node["RAY_AUTH_MODE"], node["RAY_AUTH_TOKEN"]) == ("token", "only-for-this-test")
    assert node["RAY_USE_TLS"] == "1"
    assert node["PYTHONPATH"] == str(ROOT)


def test_a_nodes_certificate_is_for_its_address_by_the_clusters_authority(node: dict[str, str]) -> None:
    authority, certificate = node["RAY_TLS_CA_CERT"], node["RAY_TLS_SERVER_CERT"]
    checked = subprocess.run(
        ["openssl", "verify", "-CAfile", authority, "-verify_ip", "10.1.2.3", certificate],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert Path(node["RAY_TLS_SERVER_KEY"]).stat().st_mode & 0o777 == 0o600


def test_a_node_without_a_token_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "environment").write_text("")
    with pytest.raises(AssertionError, match="RAY_AUTH_TOKEN"):
        environment_of(tmp_path)


@pytest.mark.parametrize("path", LAUNCHER, ids=lambda path: path.name)
@pytest.mark.parametrize(
    ("role", "expected"),
    [("head", "start --head --port=6379"), ("worker", "start --address=10.0.0.1:6379")],
)
def test_the_launchers_commands_start_ray_with_the_nodes_address_and_secrets(
    path: Path, role: str, expected: str, tmp_path: Path
) -> None:
    secrets = tmp_path / "clearcast-secrets"
    secrets.mkdir()
    (secrets / "environment").write_text("RAY_AUTH_TOKEN=only-for-this-test\n")
    code = tmp_path / "clearcast"
    (code / ".venv" / "bin").mkdir(parents=True)
    (code / "ops").symlink_to(ROOT / "ops")
    ray = code / ".venv" / "bin" / "ray"
    ray.write_text('#!/bin/bash\necho "$RAY_AUTH_TOKEN $RAY_USE_TLS $PYTHONPATH $*"\n')
    ray.chmod(0o755)
    command = " && ".join(read(path)[f"{role}_start_ray_commands"])
    done = subprocess.run(
        ["bash", "-euc", command],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RAY_HEAD_IP": "10.0.0.1"}
        | {"CLEARCAST_NODE_ADDRESS": "10.1.2.3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stopped, started = done.stdout.splitlines()
    assert stopped.split()[-1] == "stop"
    assert started.startswith(f"only-for-this-test 1 {code} {expected}")
    assert "--node-ip-address=10.1.2.3" in started


def test_the_serve_file_has_no_unknown_option() -> None:
    assert serve_faults(read(ROOT / "deployments" / "serve.yaml")) == []


@pytest.mark.parametrize(
    "plant",
    [
        lambda values: values.update(http_option={}),
        lambda values: values["http_options"].update(prot=8000),
        lambda values: values["applications"][0].update(import_paht="x"),
    ],
)
def test_a_typo_in_the_serve_file_is_seen(plant: Callable[[Any], None]) -> None:
    values = read(ROOT / "deployments" / "serve.yaml")
    plant(values)
    assert len(serve_faults(values)) == 1


def test_every_resource_of_kubernetes_keeps_its_schema() -> None:
    faults = {one["kind"]: kubernetes_fault(one) for one in kubernetes() if one["kind"] != "Kustomization"}
    assert faults and not any(faults.values()), faults
    assert "RayService" in faults


def _pod(service: Any) -> Any:
    return service["spec"]["rayClusterConfig"]["workerGroupSpecs"][1]["template"]["spec"]


@pytest.mark.parametrize(
    "plant",
    [
        lambda service: service["spec"].update(upgradeStrategie={}),
        lambda service: service["spec"]["rayClusterConfig"].update(authOption={"mode": "token"}),
        lambda service: service["spec"]["rayClusterConfig"]["authOptions"].update(mode="tokens"),
        lambda service: service["spec"]["rayClusterConfig"]["headGroupSpec"].update(rayStartParam={}),
        lambda service: _pod(service)["containers"][0].update(volumeMount=[]),
        lambda service: _pod(service)["containers"][0]["env"][0].update(vlaue="1"),
        lambda service: _pod(service).update(securityContexts={}),
        lambda service: service["spec"].update(
            serveConfigV2=service["spec"]["serveConfigV2"].replace("import_path", "import_paht")
        ),
    ],
)
def test_a_typo_in_the_ray_service_is_seen(plant: Callable[[Any], None]) -> None:
    service = copy.deepcopy(ray_service())
    assert kubernetes_fault(service) is None
    plant(service)
    assert kubernetes_fault(service) is not None


def test_a_typo_in_another_resource_is_seen() -> None:
    for resource in kubernetes():
        if resource["kind"] in {"PersistentVolumeClaim", "NetworkPolicy"}:
            resource["spec"]["acessModes"] = []
            assert kubernetes_fault(resource) is not None


def test_every_pod_starts_ray_as_one_machine_does_with_tls_and_not_as_root() -> None:
    cluster = ray_service()["spec"]["rayClusterConfig"]
    assert cluster["authOptions"] == {"mode": "token"}
    templates = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for pod in (one["template"]["spec"] for one in templates):
        (container,) = pod["containers"]
        given = {one["name"]: one.get("value") for one in container["env"]}
        assert (
            given.items()
            >= (RAY_ENVIRONMENT | {"RAY_USE_TLS": "1", "PYTHONPATH": "/opt/clearcast"}).items()
        )
        assert pod["securityContext"]["runAsNonRoot"] is True
        secret = [
            one
            for one in container["env"]
            if one["name"].startswith("CLEARCAST__") or "TOKEN" in one["name"]
        ]
        assert secret and all("secretKeyRef" in one["valueFrom"] for one in secret)


def test_a_pods_certificate_is_made_by_its_command_and_the_authoritys_key_is_gone(tmp_path: Path) -> None:
    pod = ray_service()["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    authority, tls = tmp_path / "authority", tmp_path / "tls"
    tls.mkdir()
    script = str(ROOT / "ops" / "cluster" / "make_certificates.sh")
    subprocess.run(["bash", script, str(authority)], check=True)
    *shell, command = pod["initContainers"][0]["command"]
    command = command.replace("/authority", str(authority)).replace("/run/tls", str(tls))
    environment = {"PATH": os.environ["PATH"], "POD_IP": "10.1.2.3"}
    subprocess.run([*shell, command], cwd=ROOT, env=environment, check=True)
    mounted = {Path(one["value"]).name for one in pod["containers"][0]["env"] if "_TLS_" in one["name"]}
    assert mounted == {"ca.crt", "node.crt", "node.key"}
    assert {path.name for path in tls.iterdir() if path.is_file()} >= mounted
    assert not (tls / "ca.key").exists()


def test_the_serve_configuration_of_kubernetes_is_that_of_the_serve_file() -> None:
    file, text = read(ROOT / "deployments" / "serve.yaml"), ray_service()["spec"]["serveConfigV2"]
    inside = yaml.safe_load(text)
    assert inside["applications"] == file["applications"]
    assert AppArgs(**inside["applications"][0]["args"])
    assert inside["http_options"].pop("host") == "0.0.0.0"
    assert file["http_options"].pop("host") == "127.0.0.1"
    assert inside["http_options"] == file["http_options"]


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    command = [BIN / "hadolint", "--no-color", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_dockerfile_passes_its_linter_and_a_typo_does_not(tmp_path: Path) -> None:
    path = CONTAINER / "Dockerfile"
    assert (done := hadolint(path)).returncode == 0, done.stdout
    typo = tmp_path / "Dockerfile"
    typo.write_text(path.read_text().replace("HEALTHCHECK", "HEALTCHECK"))
    assert hadolint(typo).returncode != 0


def compose(path: Path) -> subprocess.CompletedProcess[str]:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_the_compose_files_keep_the_published_schema_and_a_typo_does_not(name: str, tmp_path: Path) -> None:
    assert (done := compose(CONTAINER / name)).returncode == 0, done.stdout
    values = read(CONTAINER / name)
    values["services"]["clearcast"]["enviroment"] = {}
    typo = tmp_path / name
    typo.write_text(yaml.safe_dump(values))
    assert compose(typo).returncode != 0


def test_the_settings_that_compose_gives_make_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    given = read(CONTAINER / "compose.yaml")["services"]["clearcast"]["environment"]
    for name, value in given.items():
        if name.startswith("CLEARCAST__"):
            monkeypatch.setenv(name, value)
    settings = load_settings("local")
    assert settings.database_url.startswith("postgresql://")
    assert settings.storage.blobs_url == "s3://clearcast"


def test_the_image_runs_commands_that_there_are() -> None:
    text = (CONTAINER / "Dockerfile").read_text(encoding="utf-8")
    assert 'CMD ["clearcast", "serve"]' in text
    assert (BIN / "clearcast").is_file()
    assert "/health/ready" in text
    assert "USER 10001" in text.split(" AS cpu")[1].split(" AS cuda")[0]
