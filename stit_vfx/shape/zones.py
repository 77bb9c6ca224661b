"""Places by which labels are judged: where hair is a beard, where glasses must show, where the skull is."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np

from stit_vfx.shape.code import ShapeCode
from stit_vfx.shape.ramp import smoothstep

Array = np.ndarray

# Degrees of the chart. A beard grows below the nose, and ends before the ears, where long hair hangs, and
# below the chin, where a collar may look like it.
_BEARD_TOP, _BEARD_END, _BEARD_SIDE, _SOFT = 4.0, -54.0, 62.0, 9.0
_THROAT = -10.0  # of the chart: below it there is the jaw's edge, and neck
_BRIDGE = (4.5, (12.0, 22.0))  # half its width, from and to
_CHEEK = ((9.0, 30.0), (4.0, 12.0))  # across and up, where the lower rims run

# The bare skull in the model's axes, centimetres, and how far hair stands off it.
_EAR, _EAR_CM = np.array([7.4, 1.5, 2.0]), (1.3, 4.0)  # its middle, and half its width and height
_SKULL_CENTRE, _SKULL, _HAIR_CM = np.array([0.0, 2.5, 0.0]), np.array([7.4, 10.0, 9.5]), 5.0
_EARS_CM = 2.0  # below the skull's middle: so far ears are in its outline
_COAT_CM = (1.2, 4.0)  # so near the temples, the crown, hair is nobody else's


@dataclass(frozen=True)
class Zones:
    """In the plate, (S, S) 0..1 each: `beard`, where hair goes with the skin; `frames`, where glasses show if
    there are any; `skull`, where there can be no backdrop; `far`, where there can be no hair nor hat; `face`,
    on the face: cloth there is before it, elsewhere behind; `ears`, where ears are; `scalp`, where hair
    grows; `throat`, below jaw and chin.
    """

    beard: Array
    frames: Array
    skull: Array
    far: Array
    face: Array
    ears: Array
    scalp: Array
    throat: Array

    @classmethod
    def of(cls, place_deg: Array, code: ShapeCode) -> Zones:
        """From chart points (S, S, 2) in degrees, far away off the face; the code in px of the picture."""
        across, up = np.abs(place_deg[..., 0]), place_deg[..., 1]
        on_face = across < 90
        beard = on_face * _step(_BEARD_TOP - up) * _step(up - _BEARD_END) * _step(_BEARD_SIDE - across)
        throat = on_face & (up < _THROAT)
        bridge = (across < _BRIDGE[0]) & _within(up, _BRIDGE[1])
        cheek = _within(across, _CHEEK[0]) & _within(up, _CHEEK[1])
        skull, far, ears, scalp = _around(code, place_deg.shape[:2])
        zones = (beard, (bridge | cheek) & on_face, skull, far, on_face, ears, scalp, throat)
        return cls(*(zone.astype(np.float32) for zone in zones))

    def enlarged(self, size: int) -> Zones:
        """The same at another size."""
        large = (cv2.resize(getattr(self, f.name), (size, size)) for f in fields(self))
        return Zones(*large)


def _around(code: ShapeCode, shape: tuple[int, ...]) -> tuple[Array, Array, Array, Array]:
    """(S, S) 0..1 each: well within the skull's outline, beyond any hair to its sides or above it, on the
    ears, and on the scalp or just off it.
    """
    upright = code.rotation[:2, 1] / max(float(np.linalg.norm(code.rotation[:2, 1])), 1e-6)
    aside = np.array([upright[1], -upright[0]])
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    seen = np.stack([x - code.translation[0], code.translation[1] - y], -1) / code.scale
    away = seen - (code.rotation @ _SKULL_CENTRE)[:2]
    # Half the width of an ellipsoid's outline along a direction in the picture.
    wide, high = (float(np.linalg.norm(_SKULL * (code.rotation[:2].T @ axis))) for axis in (aside, upright))
    across, up = away @ aside, away @ upright
    within = 1 - np.hypot(across / wide, up / high)
    beyond = np.hypot(across / (wide + _HAIR_CM), np.maximum(up, 0) / (high + _HAIR_CM)) - 1
    ears = np.zeros(shape)
    for side in (-1, 1):
        ear = seen - (code.rotation @ (_EAR * [side, 1, 1]))[:2]
        ears = np.maximum(ears, 1 - np.hypot(ear @ aside / _EAR_CM[0], ear @ upright / _EAR_CM[1]))
    coat = _COAT_CM[0] + (_COAT_CM[1] - _COAT_CM[0]) * smoothstep(2 * up / high)
    covered = 1 - np.hypot(across / (wide + coat), up / (high + coat))
    scalp = smoothstep(covered / 0.1) * smoothstep(up + 0.5)
    above = smoothstep(1 + up / _EARS_CM)  # beside a jaw, below the ears, one sees the backdrop
    return smoothstep(within / 0.15) * above, smoothstep(beyond / 0.3), smoothstep(ears / 0.3), scalp


def _within(values: Array, limits: tuple[float, float]) -> Array:
    return (values > limits[0]) & (values < limits[1])


def _step(inside_deg: Array) -> Array:
    return smoothstep(inside_deg / _SOFT)
