"""Whether the person stays the same: over time (TL-ID, TG-ID) and against the plate.

TL-ID and TG-ID are the metrics of STIT (Tzaban et al. 2022, section 5): how alike the faces of an edited shot
are to each other, divided by the same of the source. 1 is as consistent as the source; more is possible. The
paper embeds with ArcFace; the numbers depend on the embedding, so compare them only under the same one.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

# dlib's descriptor, Euclidean: its author calls less than 0.6 the same person (99.4 % right on Labeled Faces
# in the Wild). Frames of one take are mostly below 0.45: an edit within that is no more than a turned head.
SAME_TAKE, SAME_PERSON = 0.45, 0.6


class Embed(Protocol):
    """Any function from a face to a vector: landmarks (68, 2) in pixels of image8 (H, W, 3) uint8 sRGB."""

    def __call__(self, image8: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None: ...


def tl_id(source: np.ndarray, edit: np.ndarray) -> float:
    """Temporally local identity: likeness of neighbouring frames, edit over source.

    Both (T, D), T >= 2; rows need not be normalised. The ratio is of the means, not the mean of ratios.
    """
    return _local(edit) / _local(source)


def tg_id(source: np.ndarray, edit: np.ndarray) -> float:
    """Temporally global identity: likeness of all pairs of frames, edit over source. Both (T, D), T >= 2."""
    return _global(edit) / _global(source)


def descriptor_distance(source: np.ndarray, edit: np.ndarray) -> float:
    """Mean distance of each frame's descriptor from its source's, (T, D) each. See SAME_TAKE, SAME_PERSON."""
    return float(np.linalg.norm(source - edit, axis=1).mean())


def _local(vectors: np.ndarray) -> float:
    unit = _normalised(vectors)
    return float((unit[1:] * unit[:-1]).sum(axis=1).mean())


def _global(vectors: np.ndarray) -> float:
    """The mean over pairs s < t, from the length of the sum of all vectors: linear in T, not quadratic."""
    unit = _normalised(vectors)
    count = len(unit)
    return float(((unit.sum(axis=0) ** 2).sum() - count) / (count * (count - 1)))


def _normalised(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
