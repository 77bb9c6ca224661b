"""A picture continued into where it is not known, along its own edges.

F. Bornemann, T. März: "Fast Image Inpainting Based on Coherence Transport", J. Math. Imaging Vis. 28, 2007:
from the border inwards each pixel becomes a mean of what is known around it, mostly of what lies along the
edges there (their eq. 2.2 and 5.2). Edges go on straight, and what has none becomes smooth. Here a whole
layer of equal depth is filled at once, and the edges' direction is transported along with the colours: the
result depends on the picture as smoothly as the depth does, and not on an order of pixels.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

Array = np.ndarray

_REACH_PX = 4  # as far as a mean reaches; of the paper's 3 to 5
_CALM_PX, _AROUND_PX = 1.0, 3.0  # edges are sought under such a blur, and their direction over so far
_SHARP = 20.0  # the paper's kappa: how much narrower a mean is across an edge than along it
_EDGE = 0.04  # of code a pixel: what slopes less has no direction

_OFFSETS = [
    (x, y)
    for y in range(-_REACH_PX, _REACH_PX + 1)
    for x in range(-_REACH_PX, _REACH_PX + 1)
    if 0 < x * x + y * y <= _REACH_PX**2
]


def transported(picture: Array, depth: Array, *, deepest: float, goes_on: Array | float = 1.0) -> Array:
    """(S, S, 3) float32: the picture (S, S, 3) code where `depth` (S, S) px is 0, and continued from there
    along its edges to as far as `deepest` px in. Beyond that the picture as it was. `goes_on` (S, S) 0..1:
    how far an edge is one that does.
    """
    picture = np.asarray(picture, np.float32)
    layer = np.ceil(depth).astype(np.int32)
    layer[depth > deepest] = 0
    order = np.flatnonzero(layer)
    if not len(order):
        return picture
    pad, width = _REACH_PX, picture.shape[1] + 2 * _REACH_PX
    state = np.dstack([picture, _tensor(picture, depth == 0, goes_on), (depth == 0).astype(np.float32)])
    state = np.pad(state, [(pad, pad), (pad, pad), (0, 0)])
    flat = state.reshape(-1, 7)
    row, column = np.divmod(order, picture.shape[1])
    place, level = (row + pad) * width + column + pad, layer.reshape(-1)[order]
    by_level = np.argsort(level, kind="stable")
    place, level = place[by_level], level[by_level]
    ends = np.searchsorted(level, np.arange(1, int(level[-1]) + 2))
    off = np.array(_OFFSETS, np.float32)
    steps = np.array([y * width + x for x, y in _OFFSETS])
    far = 1 / np.hypot(off[:, 0], off[:, 1])
    for first, last in pairwise(ends):
        if first < last:
            flat[place[first:last]] = _means(flat[place[first:last, None] + steps], off, far)
    return np.ascontiguousarray(state[pad:-pad, pad:-pad, :3])


def _means(around: Array, off: Array, far: Array) -> Array:
    """(N, 7) from what is around (N, K, 7): colours, structure tensor xx, xy, yy, and 1 where known."""
    known = around[..., 6]
    plain = known * far**2
    xx, xy, yy = np.einsum("nk,nkc->cn", plain, around[..., 3:6]) / np.maximum(plain.sum(1), 1e-9)
    half, gap = 0.5 * (xx - yy), np.sqrt(0.25 * (xx - yy) ** 2 + xy**2)
    # The direction across: of the larger eigenvalue, (1 + cos) / 2 and so on of twice its angle.
    unit = np.maximum(gap, 1e-12)
    cross_xx, cross_yy, cross_xy = 0.5 * (1 + half / unit), 0.5 * (1 - half / unit), 0.5 * xy / unit
    across = (
        cross_xx[:, None] * off[:, 0] ** 2
        + cross_yy[:, None] * off[:, 1] ** 2
        + 2 * cross_xy[:, None] * off[:, 0] * off[:, 1]
    )
    edge = (2 * gap) ** 2 / ((2 * gap) ** 2 + _EDGE**4) * (2 * gap / np.maximum(xx + yy, 1e-12)) ** 4
    sharp = 1 + _SHARP * edge
    weight = known * far * np.exp(-0.5 * (sharp[:, None] / _REACH_PX) ** 2 * across)
    total = weight.sum(1, keepdims=True)
    weight = np.where(total > 1e-9, weight, plain)
    mean = np.einsum("nk,nkc->nc", weight, around[..., :6]) / np.maximum(weight.sum(1), 1e-9)[:, None]
    return np.concatenate([mean, np.ones((len(mean), 1), np.float32)], 1)


def _tensor(picture: Array, known: Array, goes_on: Array | float) -> Array:
    """(S, S, 3) structure tensor xx, xy, yy of what is known (S, S) bool, code a pixel squared."""
    calm = cv2.GaussianBlur(picture, (0, 0), _CALM_PX)
    x, y = (cv2.Scharr(calm, cv2.CV_32F, 1 - k, k, scale=1 / 32) for k in (0, 1))
    products = np.stack([(x * x).sum(2), (x * y).sum(2), (y * y).sum(2)], -1) * np.asarray(goes_on)[..., None]
    edge = max(2, round(3 * _CALM_PX))
    inner = cv2.erode(known.astype(np.uint8), np.ones((2 * edge + 1, 2 * edge + 1))).astype(np.float32)
    inner += 1e-4 * known
    total = cv2.GaussianBlur(inner, (0, 0), _AROUND_PX)[..., None] + 1e-9
    return np.asarray(cv2.GaussianBlur(products * inner[..., None], (0, 0), _AROUND_PX) / total)
