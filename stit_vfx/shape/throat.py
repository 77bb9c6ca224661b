"""What comes out from under a chin that rises.

A plate shows the throat edge-on: a few rows between the jaw and the collar have to cover several times their
height. Drawn out evenly, a line of shadow below the jaw becomes a beard and its ends streaks. So what has
structure keeps its height, and the smooth skin below it is drawn out instead.
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.shape.code import ShapeCode
from stit_vfx.shape.ramp import ramp

Array = np.ndarray

_CHIN = np.array([0.0, -7.5, 9.0])
_RISES_DEG = (1.0, 8.0)  # a nod of less is drawn out evenly; exactly nothing of this for a turn to the side
_SHADE_CM, _A_SHADE = 0.35, (0.08, 0.45)  # range of log light within so much that makes a line of shadow
_JAW_CM = (0.3, 1.5)  # below the sure face: so far what is seen goes with the jaw
_LEAST = 0.1  # share of its drawing out that structure keeps, where there is nothing else
_BESIDE_CM = (1.8, 3.4)  # off the chin's middle: here it ends
_EVEN_CM, _EVEN_ROWS_PX = 0.5, 0.6  # neighbouring columns agree over so much
_STAYS_PX = 0.5  # what flows by less counts as still


def nods_up(before: ShapeCode, after: ShapeCode) -> float:
    """0..1: how far a head nods upwards between two codes."""
    up = [float(np.degrees(np.arcsin(np.clip(code.rotation[1, 2], -1, 1)))) for code in (before, after)]
    return float(ramp(np.array(up[1] - up[0]), *_RISES_DEG))


def stiffer(flow: Array, luma: Array, sure: Array, after: ShapeCode, share: float) -> Array:
    """The flow (S, S, 2) px with what is drawn out between jaw and collar taken rather from smooth skin.

    luma (S, S): log light of the plate; sure (S, S) bool: firmly on the face after the nod; share 0..1: how
    much so. Along columns, and monotonically, so that nothing folds; exactly nothing where nothing flows.
    """
    px, middle = after.scale, float(after.project(_CHIN[None])[0, 0])
    height, width = luma.shape
    rows, columns = np.arange(height), np.abs(np.arange(width) - middle) / px
    source = rows[:, None] + flow[..., 1].astype(np.float64)
    beside = share * (1 - ramp(columns, *_BESIDE_CM))
    # The last row of the jaw, and the first that stays, in each column.
    jaw = height - 1 - np.argmax(sure[::-1], 0)
    still = (rows[:, None] > jaw) & (np.abs(flow[..., 1]) < _STAYS_PX)
    still[-1] = True
    stay, structure = np.argmax(still, 0), _structure(luma, px)
    step: Array = np.zeros(luma.shape)
    for x in np.flatnonzero((beside > 0) & sure.any(0)):
        inside = slice(jaw[x], stay[x] + 1)
        goes_along = 1 - ramp((rows - source[jaw[x], x]) / px, *_JAW_CM)
        smooth = 1 - np.maximum(structure[:, x], goes_along)
        even = source[inside, x]
        step[inside, x] = beside[x] * (_redrawn(even, smooth) - even)
    step = cv2.GaussianBlur(step, (0, 0), _EVEN_CM * px, sigmaY=_EVEN_ROWS_PX)
    out = flow.copy()
    out[..., 1] += np.where(flow[..., 1] != 0, step, 0)
    return out


def _redrawn(even: Array, smooth: Array) -> Array:
    """(n,) rows of the plate from the first to the last of `even` (n,), spread anew: each gets its row of the
    picture, and what is left over goes to what is `smooth` (S,) 0..1.
    """
    first, last = even[0], even[-1]
    over = len(even) - 1 - (last - first)
    if over <= 0 or last <= first:
        return even
    grid = np.linspace(first, last, int(last - first) * 4 + 2)
    gets = _LEAST + np.interp(grid, np.arange(len(smooth)), smooth)
    gets = np.concatenate([[0], np.cumsum(0.5 * (gets[1:] + gets[:-1]))])
    return np.interp(np.arange(len(even)), grid - first + over * gets / gets[-1], grid)


def _structure(luma: Array, px: float) -> Array:
    """(S, S) 0..1: lines of shadow and of light."""
    calm = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 0.08 * px, sigmaY=0.05 * px)
    tall = np.ones((2 * max(1, round(_SHADE_CM * px / 2)) + 1, 1), np.uint8)
    shade = ramp(cv2.dilate(calm, tall) - cv2.erode(calm, tall), *_A_SHADE)
    return cv2.GaussianBlur(np.asarray(shade, np.float32), (0, 0), _EVEN_CM * px, sigmaY=0.15 * px)
