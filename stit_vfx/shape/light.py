"""The light on a face, seen on its own skin: second-order spherical harmonics (Ramamoorthi and Hanrahan
2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

Array = np.ndarray

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_ROUNDS = 6
_FLOOR = 0.35  # of the median light: below it shading is flattened, or ratios would blow up in the shade


def basis(normal: Array) -> Array:
    """(..., 9) from unit normals (..., 3): x to the right, y up, z to the camera."""
    x, y, z = np.moveaxis(normal, -1, 0)
    one = np.full_like(x, 0.282095)
    first = [0.488603 * y, 0.488603 * z, 0.488603 * x]
    second = [1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z * z - 1), 1.092548 * x * z]
    return np.stack([one, *first, *second, 0.546274 * (x * x - y * y)], -1)


@dataclass(frozen=True)
class Light:
    """`luma` (9,): brightness of the skin by direction of its normal. `level`: its median over the face."""

    luma: Array
    level: float

    def shade(self, normal: Array) -> Array:
        """(...,) brightness, kept away from 0 by a smooth floor so that ratios of it stay bounded."""
        floor = _FLOOR * self.level
        soft = 0.3 * floor
        return floor + soft * np.logaddexp(0, (basis(normal) @ self.luma - floor) / soft)


def estimate_light(normal: Array, colour_lin: Array, weight: Array) -> Light:
    """Robust least squares over skin pixels: normal (n, 3), colour (n, 3) linear, weight (n,)."""
    design = basis(normal).astype(np.float64)
    seen = (colour_lin @ LUMA).astype(np.float64)
    level = float(np.average(seen, weights=weight + 1e-9)) if len(seen) else 1.0
    level = max(level, 1e-6)
    calm = np.diag([0.0, *[0.001] * 3, *[0.01] * 5])  # prefer flat light where the data do not object
    solution, trust = np.zeros(9), weight.astype(np.float64)
    for _ in range(_ROUNDS):
        total = trust.sum() + 1e-9
        left = (design * trust[:, None]).T @ design / total + calm + 1e-9 * np.eye(9)
        solution = np.linalg.solve(left, (design * (trust * seen)[:, None]).sum(0) / total)
        off = np.abs(seen - design @ solution)
        typical = np.median(off) * 1.5 + 1e-9
        trust = weight / (1 + (off / typical) ** 2)
    return Light(solution, level)


def skin_likelihood(crop_lin: Array, sample: Array, *, blur_px: float) -> Array:
    """(S, S) 0..1: how much each pixel looks like the skin under `sample` (S, S) weights.

    Compares chroma and brightness; hair, glasses, brows and cloth fall out, shaded skin stays.
    """
    feature = _skin_feature(crop_lin)
    chosen = feature[sample > 0.5]
    if len(chosen) < 50:
        return np.ones(crop_lin.shape[:2], np.float32)
    middle = np.median(chosen, 0)
    spread = np.median(np.abs(chosen - middle), 0) * 1.48 + np.array([0.12, 0.06, 0.06])
    far = (((feature - middle) / spread) ** 2 * [0.35, 1.0, 1.0]).sum(-1)
    likely = np.exp(-0.5 * np.maximum(far / 5.0 - 1.0, 0.0)).astype(np.float32)
    return cv2.GaussianBlur(cv2.erode(likely, np.ones((3, 3))), (0, 0), max(blur_px, 0.5))


def _skin_feature(crop_lin: Array) -> Array:
    """(S, S, 3): log brightness, red over green, blue over green."""
    safe = np.log(np.maximum(crop_lin, 1e-3))
    return np.stack([safe @ LUMA, safe[..., 0] - safe[..., 1], safe[..., 2] - safe[..., 1]], -1)
