"""Our chart of the face: a flat map of its skin, in degrees.

A chart point is (azimuth, elevation) as seen from a centre inside the head, in a face whose jaw is dropped,
so that the mouth has area. Where that view folds (nostrils, rolled lips, lid margins), training unfolds it.
The eyes and the mouth are holes whose rims are ellipses by construction: what lies on a rim is a closed
formula here, and the network only has to learn where the rim is in space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

AZIMUTH_DEG = 78.0  # the chart ends just in front of the ears
ELEVATION_DEG = (-58.0, 58.0)  # upper neck to scalp
LIPS, RIGHT_EYE, LEFT_EYE = "lips", "right_eye", "left_eye"


@dataclass(frozen=True)
class Hole:
    """An elliptic hole; the face's right eye is at negative azimuth, as iBUG numbers it first."""

    name: str
    centre: tuple[float, float]
    radii: tuple[float, float]

    def level(self, points_deg: Array) -> Array:
        """(...,) 0 at the centre, 1 on the rim, more outside."""
        return np.hypot(*np.moveaxis((points_deg - self.centre) / np.array(self.radii), -1, 0))

    def distance(self, points_deg: Array) -> Array:
        """(...,) signed distance to the rim in degrees, to first order; negative inside the hole."""
        scaled = (points_deg - self.centre) / np.array(self.radii)
        level = np.maximum(np.hypot(scaled[..., 0], scaled[..., 1]), 1e-6)
        slope = np.hypot(scaled[..., 0] / self.radii[0], scaled[..., 1] / self.radii[1])
        return level * (level - 1.0) / np.maximum(slope, 1e-6 / min(self.radii))

    def rim(self, angle_rad: Array) -> Array:
        """(..., 2) points of the rim; angle 0 is the corner at the larger azimuth, pi/2 the top."""
        unit = np.stack([np.cos(angle_rad), np.sin(angle_rad)], -1)
        return np.array(self.centre) + unit * np.array(self.radii)


HOLES = (
    Hole(LIPS, (0.0, -21.7), (8.2, 2.4)),
    Hole(RIGHT_EYE, (-18.0, 17.3), (5.2, 1.2)),
    Hole(LEFT_EYE, (18.0, 17.3), (5.2, 1.2)),
)


@dataclass(frozen=True)
class Grid:
    """Triangulated chart: points (V, 2) degrees, triangles (T, 3) seen from outside counter-clockwise, and
    for each hole the ids of the vertices on its rim, ordered by angle.
    """

    points: Array
    triangles: Array
    rims: dict[str, Array]


def signed_distance(points_deg: Array) -> Array:
    """(...,) degrees to the skin's boundary; negative in the eyes, the mouth and off the chart."""
    azimuth, elevation = points_deg[..., 0], points_deg[..., 1]
    edge = np.minimum(AZIMUTH_DEG - np.abs(azimuth), elevation - ELEVATION_DEG[0])
    edge = np.minimum(edge, ELEVATION_DEG[1] - elevation)
    return np.minimum(edge, np.min([hole.distance(points_deg) for hole in HOLES], 0))


def grid() -> Grid:
    """The grid that the network is evaluated on: fine at lids and lips, coarse at the sides."""
    columns, rows = _columns(), _rows()
    points = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    points, on_rim = _snap(points, columns, rows)
    cells = _cells(len(rows), len(columns))
    centres = points[cells].mean(1)
    inside = np.min([hole.level(centres) for hole in HOLES], 0) < 1.0
    touches = (on_rim[cells] >= 0).all(1)  # a triangle whose corners all lie on one rim spans the hole
    return _compact(points, cells[~inside & ~(touches & inside)], on_rim)


def _spread(stops: list[tuple[float, float]], start: float) -> Array:
    """Coordinates from `start` to the last stop; (end, step) pairs give the step that is reached there."""
    out, here, step = [start], start, stops[0][1]
    for end, goal in stops:
        count = max(1, round(2 * (end - here) / (step + goal)))
        ramp = np.linspace(step, goal, count)
        out += list(here + np.cumsum(ramp) * (end - here) / ramp.sum())
        here, step = end, goal
    return np.array(out)


def _columns() -> Array:
    half = _spread([(28.0, 0.7), (AZIMUTH_DEG, 2.4)], 0.0)
    return np.concatenate([-half[:0:-1], half])


def _rows() -> Array:
    low, high = ELEVATION_DEG
    stops = [
        (-34.0, 0.9),
        (-28.0, 0.55),
        (-14.0, 0.55),
        (0.0, 0.9),
        (12.0, 0.7),
        (15.5, 0.34),
        (20.0, 0.34),
        (28.0, 0.8),
    ]
    return np.concatenate([[low], _spread([*stops, (high, 2.2)], low)[1:]])


def _cells(rows: int, columns: int) -> Array:
    """(T, 3); the diagonals mirror about the middle column so that both halves of the face are alike."""
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (
        index[:-1, :-1],
        index[:-1, 1:],
        index[1:, 1:],
        index[1:, :-1],
    )  # a low left, then counter-clockwise
    left = np.broadcast_to(np.arange(columns - 1) < columns // 2, a.shape)[..., None]
    first = np.where(left, np.stack([a, b, d], -1), np.stack([a, b, c], -1))
    second = np.where(left, np.stack([b, c, d], -1), np.stack([a, c, d], -1))
    return np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])


def _snap(points: Array, columns: Array, rows: Array) -> tuple[Array, Array]:
    """Move vertices close to a rim onto it.

    Returns points and (V,) the rim that each lies on, -1 for none.
    """
    step = np.stack(np.meshgrid(np.gradient(columns), np.gradient(rows)), -1).reshape(-1, 2)
    out, on_rim = points.copy(), np.full(len(points), -1)
    for k, hole in enumerate(HOLES):
        scaled = (points - hole.centre) / np.array(hole.radii)
        near = np.abs(hole.distance(points)) < 0.56 * np.hypot(*step.T) / np.sqrt(2)
        out[near] = hole.rim(np.arctan2(scaled[near, 1], scaled[near, 0]))
        on_rim[near] = k
    return out, on_rim


def _compact(points: Array, cells: Array, on_rim: Array) -> Grid:
    """Drop unused vertices and slivers, order the rims."""
    side = points[cells]
    u, v = (side[:, 1] - side[:, 0]).T, (side[:, 2] - side[:, 0]).T
    area = u[0] * v[1] - u[1] * v[0]
    used, flat = np.unique(cells[area > 1e-3], return_inverse=True)
    points, on_rim = points[used], on_rim[used]
    rims = {}
    for k, hole in enumerate(HOLES):
        ids = np.flatnonzero(on_rim == k)
        scaled = (points[ids] - hole.centre) / np.array(hole.radii)
        rims[hole.name] = ids[np.argsort(np.arctan2(scaled[:, 1], scaled[:, 0]))]
    return Grid(points, flat.reshape(-1, 3).astype(np.int32), rims)
