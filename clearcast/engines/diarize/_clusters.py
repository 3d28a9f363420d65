"""How many speakers there are, and whose each window is.

What lives here: the first guess by agglomerative clustering, in blocks where a recording is long, and
holding to a number of speakers that was asked for. What does not: the refinement (`_vbx`) and the edges of
turns (`_relabel`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage

from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.embed.contract import Embedding

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

# Windows clustered together: their distances take 16 MB. Speech of up to 13 minutes fits in one block.
BLOCK = 2000


def agglomerated(points: Matrix, threshold: float) -> Labels:
    """Labels by average linkage of squared distances up to `threshold`.

    More points than `BLOCK` are clustered block by block, then the clusters by their means; so memory grows
    with the length, not its square.
    """
    if len(points) <= BLOCK:
        return _linked(points, threshold)
    labels = np.empty(len(points), np.int64)
    means: list[Matrix] = []
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        within = _linked(block, threshold)
        labels[start : start + BLOCK] = within + len(means)
        means.extend(block[within == label].mean(axis=0) for label in range(int(within.max()) + 1))
    return agglomerated(np.stack(means), threshold)[labels]


def _linked(points: Matrix, threshold: float) -> Labels:
    if len(points) == 1:
        return np.zeros(1, np.int64)
    tree = linkage(points, method="average", metric="sqeuclidean")
    return np.asarray(fcluster(tree, threshold, criterion="distance") - 1, np.int64)


def compact(labels: Labels) -> Labels:
    """The same grouping with labels 0, 1, 2 …"""
    return np.asarray(np.unique(labels, return_inverse=True)[1], np.int64)


def long_enough(labels: Labels, weights_s: Matrix, least_s: float) -> npt.NDArray[np.bool_]:
    """Which of the labels 0 … k−1 stand for at least `least_s` seconds of speech."""
    return np.asarray(np.bincount(labels, weights_s) >= least_s)


def steady(labels: Labels, stretch: Labels, least_run: int) -> npt.NDArray[np.bool_]:
    """Which of the labels 0 … k−1 hold somewhere for `least_run` windows on end, or for a whole stretch.

    What only ever flickers up between others is seldom a person: mostly two who talk at once.
    """
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(labels) != 0) | (np.diff(stretch) != 0)]))
    ends = np.concatenate([starts[1:], [len(labels)]])
    begins_stretch = np.concatenate([[True], np.diff(stretch) != 0])
    ends_stretch = np.concatenate([np.diff(stretch) != 0, [True]])
    good = (ends - starts >= least_run) | (begins_stretch[starts] & ends_stretch[ends - 1])
    found = np.zeros(labels.max() + 1, bool)
    found[labels[starts[good]]] = True
    return found


def absorbed(labels: Labels, embeddings: Embedding, keep: npt.NDArray[np.bool_]) -> Labels:
    """The clusters that are not kept dissolved: each of their windows goes to the nearest one that is.

    Where none is to be kept, the largest is.
    """
    big = np.flatnonzero(keep)
    if len(big) == 0:
        big = np.asarray([np.bincount(labels).argmax()])
    nearest = (embeddings @ centroids(labels, embeddings)[big].T).argmax(axis=1)
    return compact(np.where(np.isin(labels, big), labels, big[nearest]))


def centroids(labels: Labels, embeddings: Embedding) -> Embedding:
    """Mean direction of each label 0 … k−1, shape (k, dimension), unit length."""
    means = np.stack([embeddings[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)


def bounds(options: DiarizeOptions) -> tuple[int, int | None]:
    """Smallest and largest number of speakers asked for (None: no limit)."""
    if options.num_speakers is not None:
        return options.num_speakers, options.num_speakers
    return options.min_speakers or 1, options.max_speakers


def merged(labels: Labels, points: Matrix, most: int) -> Labels:
    """The nearest clusters joined, two at a time, until `most` are left."""
    labels = compact(labels)
    while labels.max() + 1 > most:
        count = labels.max() + 1
        means = np.stack([points[labels == label].mean(axis=0) for label in range(count)])
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        near = means @ means.T
        np.fill_diagonal(near, -np.inf)
        keep, drop = np.unravel_index(int(near.argmax()), near.shape)
        labels = compact(np.where(labels == drop, keep, labels))
    return labels


def split(labels: Labels, points: Matrix, least: int) -> Labels:
    """The most spread-out clusters cut in two until there are `least`, or no cluster can be cut."""
    labels = compact(labels)
    while labels.max() + 1 < least:
        widest = max(range(labels.max() + 1), key=lambda label: _spread(points[labels == label]))
        members = np.flatnonzero(labels == widest)
        if len(members) < 2:
            break
        halves = _halves(points[members])
        labels[members[halves]] = labels.max() + 1
    return labels


def _spread(points: Matrix) -> float:
    return float(np.square(points - points.mean(axis=0)).sum())


def _halves(points: Matrix) -> npt.NDArray[np.bool_]:
    """Two-means from the two ends of the main axis; deterministic. Neither half is empty."""
    centred = points - points.mean(axis=0)
    axis = np.linalg.svd(centred[:BLOCK], full_matrices=False)[2][0]
    along: Matrix = centred @ axis
    upper: npt.NDArray[np.bool_] = along >= np.sort(along)[len(along) // 2]
    for _ in range(20):
        low, high = points[~upper].mean(axis=0), points[upper].mean(axis=0)
        nearer: npt.NDArray[np.bool_] = np.square(points - high).sum(axis=1) < np.square(points - low).sum(
            axis=1
        )
        if nearer.all() or not nearer.any() or (nearer == upper).all():
            break
        upper = nearer
    return upper
