"""Where the face is in its crop: told by landmarks alone, or by landmarks and what the crop's pixels show."""

from __future__ import annotations

import math

import numpy as np

from stit_vfx.shape.parts import Parts

# Brows to hairline, in brows-to-chin. Anatomy's rule of thirds says 0.5; a little hair is better than an edge
# across the forehead.
_FOREHEAD = 0.6
_SUPERSAMPLE = 4
# What an edit may change. Collars, hands and things stay; the hull has them where they cross it.
_OF_HEAD = ("skin", "brow", "eye", "lips", "mouth", "neck", "hair", "glasses", "hat")
_DOUBT = 0.12  # a share below this is no share, so that the matte ends; above 1 - this it is whole
_NEAR, _FAR = 0.55, 1.0  # from the landmarks' hull, in widths of the face: labels count less and less


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


def foreground_from_parts(parts: Parts, landmarks_crop: np.ndarray) -> np.ndarray:
    """(S, S) float32 0..1: the face as landmarks say, and hair, ears, neck and what is worn, as softly as
    `parts` has them. Exactly 0 where none of it is, and far away from the face, whatever the labels say
    there. `landmarks_crop` (68, 2) in px of the parts' crop.
    """
    import cv2

    size = parts.shares.shape[-1]
    hull = foreground_from_landmarks(landmarks_crop, size)
    away = cv2.distanceTransform((hull < 0.5).astype(np.uint8), cv2.DIST_L2, 5) / _face_px(landmarks_crop)
    near = _smooth((_FAR - away) / (_FAR - _NEAR))
    head = near * _smooth((parts.of(*_OF_HEAD) - _DOUBT) / (1 - 2 * _DOUBT))
    return np.asarray(1 - (1 - hull) * (1 - head), np.float32)


def _face_px(points: np.ndarray) -> float:
    """Width of the face; its height from nose to chin stands in where it is seen from the side."""
    width, height = points[16] - points[0], points[8] - points[27]
    return max(float(np.hypot(*width)), 1.2 * float(np.hypot(*height)), 1.0)


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _forehead(points: np.ndarray, steps: int = 33) -> np.ndarray:
    """(steps, 2) upper half of the ellipse that stands on the ends of the jaw line."""
    middle, half = (points[0] + points[16]) / 2, (points[16] - points[0]) / 2
    brows = points[17:27].mean(axis=0)
    up = brows - points[8]
    top = brows + _FOREHEAD * up - middle
    angles = np.linspace(0, math.pi, steps)[:, None]
    return middle + np.cos(angles) * half + np.sin(angles) * top
