"""Libraries that report to their makers how they are used: all of them told not to.

ONNX Runtime 1.31 keeps a device id and a queue of events in `~/.cache/Microsoft` and sends them to its
maker, from the moment it is imported; pyannote.audio counts its users; the hub's library tells about the
caller's environment; Ray reports cluster sizes. Nothing leaves our users' machines: every engine's `load()`
and the command line call `forbid_telemetry` before such a library is imported, and replicas start with
`SWITCHES` in their environment.
"""

from __future__ import annotations

import os

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "PYANNOTE_METRICS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
}


def forbid_telemetry() -> None:
    """Set the libraries' own switches. Works only for libraries that are not imported yet."""
    os.environ.update(SWITCHES)
