"""Where the camera stands: scaled orthographic, the crop framed as the align step frames plates.

A camera is a `ShapeCode`'s pose: image px = scale * (R p) with y turned down, plus translation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stit_vfx.training.faces.light import Array
from stit_vfx.training.faces.sample import Face


@dataclass(frozen=True)
class Camera:
    """`rotation` (3, 3), `scale` px per centimetre, `translation` (2,) px, all for one crop size."""

    rotation: Array
    scale: float
    translation: Array

    def project(self, points: Array) -> Array:
        """(N, 3): x and y in px, depth in centimetres (larger is nearer)."""
        turned = points @ self.rotation.T
        x = self.scale * turned[:, 0] + self.translation[0]
        y = -self.scale * turned[:, 1] + self.translation[1]
        return np.stack([x, y, turned[:, 2]], 1)


def rotation(yaw: float, pitch: float, roll: float) -> Array:
    """(3, 3): yaw first, then pitch, then roll in the image plane."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return tilt @ nod @ turn


def frame(face: Face, landmarks: Array, size: int) -> Camera:
    """Camera that puts neutral landmarks (68, 3) where an aligned crop has them, plus the face's jitter."""
    turned = rotation(face.yaw, face.pitch, 0.0)
    centre, axis = _quad(Camera(turned, 1.0, np.zeros(2)).project(landmarks)[:, :2])
    side = 2 * np.hypot(*axis) * np.exp(face.zoom)
    level = np.arctan2(axis[1], axis[0]) + face.roll
    scale = size / side
    full = rotation(0, 0, level) @ turned
    cosine, sine = np.cos(-level), np.sin(-level)
    turned_centre = np.array([[cosine, -sine], [sine, cosine]]) @ (centre + side * np.array(face.shift))
    return Camera(full, float(scale), np.full(2, size / 2 - 0.5) - scale * turned_centre)


def _quad(points: Array) -> tuple[Array, Array]:
    """Centre and half x axis of the aligned square, as published for FFHQ (Karras et al. 2019)."""
    right, left = points[36:42].mean(0), points[42:48].mean(0)
    eyes, across = (right + left) / 2, left - right
    down = (points[48] + points[54]) / 2 - eyes
    axis = across - np.array([-down[1], down[0]])
    axis = axis / np.hypot(*axis) * max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down))
    return eyes + 0.1 * down, axis
