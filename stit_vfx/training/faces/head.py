"""The source's head, prepared once for drawing: parts, charts, hair regions and ambient occlusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stit_vfx.training.faces.light import Array
from stit_vfx.training.faces.raster import rasterise, vertex_normals
from stit_vfx.training.faces.strands import strand_texture
from stit_vfx.training.source import PARTS, FaceSource

# Parts of a picture: the source's own, then what is added here.
SKIN, SOCKET, GUM, TEETH, EYE, LASH = (
    PARTS.index(n) for n in ("skin", "socket", "gum", "teeth", "eye", "lash")
)
HAIR, BEARD, TORSO, FRAME, HAT, HAND, THING = range(10, 17)

CHART_SIZE = 640
HALF_WIDTH_CM, HALF_HEIGHT_CM = 11.0, 15.0  # the cylinder chart: arc to the sides, height
_RADIUS_CM, _AXIS_CM = 8.0, -2.0


def unroll(points: Array) -> Array:
    """(..., 2) arc and height in centimetres on a cylinder around the head, of points (..., 3)."""
    arc = np.arctan2(points[..., 0], points[..., 2] - _AXIS_CM) * _RADIUS_CM
    return np.stack([arc, points[..., 1]], -1)


def chart_pixel(unrolled: Array) -> Array:
    """(..., 2) x, y on the charts of `skin`, from arc and height."""
    x = (unrolled[..., 0] / HALF_WIDTH_CM * 0.5 + 0.5) * CHART_SIZE
    y = (0.5 - unrolled[..., 1] / HALF_HEIGHT_CM * 0.5) * CHART_SIZE
    return np.stack([x, y], -1)


def azimuth(points: Array) -> Array:
    """Radians around the head; 0 in front."""
    return np.arctan2(points[..., 0], points[..., 2] + 1.0)


@dataclass(frozen=True)
class Head:
    """Draws heads of one source. Everything that depends only on the neutral head is computed once."""

    source: FaceSource

    @cached_property
    def triangles(self) -> Array:
        """(T, 3) of all parts that are drawn."""
        return self.source.triangles_of("skin", "socket", "gum", "teeth", "eye", "lash")

    @cached_property
    def triangle_parts(self) -> Array:
        """(T,)"""
        return self.source.parts[self.triangles[:, 0]].astype(np.int8)

    @cached_property
    def landmarks(self) -> Array:
        """(68, 3) of the neutral head."""
        return self.source.neutral[self.source.landmarks]

    @cached_property
    def normals(self) -> Array:
        """(V, 3) of the neutral head."""
        return vertex_normals(self.source.neutral, self.triangles)

    @cached_property
    def is_ear(self) -> Array:
        """(V,) bool, roughly."""
        x, y, z = self.source.neutral.T
        return (np.abs(x) > 8.4) & (y > -3.5) & (y < 6) & (z > -4.2) & (z < 3.2)

    @cached_property
    def sky(self) -> Array:
        """(V,) share of the surroundings that each vertex of the neutral head sees."""
        return _visible_share(self)

    def expression(self, controls: Mapping[str, float]) -> Array:
        """(E,) amounts in the source's order; a control that the source lacks is ignored."""
        return np.array([controls.get(name, 0.0) for name in self.source.names])

    def points(self, identity: Array, controls: Mapping[str, float]) -> Array:
        """(V, 3) float32."""
        return self.source.vertices(identity, self.expression(controls))


def _visible_share(head: Head, directions: int = 80, size: int = 320) -> Array:
    """Shadow maps from many sides, weighted by the cosine; closed parts get a constant."""
    points, rng = head.source.neutral, np.random.default_rng(0)
    solid = np.ascontiguousarray(head.triangles[head.triangle_parts != LASH])
    seen, total = np.zeros(len(points)), np.full(len(points), 1e-6)
    for axis in rng.standard_normal((directions, 3)):
        axis = axis / np.linalg.norm(axis)
        if axis[1] < -0.6:  # the shoulders are in the way
            continue
        cosine = np.clip(head.normals @ axis, 0, 1)
        seen += cosine * _lit(points, solid, axis, size)
        total += cosine
    share = np.clip(seen / total, 0, 1).astype(np.float32)
    share[np.isin(head.source.parts, (TEETH, EYE))] = 0.8
    return share


def _lit(points: Array, triangles: Array, axis: Array, size: int) -> Array:
    """(V,) bool: nothing of the head lies between the vertex and a distant light."""
    across = np.cross(axis, [0.1, 1.0, 0.2])
    across /= np.linalg.norm(across)
    frame = np.stack([across, np.cross(axis, across), axis])
    view = (points @ frame.T * [8, 8, 1] + [size / 2, size / 2, 0]).astype(np.float32)
    never = np.full(len(points), -1, np.float32)
    depth, _, _ = rasterise(
        view, triangles, never, np.zeros((len(points), 2), np.float32), strand_texture(), size
    )
    x, y = np.clip(np.rint(view[:, :2]), 0, size - 1).astype(int).T
    return view[:, 2] > depth[y, x] - 0.35
