"""Eyelids, column by column: where their pixels come from, and where new skin is needed.

On lids the surface alone is a poor guide: a fold hides the skin that a closing lid needs, and lashes stand
off it. So in each column of the crop the rims of the eye, before and after, say where pixels come from. What
opens takes its lashes along, and the skin up to the brow gives way. What closes leaves the skin above where
it is, and new skin (`lid_skin`) unrolls from the fold down to the rim. The eyeball stays where it is.
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
_LASH_CM = (0.18, 0.30)  # skin that goes rigidly with the upper, the lower rim
_SLIT_CM = 0.1
_WAY, _WAY_CM = 0.78, 0.72  # a lid that came so far of the opening, but no more than so far, has closed it
# Upper and lower lids are taken to end this far from the landmarks' line, so that no white comes along.
_MARGIN_CM = (0.04, 0.09)
_INSET_CM = 0.10  # the plate's eyeball is certain only this far inside that
_BEYOND = (
    0.8  # eyes and lashes reach past the landmarks' corners: the curves do too, by this share of half an eye
)
_CORNERS = tuple((POINTS - 1) / 2 * (1 + side / (1 + _BEYOND)) for side in (-1, 1))  # where on the curves
_CURVES = 4
_WIDER = 1.42  # real eyes are longer than the landmarks' corners tell, by up to this
_WIDEST, _WIDEST_CM = 0.22, 0.05  # no eye opens further than by so much of its opening, and so many cm
_SLIVER_CM = 0.06  # less than that of an eye is closed
_SAGS_CM = 0.09  # a closed rim comes to lie a little below where the lower one was
_SEEN_CM, _WRONG_CM = 1.0, 0.35  # so far an eye is looked for; so far landmarks may be wrong about its rim
_ALIKE_CM = 0.16  # so far along a lid its rim is much the same
_STARTS, _STARTED = 0.05, 0.38  # share closed: from here on there is new skin, from here on wholly
_FOLLOWS, _FOLLOWS_CM, _PUSHED = 0.15, 0.06, 0.6  # how far the fold goes with its lid, with a sinking brow
_SKIN_ABOVE_CM, _FOLD_CM = 0.16, 0.45  # new skin covers the old lashes; over this it runs into the skin above
_WHOLLY = 0.98  # share of new skin from which on nothing of the old shows through
_SIDES_CM = 0.08
_TAPER_CM = 0.36  # lashes are ever fewer where the opening is smaller than that
_CORNER_CM = 0.16  # an opening smaller than that is a corner
# A brow: above the lashes, up to so far above its curve, and in log light so far below the lower lid's skin.
_LASHES_CM, _ABOVE_CM, _DARK, _BAG_CM = 0.35, 0.7, (0.45, 1.0), 0.45
_THICKEST_CM, _THINNEST_CM, _BROW_ALIKE_CM, _RISES_CM = 0.75, 0.12, 0.4, 0.25
_LEAST_SKIN = (
    0.5,
    0.9,
)  # share of the way from lashes to the curve that stretches at least: mid-eye, corners
_DONOR_CM = 0.45  # the skin below the eye that lends its grain begins this far below the rim


@dataclass(frozen=True)
class Lids:
    """`flow` (S, S, 2) crop px, in which new lid takes its grain from the skin below the eye.

    `cover` (S, S) 0..1: new lid. `down` (S, S): 0 at its fold, 1 at its rim. `rim_cm` (S, S): how far below
    the rim a pixel is; `along_cm`: how far to the right of the eye's middle. `shut` (S, S) 0..1:
    how far the eye has closed, and nothing at its corners. `eyes` (S, S) bool: eyes and lashes of the plate,
    which are no skin.
    """

    flow: Array
    cover: Array
    down: Array
    rim_cm: Array
    along_cm: Array
    shut: Array
    eyes: Array


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
    """For n columns (crop x = `first` + k): before and after (n, 2) of the rims and outer curves, a weight
    that fades towards the ends, the rims' arch, that of a longer eye, rows `top` (n,) from which on flow is
    put right, and how far down (n,) the corners have moved.
    """

    first: int
    weight: Array
    arch: Array
    round: Array
    top: Array
    moved: Array
    upper: tuple[Array, Array]
    lower: tuple[Array, Array]
    brow: tuple[Array, Array]
    cheek: tuple[Array, Array]


def lids(
    flow: Array,
    eye_flow: Array,
    before: Array,
    after: Array,
    *,
    px_per_cm: float,
    eye: Array | None = None,
    luma: Array | None = None,
) -> Lids:
    """Both eyes put right in a flow (S, S, 2).

    `eye_flow` (S, S, 2): the eyeballs' own. `before`, `after` (2 * 4 * POINTS, 2): the curves in crop px.
    `eye` (S, S) 0..1: where the plate shows eyes. Landmarks are often a millimetre or two wrong about rims.
    `luma` (S, S): logarithm of the plate's light, which shows brows. Their hair moves as one.
    """
    size = flow.shape[:2]
    out = Lids(
        flow.copy(),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.full(size, 9.0, np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, bool),
    )
    if eye is not None:
        eye = _without_holes(eye, px_per_cm)
    shape = (2, _CURVES, POINTS, 2)
    for old, new in zip(before.reshape(shape), after.reshape(shape), strict=True):
        columns = _columns(old, new, size=flow.shape[1])
        if columns is not None:
            columns = _at_rims(_widened(columns, px_per_cm), eye, px_per_cm)
            open_ = _openness(columns, px_per_cm)
            if luma is not None:
                columns = _below_hair(columns, luma, px_per_cm)
            _mark(out.eyes, columns, px_per_cm)
            _put_right(out, eye_flow, columns, open_, px_per_cm)
    return out


def _without_holes(eye: Array, px_per_cm: float) -> Array:
    """The share with highlights and the gaps between lashes closed."""
    side = 2 * max(1, round(0.15 * px_per_cm)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.morphologyEx(eye.astype(np.float32), cv2.MORPH_CLOSE, disc)


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

    edge = np.minimum(at, POINTS - 1 - at) / (0.14 * POINTS)
    edge = np.clip(edge, 0, 1)
    arch = np.interp(at, np.arange(POINTS), _arch(_across()))
    round_ = np.interp(at, np.arange(POINTS), np.sqrt(np.clip(1 - (_across() / _WIDER) ** 2, 0, 1)))
    sunk = np.interp(_CORNERS, np.arange(POINTS), new[0, :, 1] - old[0, :, 1])
    upper, lower, brow, cheek = (pair(k) for k in range(_CURVES))
    weight, moved = edge * edge * (3 - 2 * edge), np.interp(at, _CORNERS, sunk)
    return _Columns(first, weight, arch, round_, brow[1][:, 1], moved, upper, lower, brow, cheek)


def _widened(columns: _Columns, px_per_cm: float) -> _Columns:
    """Rims moved out by the margins, and not at all at the corners."""
    up, down = (columns.arch[:, None] * [0.0, margin * px_per_cm] for margin in _MARGIN_CM)
    (old, new), (old_low, new_low) = columns.upper, columns.lower
    return replace(columns, upper=(old - up, new - up), lower=(old_low + down, new_low + down))


def _at_rims(columns: _Columns, eye: Array | None, px_per_cm: float) -> _Columns:
    """Rims moved out to where the plate's eye ends, if it is further out than the landmarks say; before and
    after by as much.
    """
    (upper, upper_new), (lower, lower_new) = (
        [_calm(c, px_per_cm) for c in pair] for pair in (columns.upper, columns.lower)
    )
    if eye is None:
        return replace(columns, upper=(upper, upper_new), lower=(lower, lower_new))
    middle = 0.5 * (upper + lower)
    steps = np.arange(int(_SEEN_CM * px_per_cm) + 1, dtype=np.float32)[:, None]

    def reach(sign: int) -> Array:
        """(n,) px of eye from the middle on: a sum over soft shares, so that it moves by parts of a pixel."""
        x, y = np.broadcast_arrays(middle[:, 0].astype(np.float32), middle[:, 1] + sign * steps)
        share = cv2.remap(eye, x, y.astype(np.float32), cv2.INTER_LINEAR)
        return np.asarray(np.minimum.accumulate(share, 0).sum(0))

    def off(far: Array) -> Array:
        wrong = np.clip(far, 0, _WRONG_CM * px_per_cm)
        return _calm(np.stack([np.zeros_like(wrong), wrong], 1), px_per_cm)

    def lens(far: Array) -> Array:
        """(n,) the same, held below an arch between the corners: mattes are too soft to end in one."""
        return np.asarray(np.minimum(far, max(float((far * columns.arch).max()), 1e-3) * columns.round))

    up = off(lens(reach(-1)) - (middle - upper)[:, 1])
    down = off(lens(reach(1)) - (lower - middle)[:, 1])
    return replace(columns, upper=(upper - up, upper_new - up), lower=(lower + down, lower_new + down))


def _calm(curve: Array, px_per_cm: float) -> Array:
    """The curve (n, 2) with rows averaged along it."""
    rows = curve[:, 1].mean()
    soft = cv2.GaussianBlur((curve[:, 1] - rows)[None], (0, 0), max(_ALIKE_CM * px_per_cm, 0.5))[0]
    return np.stack([curve[:, 0], rows + soft], 1)


def _below_hair(columns: _Columns, luma: Array, px_per_cm: float) -> _Columns:
    """What stretches ends where the brow begins, which is dark; from there up to the curve it goes as one.

    In each column the darkness is added up from above, to the share of the brow that lies above its lower
    edge: a sum moves by parts of a pixel where a threshold would jump. Where a brow is as dark as the socket
    below, it ends after `_THICKEST_CM`.
    """
    lash, curve = columns.upper[0], columns.brow[0]
    reach = np.maximum(lash[:, 1] - curve[:, 1], 1.0)
    start = _LASHES_CM * px_per_cm
    steps = np.arange(start, reach.max() + _ABOVE_CM * px_per_cm, dtype=np.float32)[::-1, None]
    usual = np.median(_along(luma, columns.lower[0], -_BAG_CM * px_per_cm * np.ones((1, 1), np.float32)))
    inside = np.clip(reach + _ABOVE_CM * px_per_cm - steps, 0, 1)
    dark = inside * _ramp((usual - _along(luma, lash, steps) - _DARK[0]) / (_DARK[1] - _DARK[0]))
    summed = np.cumsum(dark, 0)
    whole = summed[-1]
    level = np.minimum(0.92 * whole, _THICKEST_CM * px_per_cm)
    free = start + np.clip(summed - level, 0, 1).sum(0)
    certain = _ramp(whole / (_THINNEST_CM * px_per_cm)) * columns.round + 1e-3
    least = _LEAST_SKIN[1] + (_LEAST_SKIN[0] - _LEAST_SKIN[1]) * columns.round
    both = np.stack([certain * np.clip(free / reach, least, 1), certain]).astype(np.float32)
    share, certain = cv2.GaussianBlur(both, (0, 0), sigmaX=_BROW_ALIKE_CM * px_per_cm, sigmaY=1e-3)
    risen = (columns.brow[0] - columns.brow[1])[:, 1] + columns.moved
    rises = _ramp(risen / (_RISES_CM * px_per_cm))
    part = 1 - _ramp(4 * certain) * rises * (1 - share / np.maximum(certain, 1e-6))
    end = lash + (curve - lash) * part[:, None]
    return replace(columns, brow=(end, end + columns.brow[1] - columns.brow[0]))


def _along(picture: Array, curve: Array, up_px: Array) -> Array:
    """(m, n) of a picture (S, S) at `up_px` (m, 1) above the curve (n, 2)."""
    x, y = np.broadcast_arrays(curve[:, 0].astype(np.float32), (curve[:, 1] - up_px).astype(np.float32))
    return cv2.remap(picture.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _mark(eyes: Array, columns: _Columns, px_per_cm: float) -> None:
    """In place: the plate's eye with what lashes there are around it."""
    (upper, _), (lower, _) = columns.upper, columns.lower
    inside = columns.round > 0
    if inside.any():
        outline = np.concatenate([upper[inside], lower[inside][::-1]])
        drawn = np.zeros(eyes.shape, np.uint8)
        cv2.fillPoly(drawn, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
        side = 2 * max(1, round(0.14 * px_per_cm)) + 1
        eyes |= cv2.dilate(drawn, np.ones((side, side), np.uint8)) > 0


def _put_right(out: Lids, eye_flow: Array, columns: _Columns, open_: float, px_per_cm: float) -> None:
    """In place, for the rows between brow and cheek."""
    top = max(0, int(columns.top.min()))
    bottom = min(len(out.flow) - 1, int(columns.cheek[1][:, 1].max()) + 1)
    if bottom <= top:
        return
    rows, cols = slice(top, bottom + 1), slice(columns.first, columns.first + len(columns.weight))
    y = np.arange(top, bottom + 1, dtype=np.float64)[:, None]
    x = np.arange(cols.start, cols.stop, dtype=np.float64)[None]
    rim, low = _rim(columns, open_, px_per_cm)
    fold = _fold(columns, rim, px_per_cm)
    stiff, stiff_low = (px_per_cm * cm for cm in _LASH_CM)
    above = _lid_source(x, y, columns.upper, columns.brow, fold, stiff)
    below = _lid_source(x, y, columns.lower, columns.cheek, low, stiff_low)
    ball = _ball_source(x, y, eye_flow[rows, cols], columns, rim, px_per_cm)
    is_above, is_below = y < np.minimum(fold, rim), y > low
    source = np.where(is_above[..., None], above, np.where(is_below[..., None], below, ball))
    here = np.stack(np.broadcast_arrays(x, y), -1)
    wanted = source - here
    covered = (y >= columns.top) & (y <= columns.cheek[1][:, 1])
    weight = (covered * columns.weight)[..., None]
    flow = out.flow[rows, cols] + weight * (wanted - out.flow[rows, cols])
    cover, down = _cover(y, columns, rim, fold, 1 - open_, px_per_cm)
    lent = _donor(x, y, columns, rim, px_per_cm) - here
    out.flow[rows, cols] = np.where(cover[..., None] > _WHOLLY, lent, flow).astype(out.flow.dtype)
    out.cover[rows, cols] = np.maximum(out.cover[rows, cols], cover)
    out.down[rows, cols] = np.where(cover > 0, down, out.down[rows, cols])
    gap = columns.lower[0][:, 1] - columns.upper[0][:, 1]
    away = (y - rim) / px_per_cm
    nearer = np.abs(away) < np.abs(out.rim_cm[rows, cols])
    out.rim_cm[rows, cols] = np.where(nearer, away, out.rim_cm[rows, cols])
    closed = (1 - open_) * _ramp(gap / (_TAPER_CM * px_per_cm)) * columns.weight
    out.shut[rows, cols] = np.where(nearer, closed, out.shut[rows, cols])
    middle = float((x[0] * columns.arch).sum() / (columns.arch.sum() + 1e-6))
    along = np.broadcast_to((x - middle) / px_per_cm, away.shape)
    out.along_cm[rows, cols] = np.where(nearer, along, out.along_cm[rows, cols])


def _openness(columns: _Columns, px_per_cm: float) -> float:
    """0..1: what is left of the eye's opening, by how far the model's lid has come.

    The model's own gap would close a narrow eye at half the strength, and never a large one.
    """
    gaps = [columns.lower[k][:, 1] - columns.upper[k][:, 1] for k in (0, 1)]
    total = (float(columns.arch.sum()) + 1e-6) * px_per_cm
    before, after = (float((columns.arch * gap).sum()) / total for gap in gaps)
    whole = min(_WAY * max(before, _SLIT_CM), _WAY_CM)
    return float(np.clip(1 - (before - after) / whole, 0, 1))


def _rim(columns: _Columns, open_: float, px_per_cm: float) -> tuple[Array, Array]:
    """Rows (n,) in which the upper lid and the lower lid end."""
    (upper_old, upper), (lower_old, lower) = columns.upper, columns.lower
    gap, gap_old = (np.maximum((b - a)[:, 1], 0) for a, b in ((upper, lower), (upper_old, lower_old)))
    low = np.maximum(lower[:, 1], 0.5 * (upper[:, 1] + lower[:, 1]))
    low = low + (1 - open_) * _SAGS_CM * px_per_cm * columns.round
    most = (_WIDEST_CM + _WIDEST * gap_old.max() / px_per_cm) * px_per_cm
    wider = most * np.tanh(np.maximum(gap - gap_old, 0) / most)
    left = np.maximum(gap_old * open_ - _SLIVER_CM * px_per_cm * (1 - open_), 0)
    return low - left - wider, low


def _fold(columns: _Columns, rim: Array, px_per_cm: float) -> Array:
    """(n,) rows in which the plate's own skin above the eye ends."""
    lash = columns.upper[0][:, 1] + columns.moved
    sunk = columns.brow[1][:, 1] - columns.brow[0][:, 1] - columns.moved
    down = rim - lash
    follows = np.minimum(_FOLLOWS * down, _FOLLOWS_CM * px_per_cm)
    pushed = _PUSHED * sunk * _ramp(down / (0.1 * px_per_cm))
    return np.asarray(lash + np.where(down > 0, np.minimum(down, follows + pushed), down))


def _cover(
    y: Array, columns: _Columns, rim: Array, fold: Array, shut: float, px_per_cm: float
) -> tuple[Array, Array]:
    """(rows, columns) 0..1 new lid, and how far down it: 0 at the fold, 1 at the rim."""
    gap = columns.lower[0][:, 1] - columns.upper[0][:, 1]
    there = np.clip(gap / (_CORNER_CM * px_per_cm), 0, 1) * columns.weight
    amount = float(_ramp((shut - _STARTS) / (_STARTED - _STARTS)))
    begin = np.minimum(fold, rim) - there * _SKIN_ABOVE_CM * px_per_cm
    soft = 1 + _FOLD_CM * px_per_cm * there
    top = _ramp((y - begin + soft) / soft)
    soft_px = max(0.5, _SIDES_CM * px_per_cm)
    cover = cv2.GaussianBlur((_ramp(3 * there) * top).astype(np.float32), (0, 0), soft_px)
    cover = amount * _ramp(1.12 * cover) * np.clip(rim - y + 0.5, 0, 1)
    return cover, np.clip((y - begin + soft) / np.maximum(rim - begin + soft, 1.0), 0, 1)


def _donor(x: Array, y: Array, columns: _Columns, rim: Array, px_per_cm: float) -> Array:
    """(rows, columns, 2): the skin below the eye that lends its grain; it goes down with the rim."""
    (upper, _), (lower, _) = columns.upper, columns.lower
    gap = np.maximum(lower[:, 1] - upper[:, 1], 0).max() + (_SKIN_ABOVE_CM + _FOLD_CM) * px_per_cm
    shift = columns.lower[0][:, 0] - columns.lower[1][:, 0]
    base = lower[:, 1].mean() + gap + _DONOR_CM * px_per_cm
    return np.stack(np.broadcast_arrays(x + shift, y - rim + base), -1)


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


def _ball_source(
    x: Array, y: Array, eye_flow: Array, columns: _Columns, rim: Array, px_per_cm: float
) -> Array:
    """(rows, columns, 2) source of the eyeball, held within what the plate shows of it.

    What an opening lid uncovers is stretched from the upper half of the eye: of the plate's rim alone there
    would come stripes.
    """
    inset = _INSET_CM * px_per_cm
    high, (low_old, low_new) = columns.upper[0][:, 1], [c[:, 1] for c in columns.lower]
    wanted = y + eye_flow[..., 1]
    opened = np.maximum(high + columns.moved - rim, 0)
    high = high + np.minimum(opened, inset)  # its edge is lashes and their shadow
    low = np.maximum(low_old - np.clip(low_new - low_old, 0, inset), high)
    middle = 0.5 * (high + low)
    reach = np.maximum(middle - high, 1e-3)
    longer = np.minimum((opened + np.minimum(opened, inset)) / reach, 0.9)
    t = np.clip((middle - wanted) / (reach * (1 + longer)), 0, 1)
    up = middle - reach * ((1 + longer) * t - longer * t * t)
    source = np.where(wanted < middle, up, wanted)
    return np.stack([x + eye_flow[..., 0], np.clip(source, high, low)], -1)


def _ramp(x: Array | float) -> Array:
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))
