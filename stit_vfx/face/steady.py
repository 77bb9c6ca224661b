"""Landmarks steadier than a pixel from a predictor that answers in whole pixels.

dlib's predictor (Kazemi and Sullivan 2014, regression trees on pixel differences) rounds to integers and
jumps when its start box moves by a pixel. Here it runs on a view in which the face is always 400 px, from
several start boxes whose answers are averaged; then again from a square that the first answer defines, so
that the detector's box, which moves in steps of its cells, hardly counts. Measured on a face 258 px wide,
moved by sub-pixel steps under grain of 2/255: plain dlib strays 0.61 px rms, this 0.11 px.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from stit_vfx.face.detect import Box, Square, square_of

FACE_PX = 400
_VIEW_PX = 640
# Half of the gain against grain; 2 px would gain 0.01 px more and soften small eyes.
_BLUR_PX = 1.5

Predictor = Callable[[np.ndarray, Box], np.ndarray]


def fit(image8: np.ndarray, start: Square, predict: Predictor) -> np.ndarray:
    """(68, 2) float64 landmarks of the face in `start`, in pixels of the image.

    `predict(grey8, box)` gets (640, 640) uint8 and answers (68, 2) in its pixels.
    """
    first = _average(image8, start, predict, _jitter(7))
    return _average(image8, square_of(first), predict, _jitter(15))


def view(image8: np.ndarray, square: Square, *, face_px: int, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The square's surroundings, upright, `size_px` wide with the face `face_px` wide, float32; and the
    (2, 3) matrix from image to view. Averages before it shrinks; repeats the image's edge outside it."""
    import cv2

    x0, y0, x1, y1 = _reach(image8, square, size_px / face_px)
    part: np.ndarray = image8[y0:y1, x0:x1].astype(np.float32)
    scale = face_px / square.side
    if scale < 1:
        part = cv2.GaussianBlur(part, (0, 0), 0.5 * math.sqrt(1 / scale**2 - 1) + 1e-3)
    matrix = _to_view(square, scale, size_px)
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ (x0, y0)
    out = cv2.warpAffine(part, local, (size_px, size_px), borderMode=cv2.BORDER_REPLICATE)
    return out, matrix


def back(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points of a view, (..., 2), in pixels of its image."""
    return (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T


def _average(image8: np.ndarray, square: Square, predict: Predictor, jitter: np.ndarray) -> np.ndarray:
    import cv2

    rgb, matrix = view(image8, square, face_px=FACE_PX, size_px=_VIEW_PX)
    # The mean of the channels is what dlib itself takes for a pixel's intensity.
    grey = cv2.GaussianBlur(rgb.mean(axis=2), (0, 0), _BLUR_PX)
    grey8 = np.rint(np.clip(grey, 0, 255)).astype(np.uint8)
    # The mean, not the median: answers are integers, and a median of integers stays on the grid (0.24 px).
    points = np.mean([predict(grey8, _start_box(*row)) for row in jitter], axis=0)
    return back(points, matrix)


def _start_box(dx: float, dy: float, ds: float) -> Box:
    mid, half = (_VIEW_PX - 1) / 2, FACE_PX * (1 + ds) / 2
    x, y = mid + dx * FACE_PX, mid + dy * FACE_PX
    return (x - half, y - half, x + half, y + half)


def _jitter(count: int) -> np.ndarray:
    """(count, 3): moves in x, y and size, up to 6 % of the face, in opposite pairs around no move."""
    k = np.arange((count - 1) // 2)
    angle = k * math.pi * (3 - math.sqrt(5))
    radius = 0.06 * np.sqrt((k + 0.5) / len(k))
    half = np.stack(
        [radius * np.cos(angle), radius * np.sin(angle), 0.06 * np.linspace(-1, 1, len(k))], axis=1
    )
    return np.concatenate([np.zeros((1, 3)), half, -half])


def _to_view(square: Square, scale: float, size_px: int) -> np.ndarray:
    cos, sin = math.cos(square.roll), math.sin(square.roll)
    turn = scale * np.array([[cos, sin], [-sin, cos]])
    return np.c_[turn, (size_px - 1) / 2 - turn @ square.centre]


def _reach(image8: np.ndarray, square: Square, spread: float) -> tuple[int, int, int, int]:
    """The part of the image that the view may touch; at least one pixel, so that a view never is empty."""
    height, width = image8.shape[:2]
    reach = square.side * spread / 2 * (abs(math.cos(square.roll)) + abs(math.sin(square.roll))) + 4
    x0, x1 = _limits(square.centre[0], reach, width)
    y0, y1 = _limits(square.centre[1], reach, height)
    return x0, y0, x1, y1


def _limits(centre: float, reach: float, length: int) -> tuple[int, int]:
    low = min(max(math.floor(centre - reach), 0), length - 1)
    return low, max(min(math.ceil(centre + reach) + 1, length), low + 1)
