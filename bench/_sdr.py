"""Ratios of a wanted signal to what is wrong in an estimate of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


def sdr_db(truth: Samples, found: Samples) -> float:
    """Power of the truth over that of everything else in what was found; both of shape (n,)."""
    wrong = truth - found
    return float(10.0 * np.log10(np.sum(truth**2) / np.sum(wrong**2)))


def si_sdr_db(truth: Samples, found: Samples) -> float:
    """The same after the best scaling of the truth (Le Roux et al., "SDR – half-baked or well done?")."""
    truth, found = truth - truth.mean(), found - found.mean()
    return sdr_db(truth * (np.sum(found * truth) / np.sum(truth**2)), found)
