"""Serving: the meeting pipeline over Ray Serve against the same engines called directly, and what the
platform costs to start and to keep."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench._processes import cpu_between, cpu_seconds, memory_bytes
from bench._recordings import conversation_of
from bench.row import Row
from clearcast.accounts.accounts import accounts_of
from clearcast.client import ClearCast
from clearcast.settings import Settings, load_settings
from deployments.server import running

LENGTH_S = 300.0

# Loads the engines, warms them up on the first file, then measures the second.
_DIRECT = """
import asyncio, json, resource, sys, tempfile
from pathlib import Path
from clearcast.audio.recording import Clip
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.local import local_services
from clearcast.settings import load_settings
from pipelines.meeting import MeetingOptions, run_meeting

settings = load_settings("local")
services = local_services(settings)

def cpu_s():
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))

def run(source, text):
    with tempfile.TemporaryDirectory() as folder:
        made = prepare_sync(Path(source), Path(folder) / "audio.wav", settings.audio)
        options = MeetingOptions(transcribe=TranscribeOptions(language="en") if text else None)
        clip = Clip(made.path.resolve().as_uri())
        asyncio.run(run_meeting(services, clip, made.duration_s, (), options))

warm, source = sys.argv[1:]
run(warm, True)
used = {}
for case, text in (("diarization only", False), ("with words", True)):
    before = cpu_s()
    run(source, text)
    used[case] = cpu_s() - before
print(json.dumps(used))
"""


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm = conversation_of(30.0, folder)
        source = conversation_of(LENGTH_S, folder)
        command = [sys.executable, "-c", _DIRECT, str(warm), str(source)]
        direct = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        settings = load_settings("local").model_copy(update={"data_dir": folder / "data"})
        yield from _served(settings, warm, source, direct)


def _served(settings: Settings, warm: Path, source: Path, direct: dict[str, float]) -> Iterator[Row]:
    with accounts_of(settings) as accounts:
        _, key = accounts.keys.create(accounts.users.create("bench").id)
    started_s = time.monotonic()
    with running(settings) as addresses, ClearCast(addresses.url, api_key=key) as client:
        yield Row("serving", "local profile", "seconds to ready", time.monotonic() - started_s, "s")
        client.meeting(warm, language="en")
        for case, text in (("diarization only", False), ("with words", True)):
            before = cpu_seconds()
            client.meeting(source, language="en", output_transcriptions=text)
            used_s = cpu_between(before, cpu_seconds())
            metric = f"CPU seconds for {LENGTH_S:.0f} s of meeting, against direct calls"
            yield Row("serving", case, metric, used_s, "s", direct[case], used_s / direct[case])
        for process, used_bytes in sorted(memory_bytes().items()):
            yield Row("serving", process, "memory", used_bytes / 1e6, "MB")
        total_bytes = sum(memory_bytes().values())
        yield Row("serving", "all processes", "memory", total_bytes / 1e6, "MB")
