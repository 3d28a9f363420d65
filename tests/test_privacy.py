"""No library reports on its use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clearcast.origin import ROOT

# Longer than the libraries wait before they write down their first event.
LOAD = """
import time
from pathlib import Path
from clearcast.engines.engine import EngineContext, engine_class
from clearcast.engines.engine import make_engine
cls = engine_class(SERVICE, NAME)
make_engine(cls, NAME, {}, EngineContext(Path("none"))).load()
time.sleep(1)
"""


@pytest.mark.parametrize(
    ("service", "name"), [("voice_activity", "silero"), ("diarize", "vbx"), ("transcribe", "pocketsphinx")]
)
def test_loading_an_engine_leaves_no_trace_of_a_telemetry_library(
    tmp_path: Path, service: str, name: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(ROOT)}
    for variable in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "DO_NOT_TRACK"):
        environment.pop(variable, None)
    script = LOAD.replace("SERVICE", repr(service)).replace("NAME", repr(name))
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    left = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    assert [path for path in left if "Microsoft" in path.parts or path.name == ".ses"] == []
