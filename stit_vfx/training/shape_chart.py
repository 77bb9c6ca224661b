"""Lays the source's skin out flat on our chart (`shape.chart`): a view from inside, without its folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import spsolve

from stit_vfx.shape.chart import HOLES, LEFT_EYE, LIPS, RIGHT_EYE, Hole
from stit_vfx.training.source import FaceSource

Array = np.ndarray

_CENTRE_CM = np.array([0.0, 0.0, -1.0])
_JAW_OPEN = 0.6
_PINNED, _SEEN, _FREE = 1e4, 20.0, 1e-5  # stiffness to the direction, against 1 per mesh edge
_UNFOLD_ROUNDS = 12


@dataclass(frozen=True)
class Unfolded:
    """`points` (N, 2) degrees and `triangles` (T, 3) of the skin vertices `ids` (N,) of the source."""

    points: Array
    triangles: Array
    ids: Array

    @property
    def folded(self) -> float:
        """Share of triangles that are still turned over."""
        return float((_area(self.points, self.triangles) <= 0).mean())


def unfold(source: FaceSource) -> Unfolded:
    """Directions from the centre, relaxed as springs where the skin is hidden from it; hole rims pinned on
    ellipses.
    """
    reference = source.neutral + _JAW_OPEN * source.expression[source.index("jawOpen")]
    skin = source.triangles_of("skin")
    direction, facing = _direction(reference, skin)
    ids, triangles = _submesh(skin, (np.abs(direction) < (95.0, 68.0)).all(1))
    target, facing = direction[ids], facing[ids]
    edges, rims = _edges_and_rims(triangles, len(ids))
    stiff = np.clip((facing - 0.15) / 0.3, 0, 1) ** 2 * _SEEN + _FREE
    for rim in rims:
        stiff[rim] = _PINNED
        target[rim] = _on_hole(target[rim])
    return Unfolded(_relax(target, stiff, triangles, edges, np.concatenate(rims)), triangles, ids)


def _direction(points: Array, triangles: Array) -> tuple[Array, Array]:
    """(V, 2) degrees seen from the centre, and (V,) the cosine between that ray and the outward normal."""
    ray = points - _CENTRE_CM
    flat = np.hypot(ray[:, 0], ray[:, 2])
    degrees = np.degrees(np.stack([np.arctan2(ray[:, 0], ray[:, 2]), np.arctan2(ray[:, 1], flat)], 1))
    corner = points[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal = np.zeros_like(points)
    for k in range(3):
        np.add.at(normal, triangles[:, k], face)
    length = np.linalg.norm(normal, axis=1) * np.linalg.norm(ray, axis=1)
    return degrees, (normal * ray).sum(1) / np.maximum(length, 1e-9)


def _submesh(triangles: Array, keep: Array) -> tuple[Array, Array]:
    ids, flat = np.unique(triangles[keep[triangles].all(1)], return_inverse=True)
    return ids, flat.reshape(-1, 3)


def _edges_and_rims(triangles: Array, count: int) -> tuple[Array, list[Array]]:
    """Unique edges (E, 2), and the vertex ids of each boundary loop."""
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1)
    edges, uses = np.unique(edges, axis=0, return_counts=True)
    a, b = edges[uses == 1].T
    _, label = csgraph.connected_components(
        sparse.coo_matrix((np.ones(len(a)), (a, b)), (count, count)), False
    )
    on = np.unique(np.concatenate([a, b]))
    return edges, [on[label[on] == k] for k in np.unique(label[on])]


def _on_hole(rim: Array) -> Array:
    """A loop around an eye or the mouth goes onto that hole's ellipse, corners to corners; the outer edge
    stays.
    """
    hole = _hole_of(rim)
    if hole is None:
        return rim
    low, high = rim.min(0), rim.max(0)
    across = np.clip((rim[:, 0] - low[0]) / (high[0] - low[0]) * 2 - 1, -1, 1)
    ends = rim[[rim[:, 0].argmin(), rim[:, 0].argmax()]]
    chord = np.interp(rim[:, 0], ends[:, 0], ends[:, 1])
    return hole.rim(np.arccos(across) * np.where(rim[:, 1] >= chord, 1, -1))


def _hole_of(rim: Array) -> Hole | None:
    if np.ptp(rim[:, 0]) > 90:
        return None
    x, y = rim.mean(0)
    name = LIPS if y < 0 else (RIGHT_EYE if x < 0 else LEFT_EYE)
    return next(hole for hole in HOLES if hole.name == name)


def _relax(target: Array, stiff: Array, triangles: Array, edges: Array, pinned: Array) -> Array:
    """Spring solve; vertices of triangles that stay folded, and their neighbours, are let go by rounds."""
    count = len(target)
    both = np.concatenate([edges, edges[:, ::-1]])
    links = sparse.coo_matrix((np.ones(len(both)), tuple(both.T)), (count, count)).tocsr()
    springs = sparse.diags(np.asarray(links.sum(1)).ravel()) - links
    for _ in range(_UNFOLD_ROUNDS):
        points = spsolve((springs + sparse.diags(stiff)).tocsc(), stiff[:, None] * target)
        folded = np.unique(triangles[_area(points, triangles) <= 0])
        if not len(folded):
            break
        stiff[np.setdiff1d(np.unique(links[folded].indices), pinned)] = _FREE
    return points


def _area(points: Array, triangles: Array) -> Array:
    a, b, c = points[triangles].transpose(1, 0, 2)
    return 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
