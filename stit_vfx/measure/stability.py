"""Whether a face trembles."""

from __future__ import annotations

import numpy as np


def landmark_jitter(landmarks: np.ndarray, segment: np.ndarray | None = None) -> float:
    """Rms length of the second difference in time, p(t-1) - 2 p(t) + p(t+1), in pixels; steady motion is 0.

    landmarks  (T, K, 2) px of consecutive frames
    segment    (T,) differences across a change of it, such as a cut, do not count
    NaN if no three frames follow each other.
    """
    second = landmarks[:-2] - 2 * landmarks[1:-1] + landmarks[2:]
    if segment is not None:
        second = second[segment[:-2] == segment[2:]]
    if len(second) == 0:
        return float("nan")
    return float(np.sqrt((second**2).sum(axis=-1).mean()))


def jitter_ratio(source: np.ndarray, edit: np.ndarray, segment: np.ndarray | None = None) -> float:
    """The edit's jitter over the source's: 1 is as steady as the plate. Inf if only the edit trembles."""
    before, after = landmark_jitter(source, segment), landmark_jitter(edit, segment)
    if before == 0:
        return 1.0 if after == 0 else float("inf")
    return after / before
