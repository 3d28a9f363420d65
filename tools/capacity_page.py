"""Writes docs/capacity.md and its plots: how cost grows with hours, speakers, rooms and listeners.

    python -m tools.capacity_page

What lives here: arithmetic and a simulation on figures of `bench/results.json`. What does not: measuring
(`bench/`) and an estimate for one recording or folder (`clearcast plan`).

The queue is simulated as one of first come, first served with several servers (M/G/c: Kleinrock, Queueing
Systems I, 1975), recordings coming at random and lognormal in length.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "capacity.md"
PLOTS = ROOT / "docs" / "capacity"
RESULTS = ROOT / "bench" / "results.json"

BUSY = 0.7  # of the cores: beyond that, waiting grows without much more being done
HOURS = (10, 100, 1000)  # of sound a day
ROOMS = (1, 10, 100)
LISTENERS = (0, 10, 100)
SPEAKERS = (1, 2, 4, 8)
CORES = (2, 4, 8, 16)
LOADS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
MEETING_S, SPREAD = 1800.0, 0.8  # mean length of a recording, and the sigma of its logarithm
RECORDINGS = 20_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured, all on one core of the machine that ran the bench.

    Attributes:
        rtf: core-seconds per second of sound, by kind of work.
        rooms_per_core: rooms with one voice that is denoised, from packets to packets.
        listeners_per_core: connections that hear one voice.
    """

    rtf: dict[str, float]
    rooms_per_core: float
    listeners_per_core: float


def read_figures(path: Path = RESULTS) -> Figures:
    """Raises KeyError when a figure is not in the results."""
    rows = {
        (row["area"], row["case"], row["metric"]): float(row["value"])
        for area in json.loads(path.read_text(encoding="utf-8")).values()
        for row in area
    }
    seconds = "CPU seconds for 300 s of meeting, against direct calls"
    return Figures(
        rtf={
            "meeting, pocketsphinx": rows["serving", "with words", seconds] / 300,
            "who speaks when, vbx": rows["serving", "diarization only", seconds] / 300,
            "enhance, rnnoise": rows["long sounds", "enhance", "cpu-RTF, 3 h"],
            "extract, gating": rows["long sounds", "extract", "cpu-RTF, 3 h"],
            "boost": rows["long sounds", "boost", "cpu-RTF, 3 h"],
            "separate, centre": rows["long sounds", "separate", "cpu-RTF, 3 h"],
        },
        rooms_per_core=rows["rooms", "RNNoise", "rooms_per_core"],
        listeners_per_core=rows["rooms", "one voice", "listeners_per_core"],
    )


def cores_for_hours(rtf: float, hours_a_day: float) -> float:
    """Cores that work through so many hours of sound a day, at BUSY."""
    return rtf * hours_a_day / 24 / BUSY


def cores_for_rooms(figures: Figures, rooms: float, speakers: float, listeners: float) -> float:
    """Cores for rooms alike, at BUSY: each speaker is decoded and denoised, each connection served.

    With two speakers or more everybody hears a mix, and each speaker one of their own, which is encoded for
    them: as much again as one more voice.
    """
    voices = speakers if speakers < 2 else 2 * speakers + 1
    connections = speakers + listeners
    return rooms * (voices / figures.rooms_per_core + connections / figures.listeners_per_core) / BUSY


def waits_s(rtf: float, cores: int, load: float, seed: int = 7) -> np.ndarray:
    """Seconds that each of RECORDINGS waits for a free core (float64), when a share `load` is busy."""
    chance = np.random.default_rng(seed)
    mean = np.log(MEETING_S) - SPREAD**2 / 2
    work_s = rtf * chance.lognormal(mean, SPREAD, RECORDINGS)
    comes_s = np.cumsum(chance.exponential(work_s.mean() / (cores * load), RECORDINGS))
    free_s = [0.0] * cores
    waits = np.empty(RECORDINGS)
    for index, (comes, work) in enumerate(zip(comes_s, work_s, strict=True)):
        begins = max(comes, heapq.heappop(free_s))
        heapq.heappush(free_s, begins + work)
        waits[index] = begins - comes
    return waits


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def short(value: float) -> str:
    """Two digits that count, without an exponent."""
    if value >= 100:
        return f"{round(value, -1):.0f}"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


def page(figures: Figures) -> str:
    hours = table(
        ["work", "core-seconds per second of sound", *(f"{hours} h a day" for hours in HOURS)],
        [
            [name, f"{rtf:.3f}", *(short(cores_for_hours(rtf, hours)) for hours in HOURS)]
            for name, rtf in figures.rtf.items()
        ],
    )
    rooms = table(
        [
            "speakers in each room",
            "listeners in each room",
            *(f"{rooms} room{'s' * (rooms > 1)}" for rooms in ROOMS),
        ],
        [
            [
                str(speakers),
                str(listeners),
                *(short(cores_for_rooms(figures, rooms, speakers, listeners)) for rooms in ROOMS),
            ]
            for speakers in SPEAKERS
            for listeners in LISTENERS
        ],
    )
    rtf = figures.rtf["meeting, pocketsphinx"]
    waits = table(
        ["cores", *(f"{100 * load:.0f} % busy" for load in LOADS)],
        [
            [
                str(cores),
                *(short(float(np.percentile(waits_s(rtf, cores, load), 95)) / 60) for load in LOADS),
            ]
            for cores in CORES
        ],
    )
    return TEXT.format(
        hours=hours, rooms=rooms, waits=waits, busy=f"{100 * BUSY:.0f} %", minutes=f"{MEETING_S / 60:.0f}"
    )


TEXT = """# Capacity

Written by `python -m tools.capacity_page` from the figures in
[bench/results.json](../bench/results.json); do not edit. Core-seconds were measured on one machine
without a GPU ([how](../README.md)); everything made from them is arithmetic or simulation, and says so.
Measure on your own machine (`make bench`) before you buy one.

## Hours of sound

Cores for so many hours of sound a day, spread over the day, with the cores {busy} busy (arithmetic):

{hours}

Cost grows in proportion to the hours, whatever the length of one recording: core-seconds per second
stay the same from three minutes to three hours. How many people speak in a recording does not show in
it: who speaks when is found on windows of sound, and comparing a voice with enrolled ones costs
microseconds. Neural engines of full size on a CPU or a GPU: [not yet measured](gpu.md).

![Cores by hours of sound a day](capacity/hours.svg)

## How long a recording waits

Minutes until a recording is begun, 95th percentile, for meetings of {minutes} minutes on the average
that come at random, one core for each (simulated):

{waits}

Many cores wait less at the same load, and beyond 80 % waiting grows fast: let replicas grow before that
(`serve.*.max_replicas`, `jobs.max_running`).

![Wait by load](capacity/waits.svg)

## Live rooms: speakers, rooms and listeners

Cores for rooms that are all busy at once, every speaker denoised by RNNoise, cores {busy} busy.
Measured are one speaker and one listener; beyond, it is arithmetic: a mix for everybody and one for
each speaker are counted as a voice each.

{rooms}

Listeners are cheap, since a packet is encoded once and sent to all; speakers cost most, since each is
denoised. Bandwidth: 64 kbit/s of Opus a listener, 192 for music.

![Cores by listeners in a room](capacity/rooms.svg)
"""


def plot(figures: Figures) -> None:
    """Write the plots as SVG, the same bytes for the same figures."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "clearcast", "svg.fonttype": "none", "figure.figsize": (6, 3.6)})
    PLOTS.mkdir(exist_ok=True)
    hours = np.geomspace(1, 3000, 40)
    _lines(
        "hours",
        "hours of sound a day",
        "cores",
        {name: (hours, cores_for_hours(rtf, hours)) for name, rtf in figures.rtf.items()},  # type: ignore[arg-type]
        log=True,
    )
    rtf = figures.rtf["meeting, pocketsphinx"]
    loads = np.linspace(0.3, 0.96, 23)
    _lines(
        "waits",
        "share of the cores that is busy",
        "minutes until begun (95 %)",
        {
            f"{cores} cores": (
                loads,
                np.array([np.percentile(waits_s(rtf, cores, load), 95) / 60 for load in loads]),
            )
            for cores in CORES
        },
    )
    listeners = np.linspace(0, 500, 40)
    _lines(
        "rooms",
        "listeners in the room",
        "cores",
        {
            f"{speakers} speaker{'s' if speakers > 1 else ''}": (
                listeners,
                cores_for_rooms(figures, 1, speakers, listeners),  # type: ignore[arg-type]
            )
            for speakers in SPEAKERS
        },
    )


def _lines(
    name: str,
    x_label: str,
    y_label: str,
    lines: dict[str, tuple[np.ndarray, np.ndarray]],
    log: bool = False,
) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(layout="constrained")
    for label, (x, y) in lines.items():
        axes.plot(x, y, label=label)
    if log:
        axes.set(xscale="log", yscale="log")
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(PLOTS / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    found = read_figures()
    PAGE.write_text(page(found), encoding="utf-8")
    plot(found)
