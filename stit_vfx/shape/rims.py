"""Rims of light that stay narrow when a head turns.

Light from behind runs along a jaw where the camera sees it nearly edge-on. As the head turns, that skin turns
towards the camera and is drawn out to two or three times its width; the light on it would become a patch. A
real head has as narrow a rim after the turn, on the skin that is edge-on then. So rims keep their shape, and
the plain skin beside them is drawn out instead: of all flows, the one that differs least from the given one
in its slope, but has none on the rims.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from stit_vfx.plate.warp import sample
from stit_vfx.shape.disc import disc
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.ramp import ramp
from stit_vfx.shape.stretch import least_scale

Array = np.ndarray

_NARROW_CM = 0.7  # half as wide as the widest rim
_SOFT_CM, _TIP_CM, _BESIDE_CM = 0.3, 0.5, 0.4
_BRIGHTER = (1.1, 1.6)  # than the skin around, and than that of a lit face, in linear light
_LIT = 90.0  # percentile
_DRAWN = (0.8, 0.98)  # px of the plate for a px of the picture
_FEATURES_DEG = (30.0, -30.0)  # of the chart: nearer the middle, and above, eyes and mouth keep their place
_JAW_DEG = (-8.0, 0.0)  # of the chart: above, ears have narrow lights of their own
_CLOTH = (0.75, 0.9)  # share: rims may pass for half as much
_STIFF = 25.0
_COARSE, _ROUNDS = 2, 2  # px; a rim is found where the flow of the last round shows it
_FAINT = 0.02


def narrow_rims(
    flow: Array, crop_lin: Array, *, face: Array, chart_deg: Array, cloth: Array, px_per_cm: float
) -> Array:
    """The flow (S, S, 2) px with rims of light in a crop (S, S, 3), linear, no wider than they are there.

    `face` (S, S) bool and `chart_deg` (S, S, 2), far away off the face: after the turn. `cloth` (S, S) 0..1
    of the crop: collars are bright, too. Without a rim that is drawn out the same bits.
    """
    across, up = np.abs(chart_deg[..., 0]), chart_deg[..., 1]
    features = (across < _FEATURES_DEG[0]) & (up > _FEATURES_DEG[1])
    edge = np.pad(np.zeros(np.array(face.shape) - 2, bool), 1, constant_values=True)
    free = face & (across < 90) & ~features & ~edge
    near = cv2.dilate(cloth.astype(np.float32), disc(_BESIDE_CM * px_per_cm))
    light = _rims(crop_lin @ LUMA, face & features, px_per_cm) * (1 - ramp(near, *_CLOTH))
    drawn = cv2.GaussianBlur(least_scale(flow).astype(np.float32), (0, 0), 2.0)
    drawn = (1 - ramp(drawn, *_DRAWN)) * free * (1 - ramp(up, *_JAW_DEG))
    y, x = np.mgrid[: len(flow), : flow.shape[1]]
    here, out = np.stack([x, y], -1), flow
    for _ in range(_ROUNDS):
        firm = np.asarray(sample(light, here + out, how=cv2.INTER_LINEAR) * drawn, np.float32)
        if firm.max() < _FAINT:
            return flow
        out = flow + _held(flow, firm, free)
    return np.asarray(out, flow.dtype)


def _rims(luma: Array, front: Array, px_per_cm: float) -> Array:
    """(S, S) 0..1: light that is narrow, brighter than what is around it, be that skin or a backdrop, and
    brighter than the face's `front` (S, S) bool.
    """
    seen = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 1.0)
    around = cv2.morphologyEx(seen, cv2.MORPH_OPEN, disc(_NARROW_CM * px_per_cm))
    for _ in range(round(_TIP_CM * px_per_cm)):  # the tip of a collar is no rim
        around = np.minimum(cv2.dilate(around, np.ones((3, 3), np.uint8)), seen)
    around = cv2.GaussianBlur(around, (0, 0), _SOFT_CM * px_per_cm)
    level = float(np.percentile(luma[front], _LIT)) if front.any() else 0.0
    times = np.maximum(seen, 1e-4) / np.maximum(around, max(level, 1e-4))
    low, high = np.log(_BRIGHTER)
    return ramp(np.log(times), low, high)


def _held(flow: Array, firm: Array, free: Array) -> Array:
    """(S, S, 2) px: what to add to a flow for it to have little slope where it is `firm` (S, S) 0..1, and
    elsewhere its own, as far as it goes; nothing but where it is `free` (S, S) bool. A Poisson equation.
    """
    height, width = (side // _COARSE for side in firm.shape)
    size = width, height

    def small(image: Array) -> Array:
        return cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)

    coarse = small(flow) / _COARSE
    # One step inside, so that nothing is left of it where it ends.
    loose = cv2.erode((small(free) > 0.99).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    extra = _STIFF * small(firm)
    number = np.full((height, width), -1)
    number[loose] = np.arange(loose.sum())
    count = int(loose.sum())
    total, pull = np.zeros(count), np.zeros((count, 2))
    rows, columns, values = [], [], []
    for axis in (0, 1):
        first, second = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        stiff = (0.5 * (extra[first] + extra[second])).ravel()
        step = (coarse[second] - coarse[first]).reshape(-1, 2) * stiff[:, None]
        a, b = number[first].ravel(), number[second].ravel()
        for one, other, sign in ((a, b, 1), (b, a, -1)):
            known = one >= 0
            np.add.at(total, one[known], 1 + stiff[known])
            np.add.at(pull, one[known], sign * step[known])
            both = known & (other >= 0)
            rows.append(one[both])
            columns.append(other[both])
            values.append(-(1 + stiff[both]))
    every = np.arange(count)
    matrix = sparse.csc_matrix(
        (
            np.concatenate([total, *values]),
            (np.concatenate([every, *rows]), np.concatenate([every, *columns])),
        )
    )
    out = np.zeros((height, width, 2), np.float32)
    out[loose] = spsolve(matrix, pull) * _COARSE
    return cv2.resize(out, firm.shape[::-1], interpolation=cv2.INTER_LINEAR) * free[..., None]
