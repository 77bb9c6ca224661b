"""Which of two sides a place belongs to, by the colours that both have near it.

Colours of a whole picture tell a wall's white from white hair no better than its blue from a blue hat; those
of a few centimetres around do. As in Q. Chen, D. Li, C.-K. Tang: "KNN Matting", CVPR 2012, places are alike
in colour and in where they are, and a few of the likest tell.
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.shape.ramp import ramp

Array = np.ndarray

_WORK_PX = 256  # as fine as it need be, of the crop's side
# Of the side: so far around places are compared. Of code: how much less alike they are at its rim, and what
# grain hides.
_AROUND, _NEARNESS, _HIDDEN = 0.1, 0.05, 0.05
_ASKED, _RANK = 160, 3  # so many places around are asked; so many that are alike tell
_CALM_PX = 0.6


def rather_outside(
    picture: Array, asked: Array, inside: Array, outside: Array, *, sure: tuple[float, float]
) -> Array:
    """(S, S) float32 0..1: how far the places `asked` (S, S) bool of a picture (S, S, 3) code are like what
    is `outside` near by, and unlike what is `inside`: from none to all as the unlikeness to what is inside
    makes up the shares `sure` of both. 0 where nobody asks or nothing is near.
    """
    size, work = len(picture), (_WORK_PX, _WORK_PX)
    calm = cv2.resize(np.clip(picture, 0, 1).astype(np.float32), work, interpolation=cv2.INTER_AREA)
    calm = cv2.GaussianBlur(calm, (0, 0), _CALM_PX)
    where, inner, outer = (
        cv2.resize(part.astype(np.float32), work, interpolation=cv2.INTER_AREA)
        for part in (asked, inside, outside)
    )
    y, x = np.nonzero(where > 0)
    out = np.zeros(work, np.float32)
    if not len(y):
        return np.zeros(picture.shape[:2], np.float32)
    off_x, off_y = np.round(_sunflower(_ASKED) * (_AROUND * _WORK_PX)).astype(int).T
    there_y, there_x = y[:, None] + off_y, x[:, None] + off_x
    seen = (np.minimum(there_y, there_x) >= 0) & (np.maximum(there_y, there_x) < _WORK_PX)
    there_y, there_x = there_y * seen, there_x * seen
    unlike = np.linalg.norm(calm[there_y, there_x] - calm[y, x][:, None], axis=-1)
    unlike = unlike + _NEARNESS * np.hypot(off_x, off_y) / (_AROUND * _WORK_PX)
    to_inner, to_outer = (
        np.partition(np.where(seen & (side[there_y, there_x] > 0.99), unlike, np.inf), _RANK - 1, 1)[
            :, _RANK - 1
        ]
        for side in (inner, outer)
    )
    known = np.isfinite(to_inner) & np.isfinite(to_outer)
    to_inner, to_outer = to_inner[known] + _HIDDEN, to_outer[known] + _HIDDEN
    out[y[known], x[known]] = ramp(to_inner / (to_inner + to_outer), *sure)
    return np.asarray(cv2.resize(out, (size, size)) * asked, np.float32)


def _sunflower(count: int) -> Array:
    """(N, 2) places spread evenly over the unit disc."""
    k = np.arange(count) + 0.5
    angle = np.pi * (3 - np.sqrt(5)) * k
    return np.sqrt(k / count)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
