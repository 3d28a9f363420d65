"""Fit the diarizer's speaker space on labelled window embeddings and write it beside the diarizer.

    python tools/train_speaker_backend.py EMBEDDINGS.npz

EMBEDDINGS.npz holds X, float32, shape (n, 256): Resemblyzer embeddings of 1.6 s windows of speech; and Y,
shape (n,): their speakers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from clearcast.engines.embed._speaker_space import BACKEND, fit


def main(source: Path, target: Path = BACKEND) -> None:
    with np.load(source, allow_pickle=False) as file:
        embeddings, speakers = file["X"], file["Y"]
    space = fit(embeddings, speakers)
    space.save(target)
    count = len(np.unique(speakers))
    print(f"{len(embeddings)} windows of {count} speakers → {target.name}, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
