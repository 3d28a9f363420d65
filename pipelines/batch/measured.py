"""How much processor time a second of sound takes, as `make bench` measured it on some machine.

What lives here: which rows of `bench/results.json` speak of which engine. What does not: measuring
(`bench/`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearcast.origin import ROOT
from clearcast.settings import Settings

RESULTS = ROOT / "bench" / "results.json"

# (service, engine) → module, case and metric of the row.
_ROWS = {
    ("decode", ""): ("memory", "decoding", "cpu-RTF, 2 h"),
    ("diarize", "vbx"): ("diarization", "meetings", "cpu-RTF"),
    ("transcribe", "pocketsphinx"): ("transcription", "pocketsphinx, 21 clips", "cpu-RTF"),
    ("denoise", "rnnoise"): ("denoise", "rnnoise, decode to encode", "cpu-RTF, 3 min"),
    ("denoise", "deepfilternet2"): ("denoise", "deepfilternet2, decode to encode", "cpu-RTF, 3 min"),
    ("boost", "dsp"): ("boost", "52 sounds", "cpu-RTF"),
    ("separate", "centre"): ("separate", "centre, 180 min over 3 min", "cpu-RTF"),
    ("extract", "gating"): ("long_sounds", "extract", "cpu-RTF, 3 h"),
}
# Their work is in the rows of the services that call them, or too little to count.
_WITHIN = {"voice_activity", "embed", "identify", "measure"}


@dataclass(frozen=True, slots=True)
class Rate:
    """Attributes:
    service: what is done; "decode" comes with every pipeline.
    engine: by which engine.
    cpu_s_per_s: processor seconds for a second of sound; None where nothing was measured.
    row: which figure that is.
    """

    service: str
    engine: str
    cpu_s_per_s: float | None
    row: str


def measured_rates(
    services: Iterable[str], settings: Settings, results: Path = RESULTS
) -> tuple[Rate, ...]:
    """The rates of decoding and of these services with the profile's engines."""
    known: dict[str, Any] = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    chosen = {name: getattr(settings.engines, name).engine for name in services if name not in _WITHIN}
    return tuple(_rate(service, engine, known) for service, engine in {"decode": "", **chosen}.items())


def _rate(service: str, engine: str, known: dict[str, Any]) -> Rate:
    place = _ROWS.get((service, engine))
    if place is not None:
        module, case, metric = place
        for row in known.get(module, ()):
            if (row["case"], row["metric"]) == (case, metric):
                return Rate(service, engine, float(row["value"]), " · ".join(place))
    return Rate(service, engine, None, "not measured")
