"""Eyelids, column by column.

On lids the surface alone is a poor guide: a fold hides the skin that a closing lid needs, and lashes stand
off it. So in each column of the crop the lash lines of both lids, before and after, say where pixels come
from: lashes go rigidly with their line, the skin up to the brow (down to the cheek) stretches, and the
eyeball stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

Array = np.ndarray

POINTS = 41  # along each curve, from corner to corner
# On the chart: lash lines run through the eye's landmarks; skin beyond the outer curves moves as the surface
# does.
_CENTRE, _RADII = (17.05, 17.4), (6.75, 1.65)
_BROW, _CHEEK = 25.2, 11.0
_LASH_CM = 0.30
_SLIT_CM = 0.1
_CLOSED = (0.32, 0.55)  # share of the opening at which the eye counts as closed, as open
_MARGIN_CM = (
    0.04,
    0.09,
)  # upper and lower lids are taken to end this far from the landmarks' line, so that no white comes along
_INSET_CM = 0.10  # the plate's eyeball is certain only this far inside that
_BEYOND = 0.55  # lashes reach past the corners: the curves do too, by this share of half an eye
_CURVES = 4
_HAIR_ENDS = 1.5  # per px of brow: how soon the lid's skin is at its end there
_LEAST_SKIN_CM, _ALIKE_CM = 0.12, 0.25  # skin a lid has at least; so far along a lid its end is much the same


def curves_deg() -> Array:
    """(2 * 4 * POINTS, 2) chart points: for each eye, right first, its upper and lower lash line, brow and
    cheek.
    """
    across, arch = _across(), _arch(_across())
    eyes = []
    for side in (-1, 1):
        x = side * _CENTRE[0] + _RADII[0] * across
        eyes += [
            np.stack([x, _CENTRE[1] + _RADII[1] * arch], 1),
            np.stack([x, _CENTRE[1] - _RADII[1] * arch], 1),
            np.stack([x, np.full(POINTS, _BROW)], 1),
            np.stack([x, np.full(POINTS, _CHEEK)], 1),
        ]
    return np.concatenate(eyes)


def _across() -> Array:
    """(POINTS,) -1 and 1 at the corners."""
    return np.linspace(-1 - _BEYOND, 1 + _BEYOND, POINTS)


def _arch(across: Array) -> Array:
    """Height of a lid's line, 1 in the middle, 0 from the corners on."""
    return np.clip(1 - np.abs(across) ** 2.6, 0, None)


@dataclass(frozen=True)
class _Columns:
    """For n columns (crop x = `first` + k): before and after (n, 2) of lash lines and outer curves, a weight
    that fades towards the corners, and the rows `top` (n,) from which on flow is put right.
    """

    first: int
    weight: Array
    arch: Array
    top: Array
    upper: tuple[Array, Array]
    lower: tuple[Array, Array]
    brow: tuple[Array, Array]
    cheek: tuple[Array, Array]


def lid_flow(
    flow: Array,
    eye_flow: Array,
    before: Array,
    after: Array,
    *,
    px_per_cm: float,
    brow: Array | None = None,
) -> Array:
    """The flow (S, S, 2) with both eyes put right.

    `eye_flow` (S, S, 2): the eyeballs' own. `before`, `after` (2 * 4 * POINTS, 2): the curves in crop px.
    `brow` (S, S) 0..1: where the plate shows brows. Their hair goes with the brow, and never onto a lid.
    """
    out = flow.copy()
    shape = (2, _CURVES, POINTS, 2)
    for old, new in zip(before.reshape(shape), after.reshape(shape), strict=True):
        columns = _columns(old, new, size=flow.shape[1])
        if columns is not None:
            if brow is not None:
                columns = _below_hair(columns, brow, px_per_cm)
            _put_right(out, eye_flow, columns, px_per_cm)
    return out


def _columns(old: Array, new: Array, *, size: int) -> _Columns | None:
    x = np.maximum.accumulate(new[0, :, 0])  # seen from the side, the far end turns back
    x = x + 1e-6 * np.arange(POINTS)
    first, last = max(0, int(np.ceil(x[0]))), min(size - 1, int(np.floor(x[-1])))
    if last - first < 4:
        return None
    here = np.arange(first, last + 1)
    at = np.interp(here, x, np.arange(POINTS))

    def pair(curve: int) -> tuple[Array, Array]:
        states = (old[curve], new[curve])
        both = [np.stack([np.interp(at, np.arange(POINTS), s[:, k]) for k in (0, 1)], 1) for s in states]
        return both[0], both[1]

    edge = np.minimum(at, POINTS - 1 - at) / (0.2 * POINTS)
    edge = np.clip(edge, 0, 1)
    arch = np.interp(at, np.arange(POINTS), _arch(_across()))
    upper, lower, brow, cheek = (pair(k) for k in range(_CURVES))
    return _Columns(first, edge * edge * (3 - 2 * edge), arch, brow[1][:, 1], upper, lower, brow, cheek)


def _below_hair(columns: _Columns, brow: Array, px_per_cm: float) -> _Columns:
    """The lid's skin ends where the plate's brow begins, and what is above goes as the brow curve goes.

    A deep eye has its brow close above it: a closing lid would draw hair down over the eye.
    """
    lash, curve = columns.upper[0], columns.brow[0]
    reach = np.maximum(lash[:, 1] - curve[:, 1], 0)
    steps = np.arange(int(reach.max()) + 1, dtype=np.float32)[:, None]
    share = steps / np.maximum(reach, 1)
    x = (lash[:, 0] + (curve[:, 0] - lash[:, 0]) * share).astype(np.float32)
    y = (lash[:, 1] - steps).astype(np.float32)
    hair = cv2.remap(brow.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    free = np.exp(-_HAIR_ENDS * np.cumsum(hair, 0)) * np.clip(reach - steps, 0, 1)
    skin = np.maximum(free.sum(0), _LEAST_SKIN_CM * px_per_cm)
    skin = cv2.GaussianBlur(skin[None].astype(np.float32), (0, 0), _ALIKE_CM * px_per_cm)[0]
    part = np.minimum(skin / np.maximum(reach, 1e-3), 1)[:, None]
    end = lash + (curve - lash) * part
    return replace(columns, brow=(end, end + columns.brow[1] - columns.brow[0]))


def _put_right(flow: Array, eye_flow: Array, columns: _Columns, px_per_cm: float) -> None:
    """In place, for the rows between brow and cheek."""
    columns = _widened(columns, px_per_cm)
    top = max(0, int(columns.top.min()))
    bottom = min(len(flow) - 1, int(columns.cheek[1][:, 1].max()) + 1)
    rows, cols = slice(top, bottom + 1), slice(columns.first, columns.first + len(columns.weight))
    y = np.arange(top, bottom + 1, dtype=np.float64)[:, None]
    x = np.arange(cols.start, cols.stop, dtype=np.float64)[None]
    upper_line, lower_line = _lines(columns, px_per_cm)
    lash = _LASH_CM * px_per_cm
    above = _lid_source(x, y, columns.upper, columns.brow, upper_line, lash)
    below = _lid_source(x, y, columns.lower, columns.cheek, lower_line, lash)
    ball = _ball_source(x, y, eye_flow[rows, cols], columns, px_per_cm)
    is_above, is_below = y < upper_line, y > lower_line
    source = np.where(is_above[..., None], above, np.where(is_below[..., None], below, ball))
    wanted = source - np.stack(np.broadcast_arrays(x, y), -1)
    covered = (y >= columns.top) & (y <= columns.cheek[1][:, 1])
    weight = (covered * columns.weight)[..., None]
    flow[rows, cols] += (weight * (wanted - flow[rows, cols])).astype(flow.dtype)


def _widened(columns: _Columns, px_per_cm: float) -> _Columns:
    """Lash lines moved out by the margins, and not at all at the corners."""
    up, down = (columns.arch[:, None] * [0.0, margin * px_per_cm] for margin in _MARGIN_CM)
    (old, new), (old_low, new_low) = columns.upper, columns.lower
    return replace(columns, upper=(old - up, new - up), lower=(old_low + down, new_low + down))


def _lines(columns: _Columns, px_per_cm: float) -> tuple[Array, Array]:
    """Where the lids end (n,): an eye nearly closed, measured by before, is closed."""
    (upper_old, upper), (lower_old, lower) = columns.upper, columns.lower
    gap, gap_old = ((b - a)[:, 1] / px_per_cm for a, b in ((upper, lower), (upper_old, lower_old)))
    share = (np.maximum(gap, 0) + _SLIT_CM) / (np.maximum(gap_old, 0) + _SLIT_CM)
    open_ = np.clip((share - _CLOSED[0]) / (_CLOSED[1] - _CLOSED[0]), 0, 1)
    kept = np.maximum(gap, 0) * open_ * open_ * (3 - 2 * open_) * px_per_cm
    bottom = np.maximum(lower[:, 1], 0.5 * (upper[:, 1] + lower[:, 1]))
    return bottom - kept, bottom


def _lid_source(
    x: Array, y: Array, line: tuple[Array, Array], outer: tuple[Array, Array], line_y: Array, lash: float
) -> Array:
    """(rows, columns, 2) source of a lid's skin: rigid for the first `lash` px, then stretched."""
    (line_old, _), (outer_old, outer_new) = line, outer
    sign = np.sign(outer_new[:, 1] - line_y)
    reach_new = np.maximum(np.abs(outer_new[:, 1] - line_y), 1e-3)
    reach_old = np.maximum(np.abs(outer_old[:, 1] - line_old[:, 1]), 1e-3)
    rigid = np.minimum(lash, 0.6 * np.minimum(reach_new, reach_old))
    away = np.clip((y - line_y) * sign, 0, None)
    begin = np.clip((reach_new - rigid) / (reach_old - rigid), 0.2, 1.9)  # keeps on as rigidly as it can
    along = np.clip((away - rigid) / (reach_new - rigid), 0, 1)
    stretched = rigid + (reach_old - rigid) * (begin * along + (1 - begin) * along**2)
    distance = np.where(away < rigid, away, stretched) + np.maximum(away - reach_new, 0)
    share = np.minimum(distance / reach_old, 1)
    shift = (line_old[:, 0] - line[1][:, 0]) * (1 - share) + (outer_old[:, 0] - outer_new[:, 0]) * share
    return np.stack([x + shift, line_old[:, 1] + sign * distance], -1)


def _ball_source(x: Array, y: Array, eye_flow: Array, columns: _Columns, px_per_cm: float) -> Array:
    """(rows, columns, 2) source of the eyeball, held within what the plate shows of it."""
    inset = _INSET_CM * px_per_cm
    (high_old, high_new), (low_old, low_new) = (
        [c[:, 1] for c in pair] for pair in (columns.upper, columns.lower)
    )
    high = high_old + np.clip(high_old - high_new, 0, inset)  # opened: what comes out was under the lid
    low = np.maximum(low_old - np.clip(low_new - low_old, 0, inset), high)
    return np.stack([x + eye_flow[..., 0], np.clip(y + eye_flow[..., 1], high, low)], -1)
