"""Twenty seconds of a whole show: nothing grows. `python -m streaming.testing.soak` goes on for hours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streaming.testing.soak import show
from streaming.workers import DenoiseWorkers

pytestmark = pytest.mark.alone

SECONDS, SETTLED_S = 20.0, 6.0


async def test_a_whole_show_grows_in_nothing(rnnoise: DenoiseWorkers, tmp_path: Path) -> None:
    looks = [look async for look in show(rnnoise, tmp_path, SECONDS)]
    settled = [look for look in looks if look.at_s >= SETTLED_S]
    half = len(settled) // 2
    before, after = settled[:half], settled[half:]
    memory_mb = [float(np.median([look.memory_mb for look in part])) for part in (before, after)]
    print(f"{looks[-1]}; median memory {memory_mb[0]:.1f} → {memory_mb[1]:.1f} MB")
    assert memory_mb[1] - memory_mb[0] < 4
    assert max(look.tasks for look in after) <= max(look.tasks for look in before) + 2
    assert min(look.queued for look in after) <= 2  # what a busy machine leaves waiting is worked off
    assert sum(look.is_denoised for look in settled) > 0.5 * len(settled)
    assert after[-1].heard - before[0].heard > 0.8 * 50 * (after[-1].at_s - before[0].at_s)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "recording").glob("*.opus")}
    assert len(sizes) == 5  # the mix, and two voices as they came and as they were cleaned
    assert min(sizes.values()) > 50_000
