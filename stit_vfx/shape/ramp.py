"""The one way from no to yes: without a corner, so that no step of it is seen in a picture or over time."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def smoothstep(x: Array | float) -> Array:
    """0 below 0, 1 above 1, and without corners in between; of any shape, in the precision of `x`."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def ramp(x: Array | float, low: float, high: float) -> Array:
    """The same between `low` and `high`."""
    return smoothstep((x - low) / (high - low))
