"""Discs, to grow, shrink, open and close mattes with."""

from __future__ import annotations

import cv2
import numpy as np


def disc(radius_px: float) -> np.ndarray:
    """(2 r + 1, 2 r + 1) uint8, 1 on a disc of that radius, rounded, and of 1 px at least."""
    side = 2 * max(1, round(radius_px)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
