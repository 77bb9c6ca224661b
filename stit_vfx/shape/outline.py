"""The outline of a head that turns, found as a whole.

Labels of pixels are patchy where a head meets its backdrop: half an ear, a rim of light or the side of a hat
is called backdrop, a dark window hair. As long as little moves there, nobody sees it; a turn would leave all
of that behind. So the head is cut out once more: by what is known to be head and what to be backdrop, by the
colours of both, and by the shortest edge between them.
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.shape.disc import disc
from stit_vfx.shape.fill import fill
from stit_vfx.shape.guided import guided
from stit_vfx.shape.likeness import rather_outside
from stit_vfx.shape.mixtures import COMPONENTS, mixture
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.ramp import ramp
from stit_vfx.shape.zones import Zones

Array = np.ndarray

_BARE = ("skin", "neck", "brow", "eye", "lips", "mouth", "hat", "glasses")
_HEAD = (*_BARE, "hair")
_STANDING = ("cloth", "hand", "thing")
_WORK_PX = 256  # outlines need no more, and are made finer by the picture afterwards
# Of the crop's side: what is thinner is no part of a head; so far inside its labels they are believed, of
# hair less so; and so far outside.
_THIN, _INSIDE, _IN_HAIR, _OUTSIDE = 0.02, 0.016, 0.032, 0.065
_LAP_PX = 24
_CALM_PX, _EVERY = 1.2, 3  # of 256: no grain; colours are learnt from every third pixel
# Nats by which a cut leans towards the head, in its two rounds.
_LEANINGS = ((-2.0, 0.0, 2.0), (-2.25, -1.5, -0.75, 0.0, 0.75, 1.5, 2.25))
_TIP, _BY_CLOTH = 0.15, 0.04  # share of clothes, and of the crop's side: so near there may be more of them
_COLLAR = 0.12  # of the crop's side: so far above a chin collars reach
_DENT = 0.15  # of the crop's side: crowns are round, with dents no narrower than this
# Shares from which something stands before a jaw, and before a neck; of code, from the skin's colour.
_LOOSELY, _FIRMLY, _LIKE_SKIN = 0.5, 0.85, 0.25
_NO_NECK = 0.8  # share of backdrop
_MISSED = (0.04, 0.08)  # share of a jaw and its neck
_SPECK, _BETWEEN = 0.008, 0.025  # of the crop's side: smaller patches say nothing; half as wide as a rim is
_FIRM, _DEEP = 0.9, 0.03  # share of what is firmly skin or clothes; of the crop's side: so far inside these
_CORE = 0.07  # of the crop's side: so far inside what is cut out without regard to clothes
_SOME = 0.08  # share from which something stands
_LINKED = (0.3, 0.7)  # of such shares: something hangs together
_ISLAND = 0.012  # of the crop's side: so far around it, too
# Of the side: so deep an outline is questioned. How unlike a head is backdrop; of that no narrower slivers.
_QUESTIONED, _IS_WALL, _SLIVER = 0.035, (0.68, 0.8), 0.014
_RADIUS, _NOISE = 0.012, 0.05  # of the crop's side, of code: how far the outline looks for its edge
_ALPHA = (0.15, 0.85)


def outlined(parts: Parts, crop_code: Array, zones: Zones) -> Parts:
    """The parts (S, S) of a crop (S, S, 3) code with one whole head in them. What stands before it stays.
    Without a head the same.
    """
    head, standing = parts.of(*_HEAD), parts.of(*_STANDING)
    if head.max() < 0.9:
        return parts
    cut = _cut(parts, crop_code, zones)
    soft = _soft(cut, crop_code)
    # A curtain that passes for cloth is not before the jaw beside it; collars are cut off.
    kept_back = np.maximum(_islands(standing, cut), soft * _ratio(parts.of("cloth"), standing))
    standing = standing * (1 - kept_back)
    whole = soft * (1 - standing)
    rows = [LABELS.index(name) for name in _HEAD]
    kinds = np.moveaxis(parts.shares[rows], 0, 2)
    known = fill(kinds / np.maximum(head, 1e-6)[..., None], head * head)
    kept = np.minimum(whole / np.maximum(head, 1e-6), 1)[..., None] * kinds
    gained = np.maximum(whole - head, 0)[..., None] * known
    shares = parts.shares * (standing / np.maximum(parts.of(*_STANDING), 1e-6))
    shares[rows] = np.moveaxis(kept + gained, 2, 0)
    shares[LABELS.index("background")] = np.maximum(1 - standing - shares[rows].sum(0), 0)
    return Parts(shares.astype(np.float32))


def _ratio(part: Array, whole: Array) -> Array:
    return np.asarray(part / np.maximum(whole, 1e-6))


def _islands(standing: Array, cut: Array) -> Array:
    """(S, S) 0..1: what is said to stand before the head, but comes from nowhere: all of it lies inside. No
    collar, hand or microphone does; a patch of odd light on a cheek must not stay as the head turns.
    """
    small = (_WORK_PX, _WORK_PX)
    some, inner = (cv2.resize(p, small, interpolation=cv2.INTER_AREA) for p in (standing, cut))
    some = np.clip(some / (2 * _SOME), 0, 1)
    outside = 1 - np.pad(inner[1:-1, 1:-1], 1)
    inside = some * (1 - ramp(_reached(some, outside), *_LINKED))
    around = ramp(cv2.dilate(inside, disc(_ISLAND * _WORK_PX)), *_LINKED)
    soft = cv2.GaussianBlur(around, (0, 0), _ISLAND / 3 * _WORK_PX)
    return np.clip(cv2.resize(soft, cut.shape[::-1]), 0, 1)


def _cut(parts: Parts, crop_code: Array, zones: Zones) -> Array:
    """(S, S) 0..1, all but hard: the head."""
    size, standing = len(crop_code), parts.of(*_STANDING) > 0.5
    thin, inside, in_hair, outside = (disc(r * size) for r in (_THIN, _INSIDE, _IN_HAIR, _OUTSIDE))
    firm = cv2.morphologyEx((parts.of(*_HEAD) > 0.5).astype(np.uint8), cv2.MORPH_OPEN, thin)
    own = ((parts.of(*_BARE) > 0.5) | (zones.skull > 0.5)).astype(np.uint8)
    hair = cv2.erode(firm * np.maximum(own, zones.scalp > 0.5), in_hair) > 0
    hat = _hull(_largest((parts.of("hat") > 0.5).astype(np.uint8)))
    sure = (cv2.erode(firm * own, inside) > 0) | hair | hat
    likely = (firm > 0) | (zones.ears > 0.5) | (zones.scalp > 0.5) | hat
    away = cv2.dilate(likely.astype(np.uint8), outside) == 0
    marks = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[sure], marks[away | standing] = cv2.GC_FGD, cv2.GC_BGD
    cut = _by_colours(parts, crop_code, zones, marks, away, np.zeros_like(marks))
    jaw = _jaw_and_neck(parts, crop_code, zones)
    whole = jaw > 0
    missed = ramp(float((1 - cut)[whole].mean()) if whole.any() else 0.0, *_MISSED)
    if missed:  # a jaw with a rim of light was taken for a backdrop: once more, with that known
        marks[whole & (marks != cv2.GC_FGD)] = cv2.GC_PR_FGD
        known = cv2.erode(jaw, disc(_SPECK * size))
        marks[known > 0] = cv2.GC_FGD
        again = _by_colours(parts, crop_code, zones, marks, away, known)
        near = missed * cv2.dilate(jaw, disc(_BETWEEN * size))
        cut = np.maximum(cut, near * again)
    return cut


def _by_colours(
    parts: Parts, crop_code: Array, zones: Zones, marks: Array, away: Array, known: Array
) -> Array:
    """(S, S) 0..1, all but hard: the head as `marks` (S, S) uint8, as `_grab_cut` takes them, and colours
    tell it. `away` (S, S) bool: so far off it that there is the backdrop; `known` (S, S) uint8, 0 or 1: of
    the head whatever labels and colours say.
    """
    size = len(crop_code)
    standing = (parts.of(*_STANDING) > 0.5) & (marks == cv2.GC_BGD)
    # Above, what stands before a head says nothing of the colours behind it; below, it is behind the jaw.
    behind = fill(crop_code, parts.of("background") * away + 1e-6)
    picture = np.where(standing[..., None], behind, crop_code)
    work = (_WORK_PX, _WORK_PX)
    above, below = (
        cv2.resize(np.clip(p, 0, 1).astype(np.float32), work, interpolation=cv2.INTER_AREA)
        for p in (picture, crop_code)
    )
    small = cv2.resize(marks, work, interpolation=cv2.INTER_NEAREST)
    cut = _halves(above, small)
    chin = np.flatnonzero((zones.beard > 0.5).any(1))
    first = max(int((chin.max() / size - _COLLAR) * _WORK_PX), 0) if len(chin) else 0
    crown = cv2.resize(zones.scalp, work, interpolation=cv2.INTER_NEAREST) > 0.5
    ears = np.flatnonzero((zones.ears > 0.5).any(1))
    crown[int(ears.min() / size * _WORK_PX) if len(ears) else 0 :] = False
    cut = np.maximum(cut, _closed(cut, _DENT * _WORK_PX) * crown)
    by_cloth, lower, skin = _lower(parts, marks, away)
    # No collar reaches so far in: a neck in shadow is no wall under the next frame's grain.
    core = cv2.erode((cut > 0.5).astype(np.uint8), disc(_CORE * _WORK_PX)) > 0
    core[:first] = False
    lower[cv2.resize(known, work, interpolation=cv2.INTER_NEAREST) > 0] = cv2.GC_FGD
    lower[core], skin = cv2.GC_FGD, skin | core
    begin = max(first - round(_COLLAR * _WORK_PX), 0)
    one = _grab_cut(below[begin:], lower[begin:], skin=skin[begin:])[first - begin :]
    cut[first:] += by_cloth[first:] * (one - cut[first:])
    firm = (small == cv2.GC_FGD).astype(np.uint8)
    cut = _without(cut, _wall_inside(below, cut) * (1 - by_cloth) * (1 - firm))
    return np.asarray(cv2.resize(_whole(cut, _largest(firm)), (size, size)))


def _without(cut: Array, wall: Array) -> Array:
    """(H, W) 0..1: a cut less the `wall` (H, W) 0..1 in it, and less the slivers left outside of that."""
    left = cut * (1 - wall)
    thin = disc(_SLIVER * len(cut))
    near = cv2.dilate(cut - left, disc(2 * _SLIVER * len(cut)))
    return np.asarray(left - near * (left - cv2.morphologyEx(left, cv2.MORPH_OPEN, thin)))


def _wall_inside(picture: Array, cut: Array) -> Array:
    """(H, W) 0..1: what lies inside the outline of a cut (H, W) 0..1, but is there in the colours that the
    picture (H, W, 3) code has outside it, and not in those further inside.
    """
    deep = round(_QUESTIONED * len(cut)) + 1
    whole = np.pad((cut > 0.5).astype(np.uint8), deep, mode="edge")
    inner = cv2.erode(whole, disc(_QUESTIONED * len(cut)))[deep:-deep, deep:-deep] > 0
    outer = cv2.dilate((cut > 0.1).astype(np.uint8), disc(1)) == 0
    return rather_outside(picture, (cut > 0) & ~inner, inner, outer, sure=_IS_WALL)


def _jaw_and_neck(parts: Parts, crop_code: Array, zones: Zones) -> Array:
    """(S, S) uint8, 0 or 1: what lies on the face's own surface and is head whatever colours say, be it
    as bright as a window: a jaw with a rim of light, and skin between that and what else is neck.
    """
    size, stands = len(crop_code), parts.of(*_STANDING)
    loose, inside = stands < _FIRMLY, disc(_SPECK * size)
    jaw = (cv2.erode((zones.beard > 0.5).astype(np.uint8), inside) > 0) & (stands < _LOOSELY)
    skin = fill(crop_code, np.maximum(2 * parts.of("skin") - 1, 0) + 1e-6)
    alike = np.abs(crop_code - skin).max(2) < _LIKE_SKIN
    neck = (zones.throat > 0.5) & alike & (parts.of("background") < _NO_NECK)
    both = ((jaw | neck) & loose).astype(np.uint8)
    both = cv2.morphologyEx(both, cv2.MORPH_OPEN, disc(_SPECK * size))
    return cv2.morphologyEx(both, cv2.MORPH_CLOSE, disc(_BETWEEN * size))


def _lower(parts: Parts, marks: Array, away: Array) -> tuple[Array, Array, Array]:
    """(256, 256) each: 0..1 near clothes; marks for a cut there; and bool, skin for sure. Labels tell a neck
    from a collar no better than a backdrop from a head: near clothes colours decide, and `marks` (S, S) with
    what is `away` (S, S) bool from the head elsewhere.
    """
    size, standing = len(marks), parts.of(*_STANDING)
    skin = parts.of("skin")
    inside, deep = disc(_INSIDE * size), disc(_DEEP * size)
    near = cv2.dilate((standing > _TIP).astype(np.uint8), disc(_BY_CLOTH * size)) > 0
    out = np.where(parts.of(*_HEAD) > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    out[~near] = marks[~near]
    out[away | (cv2.erode((standing > _FIRM).astype(np.uint8), deep) > 0)] = cv2.GC_BGD
    firm = cv2.erode((skin > _FIRM).astype(np.uint8), inside)
    out[(firm > 0) | (cv2.erode((skin > 0.5).astype(np.uint8), inside) > 0)] = cv2.GC_FGD
    work = (_WORK_PX, _WORK_PX)
    small = (cv2.resize(p, work, interpolation=cv2.INTER_NEAREST) for p in (near.astype(np.uint8), out, firm))
    by_cloth, lower, sure = small
    return by_cloth.astype(np.float32), lower, sure > 0


def _halves(picture: Array, marks: Array) -> Array:
    """(H, W) 0..1, each side by itself: a flag at its left must not hide a lock before the wall at its
    right.
    """
    columns = np.flatnonzero((marks == cv2.GC_FGD).any(0))
    middle = int(columns.mean()) if len(columns) else marks.shape[1] // 2
    first = max(middle - _LAP_PX, 0)
    left = _grab_cut(picture[:, : middle + _LAP_PX], marks[:, : middle + _LAP_PX])[:, :middle]
    right = _grab_cut(picture[:, first:], marks[:, first:])[:, middle - first :]
    return np.hstack([left, right])


def _grab_cut(picture: Array, marks: Array, *, skin: Array | None = None) -> Array:
    """(H, W) float32 0..1: C. Rother, V. Kolmogorov, A. Blake: "GrabCut", SIGGRAPH 2004. Picture (H, W, 3)
    0..1; `marks` (H, W) uint8 say where the head is for sure, likely, unlikely and not at all. With `skin`
    (H, W) bool its colours are first learnt there alone, and from no other part of what is surely head.

    Steadier than OpenCV's own: between one frame and the next the shortest edge jumps where another is nearly
    as short. Colours are learnt softly, and what is returned is the mean of cuts that lean either way.
    """
    share = ((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.float32)
    if not ((marks == cv2.GC_BGD).any() and (marks == cv2.GC_FGD).any()):
        return share
    calm = cv2.GaussianBlur(np.asarray(picture * 255, np.float32), (0, 0), _CALM_PX)
    eight_bit, few = (calm + 0.5).astype(np.uint8), calm[::_EVERY, ::_EVERY].reshape(-1, 3)
    told = share if skin is None else np.asarray(skin, np.float32)
    for leanings in _LEANINGS:
        known, first = (a[::_EVERY, ::_EVERY].ravel() for a in (share, told))
        behind, before = mixture(few, 1 - known), mixture(few, first)
        share = np.zeros_like(share)
        for leaning in leanings:
            found, leant = marks.copy(), before.copy()
            leant[:, :COMPONENTS] *= np.exp(leaning)
            cv2.grabCut(eight_bit, found, (0, 0, 1, 1), behind.copy(), leant, 1, cv2.GC_EVAL_FREEZE_MODEL)
            share += ((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD)) / np.float32(len(leanings))
        told = share if skin is None else share * (skin | (marks != cv2.GC_FGD))
    return share


def _whole(cut: Array, sure: Array) -> Array:
    """(H, W) 0..1 what of a cut hangs together with what is `sure` (H, W) 0..1, with its holes closed."""
    one = _reached(cut, sure)
    frame = np.pad(np.zeros(np.array(one.shape) - 2, np.float32), 1, constant_values=1)
    return 1 - _reached(1 - one, frame)


def _reached(share: Array, start: Array) -> Array:
    """(H, W) float32 of a share 0..1 what hangs together with `start` (H, W): on the best way to each pixel,
    the least share. Grey-scale reconstruction by dilation: unlike the largest patch it does not flip.
    """
    out, kernel = np.minimum(share, start).astype(np.float32), np.ones((3, 3), np.uint8)
    for _ in range(2 * sum(share.shape)):
        further = np.minimum(cv2.dilate(out, kernel), share)
        if np.array_equal(further, out):
            break
        out = further
    return out


def _soft(cut: Array, crop_code: Array) -> Array:
    """(S, S) 0..1: the cut with the picture's own soft edge."""
    radius = max(2, round(_RADIUS * len(cut)))
    fine = guided(cut[..., None], np.clip(crop_code, 0, 1), radius_px=radius, noise=_NOISE)[..., 0]
    low, high = _ALPHA
    least, most = cv2.erode(cut, disc(radius)), cv2.dilate(cut, disc(radius))
    return np.asarray(np.clip(np.clip((fine - low) / (high - low), 0, 1), least, most))


def _closed(mask: Array, radius_px: float) -> Array:
    """(H, W) 0..1: the mask with its dents filled, as if the picture went on empty around it."""
    wide = round(radius_px) + 1
    padded = np.pad(mask, wide)
    return cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc(radius_px))[wide:-wide, wide:-wide]


def _largest(mask: Array) -> Array:
    """The uint8 mask's largest part, with its holes closed."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count < 2:
        return mask
    one = (labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    edges, _ = cv2.findContours(one, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(one, edges, -1, 1, cv2.FILLED)
    return one


def _hull(mask: Array) -> Array:
    """(S, S) bool: the mask without its inlets; hats have none."""
    out = np.zeros(mask.shape, np.uint8)
    points = cv2.findNonZero(mask)
    if points is not None:
        cv2.fillConvexPoly(out, cv2.convexHull(points), 1)
    return out > 0
