"""One measured figure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """Attributes:
    area, case, metric: what was measured on what.
    value, unit: the figure; unit "" for a ratio, "%" for a share in hundredths.
    reference: the same figure of the upstream tool or a baseline in the same run, or None.
    ratio: value / reference where that says something, or None.
    """

    area: str
    case: str
    metric: str
    value: float
    unit: str
    reference: float | None = None
    ratio: float | None = None
