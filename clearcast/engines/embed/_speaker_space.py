"""The space in which speakers are far apart and one speaker's windows near: a linear discriminant analysis
with the between-speaker variance of each direction, as VBx needs it.

What lives here: fitting and applying it. `_speaker_space.npz` is the fitted result; its origin stands in
`engines/diarize/README.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

Matrix = npt.NDArray[np.float64]

BACKEND = Path(__file__).with_name("_speaker_space.npz")
DIMENSIONS = 48
# Of the within-speaker covariance towards a multiple of the identity. It sets the scale of the space that
# the distances and weights of the clustering are made for: `engines/diarize/README.md` tells how they were
# chosen together.
SHRINKAGE = 2e-2
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class SpeakerSpace:
    """Attributes:
    mean: of all embeddings, shape (256,).
    centre: of the centred unit vectors, shape (256,).
    directions: shape (256, dimensions); within-speaker variance is 1 along each.
    between: between-speaker variance along each direction, shape (dimensions,).
    """

    mean: Matrix
    centre: Matrix
    directions: Matrix
    between: Matrix

    def project(self, embeddings: npt.NDArray[np.float32]) -> Matrix:
        """Shape (n, 256) → (n, dimensions); in blocks, since doubles of hours of voiceprints are large."""
        projected: Matrix = np.empty((len(embeddings), self.directions.shape[1]))
        for start in range(0, len(embeddings), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            projected[rows] = (_unit(embeddings[rows] - self.mean) - self.centre) @ self.directions
        return projected

    @classmethod
    def load(cls, path: Path = BACKEND) -> SpeakerSpace:
        with np.load(path, allow_pickle=False) as file:
            mean, centre, directions, between = (
                file[name].astype(np.float64) for name in ("mean", "centre", "directions", "between")
            )
        return cls(mean, centre, directions, between)

    def save(self, path: Path) -> None:
        np.savez_compressed(
            path,
            mean=self.mean.astype(np.float32),
            centre=self.centre.astype(np.float32),
            directions=self.directions.astype(np.float32),
            between=self.between.astype(np.float32),
        )


def fit(embeddings: npt.NDArray[np.float32], speakers: npt.NDArray[np.str_]) -> SpeakerSpace:
    """The space from labelled window embeddings, shape (n, 256), and their speakers, shape (n,).

    Source: Fisher's discriminant as a generalised eigenproblem; length normalisation before it after
    Garcia-Romero and Espy-Wilson, 2011.
    """
    mean: Matrix = embeddings.astype(np.float64).mean(axis=0)
    vectors = _unit(embeddings - mean)
    centre: Matrix = vectors.mean(axis=0)
    _, owner, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    means = np.stack([vectors[owner == index].mean(axis=0) for index in range(len(counts))])
    residuals = vectors - means[owner]
    within = residuals.T @ residuals / len(vectors)
    offsets = means - centre
    between = (offsets.T * counts) @ offsets / len(vectors)
    ridge = SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    variances, directions = eigh(between, within + ridge)
    order = np.argsort(-variances)[:DIMENSIONS]
    return SpeakerSpace(mean, centre, directions[:, order], np.maximum(variances[order], 1e-4))


def _unit(vectors: npt.NDArray[np.floating]) -> Matrix:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float64)
