"""How far a flow stretches a picture."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def least_scale(flow: Array) -> Array:
    """(S, S) px of the plate for each px of the picture, in the direction in which a flow (S, S, 2) px, which
    says where each pixel comes from, draws the plate out most: the smaller singular value of its slope. 1
    where nothing is drawn out, 0.5 where something is drawn to twice its size.
    """
    step_y, step_x = (np.gradient(flow.astype(np.float64), axis=k) for k in (0, 1))
    a, b, c, d = 1 + step_x[..., 0], step_y[..., 0], step_x[..., 1], 1 + step_y[..., 1]
    whole, area = a * a + b * b + c * c + d * d, a * d - b * c
    return np.asarray(np.sqrt(np.maximum(0.5 * (whole - np.sqrt(np.maximum(whole**2 - 4 * area**2, 0))), 0)))
