"""Sizes of the tiny CLIP and of the tiny generator that the tests of texts share. Not a test."""

from __future__ import annotations

import numpy as np

DIMENSIONS, LAYERS, WIDTH = 32, 2, 64
# The tiny generator is 32 px with 16 channels everywhere: 4 blocks, 3 style vectors each, one fewer at 4 px.
VECTORS = ["conv", "rgb", *["conv", "conv", "rgb"] * 3]
CHANNELS = 16
CONV_CHANNELS = CHANNELS * VECTORS.count("conv")
# Rows of W+ that the style channels read: the toRGB of a block shares its row with the next block's conv0.
ROWS = np.repeat([0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7], CHANNELS)


def expected_direction(
    basis: np.ndarray, difference: np.ndarray, beta: float, std: np.ndarray | None = None
) -> np.ndarray:
    """StyleCLIP's global direction, one channel at a time, flat over all style channels."""
    relevance = [float(np.dot(row.astype(np.float64), difference)) for row in basis]
    moved = [each if abs(each) > beta else 0.0 for each in relevance]
    largest = max(abs(each) for each in moved)
    values = iter([each / largest for each in moved])
    flat = [0.0 if name == "rgb" else next(values) for name in VECTORS for _ in range(CHANNELS)]
    return np.array(flat) * (1 if std is None else std)
