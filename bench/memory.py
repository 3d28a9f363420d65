"""Memory: the peak of each process for a two-hour recording against that for a two-minute one.

The diarizer hears two hours of continuous talk. The rough transcriber would need most of an hour for that,
so it gets two hours with talk in a tenth of them; its windows are ten minutes in either case.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench._fresh import in_fresh_process
from bench._recordings import conversation_of
from bench.row import Row

SHORT_S, LONG_S = 120.0, 7200.0

_PEAK = """
import asyncio, json, resource, sys, tempfile
from pathlib import Path
from bench._fresh import peak_bytes
from clearcast.audio.recording import Clip
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.local import local_services
from clearcast.settings import load_settings
from pipelines.meeting import MeetingOptions, run_meeting

what, source = sys.argv[1:]
settings = load_settings("local")
with tempfile.TemporaryDirectory() as folder:
    made = prepare_sync(Path(source), Path(folder) / "audio.wav", settings.audio)
    if what != "decoding":
        text = TranscribeOptions(language="en") if what == "whole pipeline" else None
        options = MeetingOptions(transcribe=text)
        clip = Clip(made.path.resolve().as_uri())
        services = local_services(settings)
        asyncio.run(run_meeting(services, clip, made.duration_s, (), options))
who = resource.RUSAGE_CHILDREN if what == "decoding" else resource.RUSAGE_SELF
usage = resource.getrusage(who)
peak = usage.ru_maxrss * 1024 if what == "decoding" else peak_bytes()
print(json.dumps([peak, usage.ru_utime + usage.ru_stime]))
"""


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, pause_s in (("decoding", 0.0), ("diarization", 0.0), ("whole pipeline", 270.0)):
            short_bytes, _ = peak(what, conversation_of(SHORT_S, folder, pause_s))
            long_bytes, cpu_s = peak(what, conversation_of(LONG_S, folder, pause_s))
            added_mb = (long_bytes - short_bytes) / 1e6
            yield Row("memory", what, "peak, 2 h", long_bytes / 1e6, "MB", short_bytes / 1e6)
            yield Row("memory", what, "added by 2 h over 2 min", added_mb, "MB")
            yield Row("memory", what, "cpu-RTF, 2 h", cpu_s / LONG_S, "")


def peak(what: str, source: Path) -> tuple[int, float]:
    """(peak resident bytes, CPU seconds) of one run in a fresh process."""
    peak_bytes, cpu_s = in_fresh_process(_PEAK, what, str(source))
    return peak_bytes, cpu_s
