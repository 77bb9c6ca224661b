"""How a face is built: fields drawn by hand over the neutral head, in centimetres.

Not learned: the source's people have neither a sex nor names for their proportions. Each field is what a
sculptor would do to the average head; added to a person's own shape it keeps the person. Positive amounts are
more of what the name says.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
# Centre (|x|, y), spread, displacement (outwards, up, forwards); all centimetres.
Spot = tuple[tuple[float, float], float, tuple[float, float, float]]

FORMS = ("masculine", "eye_size", "nose_width", "lip_fullness", "jaw_width", "face_width", "chin_length")

_EYE, _EYE_REACH, _EYE_GROWS = (3.2, 3.45), (2.3, 1.55), 0.19
_NOSE_Y, _NOSE_REACH, _NOSE_WIDENS = -0.3, (1.9, 1.3), 0.27
_SEAM_Y, _LIP_REACH, _LIP_GROWS, _MOUTH = -3.4, 1.1, 0.36, 2.55
_BROW_X, _BROW_Y = (1.2, 2.4, 3.8, 4.9, 5.8), (5.75, 6.05, 6.15, 5.85, 5.1)
_BROW_REACH, _BROW_THICKENS = 0.6, 0.22

_JAW: tuple[Spot, ...] = (
    ((5.9, -4.2), 1.9, (0.50, 0.0, 0.0)),
    ((3.9, -6.4), 1.4, (0.28, 0.0, 0.05)),
)
_FACE: tuple[Spot, ...] = (
    ((6.4, 0.8), 2.0, (0.85, 0.0, 0.14)),
    ((5.2, -5.3), 1.9, (0.78, 0.0, 0.0)),
    ((6.4, 5.0), 2.0, (0.34, 0.0, 0.0)),
)
_MASCULINE: tuple[Spot, ...] = (
    ((3.6, 5.9), 1.1, (0.0, -0.22, 0.24)),  # ridge of the brow
    ((5.4, 5.4), 0.9, (0.05, -0.16, 0.05)),  # its end, without an arch
    ((3.3, 4.9), 0.7, (0.0, -0.10, 0.05)),  # lid below it
    ((5.3, -0.2), 1.4, (0.02, 0.0, -0.16)),  # apple of the cheek
    ((4.6, -2.4), 1.5, (-0.06, 0.0, -0.16)),  # hollow below
    ((1.9, -7.0), 0.9, (0.24, 0.0, 0.10)),  # corner of the chin
    ((0.0, -6.8), 1.0, (0.0, 0.0, 0.14)),  # chin
    ((0.0, 2.6), 0.9, (0.0, 0.0, 0.14)),  # bridge of the nose
    ((5.2, -10.5), 2.0, (0.30, 0.0, 0.0)),  # neck
)
# What else goes with it, as shares of the other forms, and of brows grown thicker.
_WITH_MASCULINE = {
    "jaw_width": 0.75,
    "chin_length": 0.45,
    "nose_width": 0.37,
    "lip_fullness": -0.7,
    "eye_size": -0.33,
}


def form_displacement(name: str, neutral: Array) -> Array:
    """(V, 3) centimetres to add at amount 1 to skin whose neutral average position is (V, 3).

    Linear in the amount. Raises KeyError for a name that is not in FORMS.
    """
    if name == "masculine":
        shares = (share * form_displacement(other, neutral) for other, share in _WITH_MASCULINE.items())
        return sum(shares, soft_spots(neutral, _MASCULINE) + _thick_brows(neutral))
    drawn = {
        "eye_size": _large_eyes,
        "nose_width": _wide_nose,
        "lip_fullness": _full_lips,
        "jaw_width": lambda p: soft_spots(p, _JAW),
        "face_width": _wide_face,
        "chin_length": _long_chin,
    }
    return drawn[name](neutral)


def eyeball_displacement(name: str, neutral: Array) -> Array:
    """(V, 3) centimetres for eyeballs, which only grow and shrink with their lids."""
    share = {"eye_size": 1.0, "masculine": _WITH_MASCULINE["eye_size"]}.get(name, 0.0)
    return share * _EYE_GROWS * _from_eye(neutral)


def soft_spots(neutral: Array, spots: tuple[Spot, ...]) -> Array:
    """(V, 3): Gaussian bumps over the front of the neutral head (V, 3), the same on both sides."""
    x, y, z = neutral.T
    out = np.zeros_like(neutral)
    in_front = 1 / (1 + np.exp(-2 * z))
    for (cx, cy), spread, (outwards, up, forwards) in spots:
        weight = np.exp(-0.5 * (((np.abs(x) - cx) / spread) ** 2 + ((y - cy) / spread) ** 2)) * in_front
        out += weight[:, None] * np.array([outwards, up, forwards], out.dtype)
    out[:, 0] *= np.tanh(2 * x)
    return out


def _from_eye(neutral: Array) -> Array:
    """(V, 3) across the view, from the middle of the nearer eye."""
    x, y, _ = neutral.T
    return np.stack([x - np.where(x < 0, -1, 1) * _EYE[0], y - _EYE[1], np.zeros_like(x)], 1)


def _large_eyes(neutral: Array) -> Array:
    away = _from_eye(neutral)
    reach = np.hypot(away[:, 0] / _EYE_REACH[0], away[:, 1] / _EYE_REACH[1])
    return _EYE_GROWS * away * np.exp(-(reach**3))[:, None] * _front(neutral)


def _wide_nose(neutral: Array) -> Array:
    x, y, _ = neutral.T
    across = _NOSE_WIDENS * x * np.exp(-0.5 * (x / _NOSE_REACH[0]) ** 4)
    across = across * np.exp(-0.5 * ((y - _NOSE_Y) / _NOSE_REACH[1]) ** 2)
    return np.stack([across, 0 * x, 0 * x], 1) * _front(neutral)


def _full_lips(neutral: Array) -> Array:
    x, y, _ = neutral.T
    above = y - _SEAM_Y + 0.10 * (x / 2.3) ** 2
    middle = np.clip(1 - (x / _MOUTH) ** 2, 0, None)
    up = _LIP_GROWS * above * np.exp(-((above / _LIP_REACH) ** 2))
    forwards = 0.10 * np.exp(-0.5 * ((np.abs(above) - 0.5) / 0.45) ** 2)
    return np.stack([0 * x, middle * up, middle * forwards], 1) * _front(neutral)


def _wide_face(neutral: Array) -> Array:
    beside = np.clip((np.abs(neutral[:, :1]) - 4.3) / 2.0, 0, 1)  # eyes and mouth keep their size
    return soft_spots(neutral, _FACE) * beside * beside * (3 - 2 * beside)


def _long_chin(neutral: Array) -> Array:
    x, y, _ = neutral.T
    down = np.clip((-4.7 - y) / 2.9, 0, 1)
    down = down * down * (3 - 2 * down) * np.exp(-0.5 * (x / 4.5) ** 4)
    below = np.exp(-0.5 * (np.clip(-8.5 - y, 0, None) / 2.0) ** 2)  # the neck stays
    return np.stack([0 * x, -0.45 * down * below, 0 * x], 1) * _front(neutral)


def _thick_brows(neutral: Array) -> Array:
    x, y, _ = neutral.T
    above = y - np.interp(np.abs(x), _BROW_X, _BROW_Y)
    side = np.clip((np.abs(x) - 0.6) / 0.8, 0, 1) * np.clip((6.6 - np.abs(x)) / 0.8, 0, 1)
    up = _BROW_THICKENS * side * above * np.exp(-0.5 * (above / _BROW_REACH) ** 2)
    return np.stack([0 * x, up, 0 * x], 1) * _front(neutral)


def _front(neutral: Array) -> Array:
    """(V, 1) 1 on the face, 0 behind the ears."""
    return 1 / (1 + np.exp(-2 * (neutral[:, 2:] - 1)))
