"""Where the face is in its crop, told by landmarks alone: for packs without a parser."""

from __future__ import annotations

import math

import numpy as np

# Brows to hairline, in brows-to-chin. Anatomy's rule of thirds says 0.5; a little hair is better than an edge
# across the forehead.
_FOREHEAD = 0.6
_SUPERSAMPLE = 4


def foreground_from_landmarks(landmarks_crop: np.ndarray, size: int) -> np.ndarray:
    """(size, size) float32, 1 on the face and 0 off it, one pixel of antialiasing between.

    The face is the convex hull of the jaw, the features and an ellipse over the forehead. Ears, neck and
    most of the hair are outside. `landmarks_crop` (68, 2) in crop px; they may reach beyond the crop.
    """
    import cv2

    outline = np.concatenate([landmarks_crop, _forehead(landmarks_crop)])
    # Pixel centres are at integers, so the crop's corner -0.5 is the corner 0 of the finer grid.
    fine = (outline + 0.5) * _SUPERSAMPLE - 0.5
    hull = cv2.convexHull(np.rint(np.clip(fine, -1e5, 1e5)).astype(np.int32))
    mask: np.ndarray = np.zeros((size * _SUPERSAMPLE, size * _SUPERSAMPLE), dtype=np.float32)
    cv2.fillConvexPoly(mask, hull, 1.0)
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)


def _forehead(points: np.ndarray, steps: int = 33) -> np.ndarray:
    """(steps, 2) upper half of the ellipse that stands on the ends of the jaw line."""
    middle, half = (points[0] + points[16]) / 2, (points[16] - points[0]) / 2
    brows = points[17:27].mean(axis=0)
    up = brows - points[8]
    top = brows + _FOREHEAD * up - middle
    angles = np.linspace(0, math.pi, steps)[:, None]
    return middle + np.cos(angles) * half + np.sin(angles) * top
