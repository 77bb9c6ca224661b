"""How age moves a face: a field drawn by hand over the neutral head, in centimetres.

Not learned, for the source has no ages. It sags the jowls, lids and brows, hollows cheeks and temples,
lengthens the nose, thins the lips and loosens the neck. Used for edits and for synthetic training faces
alike.
"""

from __future__ import annotations

import numpy as np

from stit_vfx.shape.form import Spot, soft_spots

Array = np.ndarray

_SOFT_SPOTS: tuple[Spot, ...] = (  # at age 1
    ((5.3, -6.0), 1.5, (0.35, -0.72, 0.18)),  # jowl
    ((4.6, -1.6), 1.5, (0.0, -0.28, -0.30)),  # hollow below the cheekbone
    ((3.0, -1.9), 0.8, (0.0, -0.32, 0.24)),  # fold beside the mouth
    ((3.2, 2.0), 0.8, (0.0, -0.14, 0.20)),  # bag under the eye
    ((3.5, 5.0), 0.8, (0.0, -0.34, 0.10)),  # hood of the upper lid; its rim stays, or small eyes would close
    ((3.8, 6.3), 1.3, (0.0, -0.28, 0.0)),  # brow
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
    return soft_spots(neutral, _SOFT_SPOTS)
