"""Soft mattes brought to the edges of the picture they belong to."""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.shape.parts import LABELS, Parts

Array = np.ndarray

_RADIUS, _NOISE = 0.016, 0.04  # of the crop's side, of code: how far mattes look for an edge, and what is one
_NOTHING = 0.05  # a label whose share is nowhere more than this is not there: a third of the time saved


def to_edges(parts: Parts, crop_code: Array) -> Parts:
    """The parts with their edges where the crop (S, S, 3), code, has them; shares still sum to 1."""
    radius = max(2, round(_RADIUS * len(crop_code)))
    fine, guide = parts.shares.copy(), np.clip(crop_code, 0, 1)
    there = np.flatnonzero(fine.max((1, 2)) > _NOTHING)
    filtered = guided(np.moveaxis(fine[there], 0, 2), guide, radius_px=radius, noise=_NOISE)
    fine[there] = np.clip(np.moveaxis(filtered, 2, 0), 0, 1)
    glasses = LABELS.index("glasses")
    fine[glasses] = np.maximum(fine[glasses], parts.shares[glasses])  # thinner than the filter's window
    return Parts(fine / np.maximum(fine.sum(0), 1e-6))


def guided(values: Array, guide: Array, *, radius_px: int, noise: float) -> Array:
    """`values` (S, S, C) as locally linear functions of the picture `guide` (S, S, 3), both nominal 0..1.

    K. He, J. Sun, X. Tang: "Guided Image Filtering", ECCV 2010, eq. 14-16; the functions are found at half
    the size, as in "Fast Guided Filter", 2015. Colours closer than `noise` are one. No thresholds: the result
    is a smooth function of both.
    """
    size = guide.shape[1], guide.shape[0]
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    small = cv2.resize(guide.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    window = (radius_px | 1, radius_px | 1)
    inverse, mean = _spread(small, window, noise)
    out = np.empty(values.shape, np.float32)
    red, green, blue = (np.ascontiguousarray(guide[..., k], np.float32) for k in range(3))
    for k in range(values.shape[2]):
        value = cv2.resize(values[..., k].astype(np.float32), half, interpolation=cv2.INTER_AREA)
        middle = cv2.blur(value, window)
        joint = cv2.blur(small * value[..., None], window) - mean * middle[..., None]
        slope = np.stack([(inverse[row] * joint).sum(2) for row in range(3)], 2)
        offset = middle - (mean * slope).sum(2)
        line = cv2.blur(np.dstack([slope, offset]), window)
        line = cv2.resize(line, size, interpolation=cv2.INTER_LINEAR)
        out[..., k] = red * line[..., 0] + green * line[..., 1] + blue * line[..., 2] + line[..., 3]
    return out


def _spread(guide: Array, window: tuple[int, int], noise: float) -> tuple[list[Array], Array]:
    """Rows of the inverse covariance of the colours around each pixel, (S, S, 3) each, and their mean."""
    mean = cv2.blur(guide, window)
    products = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    square = cv2.blur(np.stack([guide[..., i] * guide[..., j] for i, j in products], 2), window)
    a, b, c, d, e, f = (square[..., n] - mean[..., i] * mean[..., j] for n, (i, j) in enumerate(products))
    a, d, f = a + noise**2, d + noise**2, f + noise**2
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    rows = [
        (first, second, third),
        (second, a * f - c * c, b * c - a * e),
        (third, b * c - a * e, a * d - b * b),
    ]
    determinant = a * first + b * second + c * third
    return [np.stack(row, 2) / determinant[..., None] for row in rows], mean
