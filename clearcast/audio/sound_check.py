"""What is wrong with recordings, in words their makers can act on.

What lives here: judging the facts that decoding found. What does not: finding them
(`clearcast/audio/level.py`), and how much speech there is (`pipelines/enrol.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.audio.sandbox import Prepared
from clearcast.audio.sound import PreparedSound

CLIPPED_SHARE = 1e-3  # of samples at full scale; undistorted speech touches it far more rarely
QUIET_DBFS = -42.0  # RMS with pauses; speech close to a microphone has -30 to -18


class Remark(BaseModel):
    """`code` is "short", "quiet", "clipping" or "truncated"."""

    code: Literal["short", "quiet", "clipping", "truncated"]
    message: str


def warnings_on(prepared: Prepared | PreparedSound) -> tuple[str, ...]:
    """What the reader of any result from this recording should know."""
    if prepared.silent:
        return ("The recording is silent.",)
    return (_cut_off(prepared),) if prepared.truncated else ()


def remarks_on(recordings: Sequence[Prepared], advice: str | None) -> list[Remark]:
    """What would make a voiceprint from these recordings better. `advice` is on their length."""
    remarks = [] if advice is None else [Remark(code="short", message=advice)]
    levels_dbfs = [one.rms_dbfs for one in recordings if one.rms_dbfs is not None]
    if levels_dbfs and max(levels_dbfs) < QUIET_DBFS:
        message = f"The recording is quiet ({max(levels_dbfs):.0f} dBFS): move closer to the microphone."
        remarks.append(Remark(code="quiet", message=message))
    clipped = max((_clipped_share(one) for one in recordings), default=0.0)
    if clipped > CLIPPED_SHARE:
        message = f"The sound is clipped ({clipped:.1%} of it): lower the recording level."
        remarks.append(Remark(code="clipping", message=message))
    remarks.extend(Remark(code="truncated", message=_cut_off(one)) for one in recordings if one.truncated)
    return remarks


def _clipped_share(prepared: Prepared) -> float:
    return prepared.clipped_samples / (prepared.duration_s * SAMPLE_RATE_HZ)


def _cut_off(prepared: Prepared | PreparedSound) -> str:
    return f"The file is cut off: only its first {prepared.duration_s:.1f} s could be read."
