"""What works on this machine and why the rest does not: checks that give data, one after another.

What lives here: the checks. What does not: how they are shown (`cli/doctor.py`). No check changes anything,
uses a network or loads a model, unless `load` asks for it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from clearcast.catalogue import chosen_engine
from clearcast.engines.engine import SERVICES, Engine
from clearcast.errors import ClearCastError, ModelError
from clearcast.models.store import locate
from clearcast.origin import APPLICATION_PACKAGES, assert_own_packages
from clearcast.ports import bind_error
from clearcast.settings import DeploymentSettings, Settings, load_settings

State = Literal["ok", "warn", "fail"]

_PYTHON = (3, 11)
_LITTLE_MEMORY_BYTES = 4 << 30  # all embedded engines, Ray and the ingress together stay below 3 GB
_LITTLE_DISK_BYTES = 2 << 30
_LITTLE_SHARED_BYTES = 256 << 20  # Ray's object store (`deployments/server.py`) and some room


@dataclass(frozen=True, slots=True)
class Check:
    """Attributes:
    name: what was looked at.
    state: "ok"; "warn" when something works less well or may be meant; "fail" when what the profile needs
        does not work.
    detail: what was found.
    what_to_do: how to make it right; None when all is well.
    """

    name: str
    state: State
    detail: str
    what_to_do: str | None = None


def run_checks(profile: str | None = None, *, load: bool = False) -> Iterator[Check]:
    """All checks, each as soon as it is done. `load` also loads every engine of the profile."""
    yield _python()
    yield from _packages()
    yield _own_packages()
    try:
        settings = load_settings(profile)
    except ClearCastError as error:
        yield _failed("profile", error)
        return
    yield Check("profile", "ok", f"{profile or 'the default one'} is valid")
    for service in SERVICES:
        yield _engine(service, settings, load=load)
    yield _processor_and_memory(settings)
    yield _gpu(settings)
    yield _folder("data folder", settings.data_path, "CLEARCAST__DATA_DIR")
    yield _folder("models folder", settings.models_path, "CLEARCAST__MODELS__DIR")
    yield _shared_memory()
    yield _port(settings)
    yield _decoding(settings)
    yield Check("other programs", "ok", "none needed: ffmpeg, Redis and a database are not used")


def _failed(name: str, error: ClearCastError) -> Check:
    return Check(name, "fail", error.message, error.hint)


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info[:2] == _PYTHON:
        return Check("Python", "ok", version)
    wanted = ".".join(map(str, _PYTHON))
    return Check("Python", "fail", version, f"ClearCast runs on Python {wanted}; make a new environment.")


def _packages() -> Iterator[Check]:
    """The packages that ClearCast asks for: installed, in a version that fits, and importable."""
    try:
        wanted = [Requirement(line) for line in importlib.metadata.requires("clearcast") or []]
    except importlib.metadata.PackageNotFoundError:
        yield Check("packages", "fail", "ClearCast is not installed here.", "Run any make target.")
        return
    modules_of: dict[str, set[str]] = {}
    for module, distributions in importlib.metadata.packages_distributions().items():
        for distribution in distributions:
            modules_of.setdefault(canonicalize_name(distribution), set()).add(module)
    wrong = [problem for requirement in wanted if (problem := _package_problem(requirement, modules_of))]
    remedy = "Make the environment again: rm -rf .venv, then any make target"
    if wrong:
        yield Check("packages", "fail", "; ".join(wrong), remedy)
    else:
        shown = ("torch", "ray", "faster-whisper", "pyannote.audio", "av")
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in shown)
        yield Check("packages", "ok", f"all {len(wanted)} as asked for ({versions})")
    if "typing" in modules_of:
        # Resemblyzer asks for it; it shadows the standard library and breaks Python.
        yield Check("package typing", "fail", "The PyPI package 'typing' is installed.", remedy)


def _package_problem(requirement: Requirement, modules_of: dict[str, set[str]]) -> str | None:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} is {version}, wanted {requirement.specifier}"
    modules = modules_of.get(canonicalize_name(requirement.name), set())
    if not any(importlib.util.find_spec(module) for module in modules):
        return f"{requirement.name} is installed but cannot be imported"
    return None


def _own_packages() -> Check:
    names = ", ".join(APPLICATION_PACKAGES)
    try:
        assert_own_packages()
    except ClearCastError as error:
        return _failed("own packages", error)
    return Check("own packages", "ok", f"{names} are ClearCast's")


def _engine(service: str, settings: Settings, *, load: bool) -> Check:
    name = f"engine: {service}"
    try:
        engine = chosen_engine(service, settings)
        size_bytes = 0
        for spec in type(engine).models(engine.options):
            folder = locate(spec, settings.models_path)
            size_bytes += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        detail = f"{engine.engine_name()} ({engine.model_name})"
        detail += f", {size_bytes / 1e6:.0f} MB on disk" if size_bytes else ", in the package"
        if load:
            detail += f", loaded in {_load_s(engine):.1f} s"
    except ModelError as error:
        return Check(name, "fail", error.message, error.hint)
    except ClearCastError as error:
        return _failed(name, error)
    if engine.quality is not None:
        return Check(
            name,
            "warn",
            f"{detail}: works, quality {engine.quality}",
            "Better words: clearcast models pull whisper-small, then --model small"
            if service == "transcribe"
            else None,
        )
    return Check(name, "ok", detail)


def _load_s(engine: Engine) -> float:
    started_s = time.perf_counter()
    engine.load()
    return time.perf_counter() - started_s


def _processor_and_memory(settings: Settings) -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory()
    detail = f"{cores} cores, {memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB memory free"
    # Those that start when they are needed count too: they stay until they were idle for a while.
    asked = sum(
        model.num_cpus * max(model.initial_replicas, model.min_replicas, 1)
        for model in vars(settings.serve).values()
        if isinstance(model, DeploymentSettings)
    )
    if asked > cores:
        return Check(
            "processor and memory",
            "warn",
            f"{detail}; serving asks for {asked:g} cores",
            "Lower serve.*.num_cpus in the profile, or replicas will wait for ever.",
        )
    if memory.available < _LITTLE_MEMORY_BYTES:
        return Check("processor and memory", "warn", detail, "Close other programs before serving.")
    return Check("processor and memory", "ok", detail)


def _wants_gpu(settings: Settings) -> bool:
    limits = settings.serve
    shares = (limits.diarizer.num_gpus, limits.embedder.num_gpus, limits.transcriber.num_gpus)
    devices = (str(getattr(settings.engines, service).options.get("device", "cpu")) for service in SERVICES)
    return any(shares) or any(device.startswith("cuda") for device in devices)


def _gpu(settings: Settings) -> Check:
    wanted = _wants_gpu(settings)
    if not wanted and not Path("/proc/driver/nvidia").exists():
        return Check("GPU", "ok", "none here, and this profile asks for none")
    import torch  # two seconds and half a gigabyte: only where a GPU matters

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        state: State = "fail" if wanted else "ok"
        return Check(
            "GPU",
            state,
            "no CUDA device answers" + (", but the profile asks for one" if wanted else ""),
            "Install NVIDIA's driver, or use --profile local." if wanted else None,
        )
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
    memory_gb = torch.cuda.get_device_properties(0).total_memory / 1e9
    limits = settings.serve
    asked = sum(
        model.num_gpus * max(model.initial_replicas, model.min_replicas)
        for model in (limits.diarizer, limits.embedder, limits.transcriber)
    )
    detail = f"{names} ({memory_gb:.0f} GB); the profile takes {asked:g} of {count}"
    if asked > count:
        return Check("GPU", "fail", detail, "Lower serve.*.num_gpus until the sum fits.")
    if not wanted:
        return Check("GPU", "warn", detail, "There is a GPU: --profile gpu would use it.")
    return Check("GPU", "ok", detail)


def _folder(name: str, folder: Path, variable: str) -> Check:
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        return Check(
            name, "fail", f"{folder} cannot be written to ({error.strerror})", f"Set {variable} to another."
        )
    free_bytes = psutil.disk_usage(str(nearest)).free
    detail = f"{folder}, {free_bytes / 1e9:.1f} GB free"
    if free_bytes < _LITTLE_DISK_BYTES:
        return Check(name, "warn", detail, f"Make room, or set {variable} to another disk.")
    return Check(name, "ok", detail)


def _shared_memory() -> Check:
    shared = Path("/dev/shm")  # noqa: S108 - where Ray keeps its object store on Linux
    if not shared.is_dir():
        return Check("shared memory", "ok", "not used on this system")
    free_bytes = psutil.disk_usage(str(shared)).free
    detail = f"{free_bytes / 1e6:.0f} MB free in /dev/shm"
    if free_bytes < _LITTLE_SHARED_BYTES:
        return Check("shared memory", "warn", detail, "In a container: docker run --shm-size=512m")
    return Check("shared memory", "ok", detail)


def _port(settings: Settings) -> Check:
    host, port = settings.http.host, settings.http.port
    error = bind_error(host, port)
    if error is not None:
        return Check(
            "port",
            "warn",
            f"{host}:{port} is taken or not ours ({error.strerror})",
            "Another ClearCast may be running; else choose one: CLEARCAST__HTTP__PORT=…",
        )
    return Check("port", "ok", f"{host}:{port} is free")


def _decoding(settings: Settings) -> Check:
    from clearcast.audio.recording import Recording
    from clearcast.audio.sandbox import prepare_sync

    with tempfile.TemporaryDirectory(prefix="clearcast-doctor-") as folder:
        source, target = Path(folder) / "tone.wav", Path(folder) / "copy.wav"
        with wave.open(str(source), "wb") as tone:
            tone.setnchannels(2)
            tone.setsampwidth(2)
            tone.setframerate(44_100)
            tone.writeframes(bytes(range(256)) * 690)  # one second
        try:
            prepare_sync(source, target, settings.audio)
            with Recording.open(target) as recording:
                duration_s = recording.duration_s
        except ClearCastError as error:
            return _failed("decoding", error)
    if abs(duration_s - 1.0) > 0.05:
        return Check("decoding", "fail", f"one second of sound became {duration_s:.2f} s")
    return Check("decoding", "ok", "a file was decoded in a child process of limited rights")
