"""Eyelids, column by column: where their pixels come from, and where new skin is needed.

On lids the surface alone is a poor guide: a fold hides the skin that a closing lid needs, and lashes stand
off it. So in each column of the crop the rims of the eye, before and after, say where pixels come from. What
opens takes its lashes along, and the skin up to the brow gives way. What closes leaves the skin above where
it is, and new skin (`lid_skin`) unrolls from the fold down to the rim. The eyeball stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from stit_vfx.shape.disc import disc
from stit_vfx.shape.lid_columns import ALMOND, CURVES, POINTS, Columns, columns_of, wide_px, without_holes
from stit_vfx.shape.ramp import ramp, smoothstep

Array = np.ndarray

# An eye that a turn takes out of sight is left to the flow: so narrow, and so much narrower than it was.
_NARROW_CM, _NARROWER = (1.3, 1.9), (0.75, 0.95)
_WHITE_CM = 0.08
_BRIDGE_DEG, _NO_SKIN = (2.5, 6.5), 1e3  # of the chart: on the nose; on the eye's side of it
_LASH_CM = (0.18, 0.30)  # skin that goes rigidly with the upper, the lower rim
_SLIT_CM = 0.1
_WAY, _WAY_CM = 0.70, 0.62  # a lid that came so far of the opening, but no more than so far, has closed it
_SLOWLY = 1.2  # so that half the way leaves half an eye
_AN_EYE_CM = (0.25, 0.45)  # between the rims as they are taken to lie, margins and lashes in: closed, open
_INSET_CM = 0.10  # the plate's eyeball is certain only this far inside the rims
_WIDEST, _WIDEST_CM = 0.22, 0.05  # no eye opens further than by so much of its opening, and so many cm
_STILL = 0.15  # of an eye, from below, that is not stretched as it opens
_SLIVER_CM = 0.06  # less than that of an eye is closed
# A closed rim lies a little below the lower one, in a bow that hangs at least so far below its corners.
# Beyond them it goes over into the lower lid within this share of half an eye.
_SAGS_CM, _HANGS_CM, _BEYOND = 0.06, 0.17, 0.3
_WET_CM = 0.07  # of a lower lid's edge is out of sight when the upper one lies on it
_STARTS, _STARTED = 0.05, 0.38  # share closed: from here on there is new skin, from here on wholly
_FOLLOWS, _FOLLOWS_CM, _PUSHED = 0.15, 0.06, 0.6  # how far the fold goes with its lid, with a sinking brow
_SKIN_ABOVE_CM, _FOLD_CM = 0.16, 0.45  # new skin covers the old lashes; over this it runs into the skin above
_BELOW_BROW = 0.55  # of the way up to the brow's hair: no further
_WHOLLY = 0.98  # share of new skin from which on nothing of the old shows through
_SIDES_CM, _ENDS_CM, _TOP_CM = (
    0.10,
    0.22,
    0.30,
)  # how soft a lid ends to its sides; at its top it is so at least, if it may
_DRAWN_OUT = (0.33, 0.58)  # 1 - 1 / stretch: from here on skin is new in part, from here on wholly
# In half eyes, inside and outside: where lashes end, and over how much they grow fewer.
_TAPER = (1.25, 1.0), (1.3, 0.9)
_COVERS = (1.5, 0.6)  # in half eyes: where a lid ends that covers the old lashes, over how much it tapers
_CORNER_CM = 0.16  # an opening smaller than that is a corner
_LASHES_CM = 0.14  # lashes of the plate reach so far up from its rim
_DONOR_CM = 0.45  # the skin below the eye that lends its grain begins this far below the rim


@dataclass(frozen=True)
class Lids:
    """`flow` (S, S, 2) crop px, in which new lid takes its grain from the skin below the eye.

    `cover` (S, S) 0..1: new lid. `unfolded` (S, S) 0..1: skin that a rising brow draws out of the little
    there is above the lid, and `lent` (S, S, 2) crop px, where its grain comes from. `down` (S, S): 0 at the
    fold of a new lid, 1 at its rim. `rim_cm` (S, S): how far below
    the rim a pixel is; `along_cm`: how far to the right of the eye's middle; `outer` (S, S): -1 at its inner
    corner, 1 at its outer one. `shut` (S, S) 0..1: how far the eye has closed; `lashes`: how many grow on its
    rim, ever fewer towards the corners. `eyes` (S, S) bool: eyes and lashes of the plate, which are no skin.
    `hung` (S, S) 0..1: a brow hangs over the eye below it.
    """

    flow: Array
    cover: Array
    unfolded: Array
    lent: Array
    down: Array
    rim_cm: Array
    along_cm: Array
    outer: Array
    shut: Array
    lashes: Array
    eyes: Array
    hung: Array


_PLACES = ("down", "rim_cm", "along_cm", "outer")  # between two of which lies a third
_CHANGED = tuple(each.name for each in fields(Lids) if each.name != "eyes")


def lids(
    flow: Array,
    eye_flow: Array,
    before: Array,
    after: Array,
    *,
    px_per_cm: float,
    eye: Array | None = None,
    luma: Array | None = None,
    azimuth_deg: Array | None = None,
) -> Lids:
    """Both eyes put right in a flow (S, S, 2).

    `eye_flow` (S, S, 2): the eyeballs' own. `before`, `after` (2 * 4 * POINTS, 2): the curves in crop px.
    `eye` (S, S) 0..1: where the plate shows eyes. Landmarks are often a millimetre or two wrong about rims.
    `luma` (S, S): logarithm of the plate's light, which shows brows. Their hair moves as one.
    `azimuth_deg` (S, S): the chart's, where skin is seen: in profile the bridge of the nose hides an eye.
    """
    size = flow.shape[:2]
    out = Lids(
        flow.copy(),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.zeros_like(flow),
        np.zeros(size, np.float32),
        np.full(size, 9.0, np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, bool),
        np.zeros(size, np.float32),
    )
    if eye is not None:
        eye = without_holes(eye, px_per_cm)
    shape = (2, CURVES, POINTS, 2)
    for side, old, new in zip((-1, 1), before.reshape(shape), after.reshape(shape), strict=True):
        in_sight = _in_sight(wide_px(old) / px_per_cm, wide_px(new) / px_per_cm)
        columns = columns_of(old, new, size=flow.shape[1], px_per_cm=px_per_cm, eye=eye, luma=luma)
        if columns is None or not in_sight:
            continue
        share = np.full(size, in_sight, np.float32)
        if azimuth_deg is not None:
            beside = np.where(azimuth_deg < -_NO_SKIN, 1, ramp(side * azimuth_deg, *_BRIDGE_DEG))
            share *= beside if eye is None else np.maximum(beside, ramp(_near(eye, px_per_cm), 0.2, 0.6))
        open_ = _openness(columns, px_per_cm)
        _mark(out.eyes, columns, px_per_cm)
        right = replace(out, **{name: getattr(out, name).copy() for name in _CHANGED})
        _put_right(right, eye_flow, columns, open_, side, px_per_cm)
        out = _partly(out, right, share)
    return out


def _near(eye: Array, px_per_cm: float) -> Array:
    """(S, S) 0..1: where the plate shows eyes, and so near them that some of their white may."""
    return cv2.dilate(eye, disc(_WHITE_CM * px_per_cm))


def _in_sight(was_cm: float, now_cm: float) -> float:
    """0..1: whether an eye that looks so wide, before and after, is one to put right."""
    if min(was_cm, now_cm) <= 0:
        return 0.0
    return max(float(ramp(now_cm, *_NARROW_CM)), float(ramp(now_cm / was_cm, *_NARROWER)))


def _partly(lids: Lids, right: Lids, share: Array) -> Lids:
    """So much (S, S) of what putting an eye right changes; where that is all or nothing, to the bit."""
    mixed = {}
    for name in _CHANGED:
        old, new = getattr(lids, name), getattr(right, name)
        part = share[..., None] if old.ndim == 3 else share
        part = (part > 0).astype(np.float32) if name in _PLACES else part
        mixed[name] = np.where(part == 1, new, old + part * (new - old)).astype(old.dtype)
    return replace(lids, **mixed)


def _mark(eyes: Array, columns: Columns, px_per_cm: float) -> None:
    """In place: the plate's eye with what lashes there are around it."""
    (upper, _), (lower, _) = columns.upper, columns.lower
    inside = np.abs(columns.along) < ALMOND
    if inside.any():
        lashes = columns.round[inside] * _LASHES_CM * px_per_cm
        top = np.stack([upper[inside, 0], np.minimum(upper[inside, 1] - lashes, columns.lashes[inside])], 1)
        outline = np.concatenate([top, lower[inside][::-1]])
        drawn = np.zeros(eyes.shape, np.uint8)
        cv2.fillPoly(drawn, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
        side = 2 * max(1, round(0.14 * px_per_cm)) + 1
        eyes |= cv2.dilate(drawn, np.ones((side, side), np.uint8)) > 0


def _put_right(
    out: Lids, eye_flow: Array, columns: Columns, open_: float, side: int, px_per_cm: float
) -> None:
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
    wet = columns.round[:, None] * [0.0, (1 - open_) * _WET_CM * px_per_cm]
    dry = (columns.lower[0] + wet, columns.lower[1])
    below = _lid_source(x, y, dry, columns.cheek, low, stiff_low)
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
    unfolded = np.where(is_above & covered, _unfolded(above) * columns.weight, 0)
    out.lent[rows, cols] = np.where(unfolded[..., None] > 0, lent, out.lent[rows, cols])
    out.unfolded[rows, cols] = np.maximum(out.unfolded[rows, cols], unfolded)
    out.down[rows, cols] = np.where(cover > 0, down, out.down[rows, cols])
    away = (y - rim) / px_per_cm
    nearer = np.abs(away) < np.abs(out.rim_cm[rows, cols])
    out.rim_cm[rows, cols] = np.where(nearer, away, out.rim_cm[rows, cols])
    outer = side * columns.along
    out.outer[rows, cols] = np.where(nearer, outer, out.outer[rows, cols])
    (inside, inside_over), (outside, outside_over) = _TAPER
    lashes = smoothstep((inside + outer) / inside_over) * smoothstep((outside - outer) / outside_over)
    lashes = lashes * columns.weight * _was_open(columns, px_per_cm)
    out.shut[rows, cols] = np.where(nearer, 1 - open_, out.shut[rows, cols])
    out.lashes[rows, cols] = np.where(nearer, lashes, out.lashes[rows, cols])
    out.hung[rows, cols] = np.where(nearer, columns.hung, out.hung[rows, cols])
    middle = float((x[0] * columns.arch).sum() / (columns.arch.sum() + 1e-6))
    along = np.broadcast_to((x - middle) / px_per_cm, away.shape)
    out.along_cm[rows, cols] = np.where(nearer, along, out.along_cm[rows, cols])


def _openness(columns: Columns, px_per_cm: float) -> float:
    """0..1: what is left of the eye's opening, by how far the model's lid has come.

    The model's own gap would close a narrow eye at half the strength, and never a large one.
    """
    gaps = [columns.lower[k][:, 1] - columns.upper[k][:, 1] for k in (0, 1)]
    total = (float(columns.arch.sum()) + 1e-6) * px_per_cm
    before, after = (float((columns.arch * gap).sum()) / total for gap in gaps)
    before *= min(columns.grown, 1)  # a smaller eye is no closed one
    whole = min(_WAY * max(before, _SLIT_CM), _WAY_CM)
    return 1 - float(np.clip((before - after) / whole, 0, 1)) ** _SLOWLY


def _was_open(columns: Columns, px_per_cm: float) -> float:
    """0..1: whether the plate shows an eye at all. A closed one has lashes of its own."""
    gap = float((columns.lower[0] - columns.upper[0])[:, 1].max()) / px_per_cm
    return float(ramp(gap, *_AN_EYE_CM))


def _rim(columns: Columns, open_: float, px_per_cm: float) -> tuple[Array, Array]:
    """Rows (n,) in which the upper lid and the lower lid end."""
    (upper_old, upper), (lower_old, lower) = columns.upper, columns.lower
    gap, gap_old = (np.maximum((b - a)[:, 1], 0) for a, b in ((upper, lower), (upper_old, lower_old)))
    low = np.maximum(lower[:, 1], 0.5 * (upper[:, 1] + lower[:, 1]))
    low = low + (1 - open_) * (_bow(columns, low, px_per_cm) - low)
    gap_old = gap_old * min(columns.grown, 1)
    most = (_WIDEST_CM + _WIDEST * gap_old.max() / px_per_cm) * px_per_cm
    wider = most * np.tanh(np.maximum(gap - gap_old, 0) / most)
    left = np.maximum(gap_old * open_ - _SLIVER_CM * px_per_cm * (1 - open_), 0)
    return low - left - wider, low


def _bow(columns: Columns, low: Array, px_per_cm: float) -> Array:
    """(n,) rows of a closed eye's rim: one calm bow between the corners, nearly where the lower lid ends."""
    along = columns.along
    left, right = np.interp((-1, 1), along, low)
    chord = 0.5 * (left + right) + 0.5 * (right - left) * np.clip(along, -1, 1)
    bow = np.clip(1 - along**2, 0, 1)
    hangs = float((bow * (low - chord)).sum() / (bow @ bow + 1e-6)) + _SAGS_CM * px_per_cm
    there = smoothstep((1 + _BEYOND - np.abs(along)) / _BEYOND)
    return low + there * (chord + max(hangs, _HANGS_CM * px_per_cm) * bow - low)


def _fold(columns: Columns, rim: Array, px_per_cm: float) -> Array:
    """(n,) rows in which the plate's own skin above the eye ends."""
    lash = columns.upper[0][:, 1] + columns.moved
    sunk = columns.brow[1][:, 1] - columns.brow[0][:, 1] - columns.moved
    down = rim - lash
    follows = np.minimum(_FOLLOWS * down, _FOLLOWS_CM * px_per_cm)
    pushed = _PUSHED * sunk * smoothstep(down / (0.1 * px_per_cm))
    return np.asarray(lash + np.where(down > 0, np.minimum(down, follows + pushed), down))


def _cover(
    y: Array, columns: Columns, rim: Array, fold: Array, shut: float, px_per_cm: float
) -> tuple[Array, Array]:
    """(rows, columns) 0..1 new lid, and how far down it: 0 at the fold, 1 at the rim."""
    gap = columns.lower[0][:, 1] - columns.upper[0][:, 1]
    ends, over = _COVERS
    there = smoothstep((ends - np.abs(columns.along)) / over) * columns.weight
    there = there * np.clip(gap.max() / (_CORNER_CM * px_per_cm), 0, 1)
    amount = float(ramp(shut, _STARTS, _STARTED))
    edge = np.minimum(fold, rim)
    free = np.maximum(_BELOW_BROW * (edge - columns.hair), 1.0)
    lashes = np.clip(columns.upper[0][:, 1] - columns.lashes, 0, None)
    begin = edge - np.minimum(there * (_SKIN_ABOVE_CM * px_per_cm + lashes), 0.6 * free + lashes)
    most = np.maximum(begin - edge + free, _SIDES_CM * px_per_cm)
    least = np.minimum(_TOP_CM * px_per_cm * there, most)
    soft = 1 + np.maximum(np.minimum(there * columns.round * _FOLD_CM * px_per_cm, most), least)
    top = smoothstep((y - begin + soft) / soft)
    wide, high = (max(0.5, cm * px_per_cm) for cm in (_ENDS_CM, _SIDES_CM))
    cover = (smoothstep(1.6 * there) * top).astype(np.float32)
    cover = cv2.GaussianBlur(cover, (0, 0), sigmaX=wide, sigmaY=high)
    cover = amount * smoothstep(1.12 * cover) * np.clip(rim - y + 0.5, 0, 1)
    return cover, np.clip((y - begin + soft) / np.maximum(rim - begin + soft, 1.0), 0, 1)


def _unfolded(source: Array) -> Array:
    """(rows, columns) 0..1 by how far a lid's skin is stretched: drawn out to stripes it is no skin."""
    rows = source[..., 1]
    drawn = 1 - np.diff(rows, axis=0, prepend=rows[:1] - 1)
    return ramp(drawn, *_DRAWN_OUT)


def _donor(x: Array, y: Array, columns: Columns, rim: Array, px_per_cm: float) -> Array:
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
    x: Array, y: Array, eye_flow: Array, columns: Columns, rim: Array, px_per_cm: float
) -> Array:
    """(rows, columns, 2) source of the eyeball, held within what the plate shows of it.

    What an opening lid uncovers is stretched from all of the eye but its lowest part: of the plate's rim
    alone there would come stripes, and of its upper half irises with long glints.
    """
    inset = _INSET_CM * px_per_cm
    high, (low_old, low_new) = columns.upper[0][:, 1], [c[:, 1] for c in columns.lower]
    wanted = y + eye_flow[..., 1]
    opened = np.maximum(high + columns.moved - rim, 0)
    high = high + np.minimum(opened, inset)  # its edge is lashes and their shadow
    low = np.maximum(low_old - np.clip(low_new - low_old, 0, inset), high)
    still = low - _STILL * (low - high)
    reach = np.maximum(still - high, 1e-3)
    longer = np.minimum((opened + np.minimum(opened, inset)) / reach, 0.9)
    t = np.clip((still - wanted) / (reach * (1 + longer)), 0, 1)
    up = still - reach * ((1 + longer) * t - longer * t * t)
    source = np.where(wanted < still, up, wanted)
    return np.stack([x + eye_flow[..., 0], np.clip(source, high, low)], -1)
