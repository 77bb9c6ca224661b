"""Soft mattes brought to the edges of the picture they belong to."""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray


def guided(values: Array, guide: Array, *, radius_px: int, noise: float) -> Array:
    """`values` (S, S, C) as locally linear functions of the picture `guide` (S, S, 3), both nominal 0..1.

    K. He, J. Sun, X. Tang: "Guided Image Filtering", ECCV 2010, eq. 14-16. Colours closer than `noise`
    are one. No thresholds: the result is a smooth function of both.
    """
    values, guide = values.astype(np.float32), guide.astype(np.float32)
    mean = _mean(guide, radius_px)
    spread = (
        _mean(guide[..., :, None] * guide[..., None, :], radius_px) - mean[..., :, None] * mean[..., None, :]
    )
    spread += noise**2 * np.eye(3, dtype=np.float32)
    middle = _mean(values, radius_px)
    joint = _mean(guide[..., :, None] * values[..., None, :], radius_px)
    slope = _inverse(spread) @ (joint - mean[..., :, None] * middle[..., None, :])
    offset = middle - np.einsum("yxk,yxkc->yxc", mean, slope)
    slope, offset = _mean(slope, radius_px), _mean(offset, radius_px)
    return np.asarray(np.einsum("yxk,yxkc->yxc", guide, slope) + offset)


def _mean(image: Array, radius_px: int) -> Array:
    """Box mean of (S, S, ...): channel by channel, as OpenCV takes four at most in some functions."""
    side = 2 * radius_px + 1
    flat = image.reshape(*image.shape[:2], -1)
    planes = [cv2.blur(np.ascontiguousarray(flat[..., k]), (side, side)) for k in range(flat.shape[-1])]
    return np.stack(planes, -1).reshape(image.shape)


def _inverse(matrix: Array) -> Array:
    """Inverses of symmetric (..., 3, 3): by cofactors, ten times as fast as numpy's."""
    a, b, c = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 0, 2]
    d, e, f = matrix[..., 1, 1], matrix[..., 1, 2], matrix[..., 2, 2]
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    rows = [
        [first, second, third],
        [second, a * f - c * c, b * c - a * e],
        [third, b * c - a * e, a * d - b * b],
    ]
    determinant = a * first + b * second + c * third
    return np.stack([np.stack(row, -1) for row in rows], -2) / determinant[..., None, None]
