"""How age moves a face: a field drawn by hand over the neutral head, in centimetres.

Not learned, for the source has no ages. It sags the jowls, lids and brows, hollows cheeks and temples,
lengthens the nose, thins the lips and loosens the neck. Used for edits and for synthetic training faces
alike.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

# Centre (|x|, y), spread, displacement (outwards, up, forwards); all centimetres at age 1.
_SOFT_SPOTS = (
    ((5.3, -6.0), 1.5, (0.35, -0.72, 0.18)),  # jowl
    ((4.6, -1.6), 1.5, (0.0, -0.28, -0.30)),  # hollow below the cheekbone
    ((3.0, -1.9), 0.8, (0.0, -0.32, 0.24)),  # fold beside the mouth
    ((3.2, 2.0), 0.8, (0.0, -0.14, 0.20)),  # bag under the eye
    ((3.4, 4.7), 1.1, (0.0, -0.34, 0.08)),  # hood of the upper lid
    ((3.8, 6.1), 1.6, (0.0, -0.28, 0.0)),  # brow
    ((0.0, 0.2), 1.0, (0.0, -0.42, 0.14)),  # tip of the nose
    ((0.0, -2.6), 0.9, (0.0, -0.10, -0.22)),  # upper lip
    ((0.0, -4.2), 0.9, (0.0, 0.08, -0.20)),  # lower lip
    ((2.5, -3.6), 0.7, (0.0, -0.16, 0.0)),  # corner of the mouth
    ((6.6, 5.4), 1.4, (-0.40, 0.0, -0.10)),  # temple
    ((0.0, -10.8), 2.0, (0.0, -0.45, 0.70)),  # under the chin
    ((5.2, 1.0), 1.3, (-0.12, -0.10, -0.12)),  # cheek
)


def age_displacement(neutral: Array) -> Array:
    """(V, 3) centimetres to add at age 1 to skin whose neutral average position is (V, 3). Linear in age."""
    x, y, z = neutral.T
    out = np.zeros_like(neutral)
    in_front = 1 / (1 + np.exp(-2 * z))
    for (cx, cy), spread, (outwards, up, forwards) in _SOFT_SPOTS:
        weight = np.exp(-0.5 * (((np.abs(x) - cx) / spread) ** 2 + ((y - cy) / spread) ** 2)) * in_front
        out += weight[:, None] * np.array([outwards, up, forwards], out.dtype)
    out[:, 0] *= np.tanh(2 * x)
    return out
