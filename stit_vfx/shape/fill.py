"""Smooth filling of what is not known from what is."""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray


def fill(values: Array, known: Array) -> Array:
    """(S, S, C) with the unknown pixels filled in smoothly from the known ones (push-pull over a pyramid)."""
    values = values.astype(np.float32)
    return _pull(values * known[..., None], known.astype(np.float32))


def _pull(total: Array, weight: Array) -> Array:
    height, width = weight.shape
    if min(height, width) <= 2:
        mean = total.sum((0, 1)) / max(float(weight.sum()), 1e-9)
        coarse = np.broadcast_to(mean, total.shape)
    else:
        half = ((width + 1) // 2, (height + 1) // 2)
        smaller = cv2.resize(np.dstack([total, weight]), half, interpolation=cv2.INTER_AREA)
        coarse = _pull(smaller[..., :-1], smaller[..., -1])
        coarse = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(total.shape)
    share = np.clip(weight, 0, 1)[..., None]
    own = total / np.maximum(weight, 1e-6)[..., None]
    return (own * share + coarse * (1 - share)).astype(np.float32)
