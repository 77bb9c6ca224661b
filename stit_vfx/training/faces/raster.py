"""Z-buffer rasteriser and vertex normals, compiled with numba (extra "train").

Positions are (x, y, depth): x and y in pixels with pixel centres at integers, y down, larger depth nearer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

Array = np.ndarray


@dataclass(frozen=True)
class Surface:
    """What is drawn: triangles (T, 3), their parts (T,), and per vertex the attributes that drawing needs.

    `points` (V, 3) model space, `normals` (V, 3), `canonical` (V, 3) place on the neutral head (NaN off it),
    `sky` (V,) visible share of the surroundings, `threshold` (V,): a pixel is kept where the strand texture
    at `strand` (V, 2) reaches it; 0 or less keeps all.
    """

    points: Array
    normals: Array
    canonical: Array
    sky: Array
    threshold: Array
    strand: Array
    triangles: Array
    parts: Array


def join(surfaces: list[Surface]) -> Surface:
    """One surface from several; triangle ids are shifted."""
    offsets = np.cumsum([0] + [len(s.points) for s in surfaces[:-1]])
    triangles = np.concatenate([s.triangles + o for s, o in zip(surfaces, offsets, strict=True)])
    rest = {
        name: np.ascontiguousarray(np.concatenate([getattr(s, name) for s in surfaces]), np.float32)
        for name in ("points", "normals", "canonical", "sky", "threshold", "strand")
    }
    parts = np.concatenate([s.parts for s in surfaces])
    return Surface(triangles=triangles.astype(np.int32), parts=parts, **rest)


@njit(cache=True, fastmath=True)
def vertex_normals(points: Array, triangles: Array) -> Array:  # pragma: no cover - compiled
    """(V, 3) unit normals, weighted by area."""
    normals = np.zeros_like(points)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        wx, wy, wz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        x, y, z = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for k in (a, b, c):
            normals[k, 0] += x
            normals[k, 1] += y
            normals[k, 2] += z
    for i in range(normals.shape[0]):
        size = (normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2) ** 0.5 + 1e-9
        normals[i] /= size
    return normals


@njit(cache=True, fastmath=True)
def rasterise(
    position: Array, triangles: Array, threshold: Array, strand: Array, texture: Array, size: int
) -> tuple[Array, Array, Array]:  # pragma: no cover - compiled
    """Depth (S, S), triangle ids (S, S) or -1, barycentric weights (S, S, 2) of corners 1 and 2."""
    depth = np.full((size, size), -1e9, np.float32)
    hit = np.full((size, size), -1, np.int32)
    weight = np.zeros((size, size, 2), np.float32)
    period = texture.shape[0]
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t]
        x0, y0 = position[a, 0], position[a, 1]
        x1, y1 = position[b, 0], position[b, 1]
        x2, y2 = position[c, 0], position[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        left, right = max(0, int(np.floor(min(x0, x1, x2)))), min(size - 1, int(np.ceil(max(x0, x1, x2))))
        top, bottom = max(0, int(np.floor(min(y0, y1, y2)))), min(size - 1, int(np.ceil(max(y0, y1, y2))))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                w1 = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
                w2 = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
                w0 = 1 - w1 - w2
                if w0 < -1e-4 or w1 < -1e-4 or w2 < -1e-4:
                    continue
                z = w0 * position[a, 2] + w1 * position[b, 2] + w2 * position[c, 2]
                if z <= depth[y, x]:
                    continue
                cut = w0 * threshold[a] + w1 * threshold[b] + w2 * threshold[c]
                if cut > 0:
                    u = w0 * strand[a, 0] + w1 * strand[b, 0] + w2 * strand[c, 0]
                    v = w0 * strand[a, 1] + w1 * strand[b, 1] + w2 * strand[c, 1]
                    if texture[int(np.floor(v)) % period, int(np.floor(u)) % period] < cut:
                        continue
                depth[y, x] = z
                hit[y, x] = t
                weight[y, x, 0] = w1
                weight[y, x, 1] = w2
    return depth, hit, weight


@njit(cache=True, fastmath=True)
def gather(chart: Array, x: Array, y: Array) -> Array:  # pragma: no cover - compiled
    """Bilinear samples (n, C) of a chart (H, W, C) at pixel positions; beyond the edge the edge repeats."""
    height, width, channels = chart.shape
    out = np.empty((x.shape[0], channels), np.float32)
    for i in range(x.shape[0]):
        px, py = min(max(x[i], 0.0), width - 1.001), min(max(y[i], 0.0), height - 1.001)
        left, top = int(px), int(py)
        fx, fy = px - left, py - top
        for k in range(channels):
            above = chart[top, left, k] * (1 - fx) + chart[top, left + 1, k] * fx
            below = chart[top + 1, left, k] * (1 - fx) + chart[top + 1, left + 1, k] * fx
            out[i, k] = above * (1 - fy) + below * fy
    return out
