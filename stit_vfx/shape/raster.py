"""Which triangle each pixel sees: a z-buffer in plain numpy.

All pixel centres inside all triangles' bounding boxes are tested at once. Our triangles are a few pixels
large, so that this is a million tests at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

_LARGEST_PX = 256  # a triangle's box beyond this comes from a broken code, and would eat the memory


@dataclass(frozen=True)
class Raster:
    """The n pixels that are covered: `pixels` (n,) flat indices into `shape` (H, W), `corners` (n, 3) vertex
    ids, `weights` (n, 3) barycentric, `depth` (n,), larger is nearer.
    """

    shape: tuple[int, int]
    pixels: Array
    corners: Array
    weights: Array
    depth: Array

    def read(self, values: Array) -> Array:
        """(n, ...) vertex values (V, ...) interpolated at the covered pixels."""
        values = values.astype(np.float32, copy=False)
        weights = self.weights.T.reshape(3, -1, *(1,) * (values.ndim - 1))
        first, second, third = (values[c] * w for c, w in zip(self.corners.T, weights, strict=True))
        return np.asarray(first + second + third)

    def image(self, values: Array, fill: float = 0.0) -> Array:
        """(H, W, ...) float32 from values (n, ...) at the covered pixels."""
        out = np.full((self.shape[0] * self.shape[1], *values.shape[1:]), fill, np.float32)
        out[self.pixels] = values
        return out.reshape(*self.shape, *values.shape[1:])

    def read_image(self, image: Array) -> Array:
        """(n, ...) an image (H, W, ...) at the covered pixels."""
        return np.asarray(image.reshape(-1, *image.shape[2:])[self.pixels])

    @property
    def mask(self) -> Array:
        """(H, W) bool."""
        out = np.zeros(self.shape[0] * self.shape[1], bool)
        out[self.pixels] = True
        return out.reshape(self.shape)


def rasterise(points: Array, triangles: Array, shape: tuple[int, int]) -> Raster:
    """points (V, 3): x, y in px with centres at integers, y down, and depth. Back faces are dropped."""
    height, width = shape
    corner = points.astype(np.float32)[triangles]
    a, b, c = (corner[:, k, :2] for k in range(3))
    low = np.ceil(np.minimum(np.minimum(a, b), c)).clip(0, 1e6).astype(np.int32)
    high = np.minimum(np.floor(np.maximum(np.maximum(a, b), c)), [width - 1, height - 1]).clip(-1e6)
    high = high.astype(np.int32)
    box = high - low + 1
    u, v = b - a, c - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]  # negative in front: y is down
    seen = np.flatnonzero((box > 0).all(1) & (box <= _LARGEST_PX).all(1) & (area < -1e-9))
    owner, x, y = _candidates(low[seen], box[seen])
    owner = seen[owner]
    dx = x.astype(np.float32) - corner[owner, 0, 0]
    dy = y.astype(np.float32) - corner[owner, 0, 1]
    inverse = 1 / area[owner]
    second = (dx * v[owner, 1] - dy * v[owner, 0]) * inverse
    third = (dy * u[owner, 0] - dx * u[owner, 1]) * inverse
    inside = (second >= -1e-5) & (third >= -1e-5) & (second + third <= 1 + 1e-5)
    owner, second, third = owner[inside], second[inside], third[inside]
    weights = np.stack([1 - second - third, second, third], 1)
    depth = sum(weights[:, k] * corner[owner, k, 2] for k in range(3))
    pixels = (y[inside] * width + x[inside]).astype(np.intp)
    keep = _nearest(pixels, depth, height * width)
    return Raster(shape, pixels[keep], triangles[owner[keep]], weights[keep], depth[keep])


def _candidates(low: Array, box: Array) -> tuple[Array, Array, Array]:
    """Every integer point of every box: which box (K,), x (K,), y (K,)."""
    count = box[:, 0] * box[:, 1]
    owner = np.repeat(np.arange(len(box)), count)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    row, column = np.divmod(within, box[owner, 0])
    return owner, low[owner, 0] + column, low[owner, 1] + row


def _nearest(pixels: Array, depth: Array, count: int) -> Array:
    """Indices of the candidate with the largest depth of each pixel; ties go to the last."""
    best = np.full(count, -np.inf, np.float32)
    np.maximum.at(best, pixels, depth)
    front = np.flatnonzero(depth == best[pixels])
    winner = np.full(count, -1)
    winner[pixels[front]] = front
    return winner[winner >= 0]
