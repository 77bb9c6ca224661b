"""The outline of a head that turns, found as a whole.

Labels of pixels are patchy where a head meets its backdrop: half an ear, a rim of light or the side of a hat
is called backdrop, a dark window hair. As long as little moves there, nobody sees it; a turn would leave all
of that behind. So the head is cut out once more: by what is known to be head and what to be backdrop, by the
colours of both, and by the shortest edge between them.
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.shape.fill import fill
from stit_vfx.shape.guided import guided
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.zones import Zones

Array = np.ndarray

_BARE = ("skin", "neck", "brow", "eye", "lips", "mouth", "hat", "glasses")
_HEAD = (*_BARE, "hair")
_STANDING = ("cloth", "hand", "thing")
_WORK_PX = 256  # outlines need no more, and are made finer by the picture afterwards
# Of the crop's side: what is thinner is no part of a head; so far inside its labels they are believed, of
# hair less so; and so far outside.
_THIN, _INSIDE, _IN_HAIR, _OUTSIDE = 0.02, 0.016, 0.032, 0.065
_ROUNDS, _LAP_PX = 4, 24
_TIP, _BY_CLOTH = 0.15, 0.04  # share of clothes, and of the crop's side: so near there may be more of them
_COLLAR = 0.12  # of the crop's side: so far above a chin collars reach
_DENT = 0.15  # of the crop's side: crowns are round, with dents no narrower than this
_SOME = 0.08  # share from which something stands
_ISLAND = 0.012  # of the crop's side: so far around it, too
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
    some = (standing > _SOME).astype(np.uint8)
    _, labels = cv2.connectedComponents(some, connectivity=8)
    outside = np.pad(cut[1:-1, 1:-1], 1) < 0.5
    inside = (some > 0) & ~np.isin(labels, np.unique(labels[outside]))
    around = cv2.dilate(inside.astype(np.float32), _disc(_ISLAND * len(cut)))
    return cv2.GaussianBlur(around, (0, 0), _ISLAND / 3 * len(cut))


def _cut(parts: Parts, crop_code: Array, zones: Zones) -> Array:
    """(S, S) 0..1, all but hard: the head."""
    size, standing = len(crop_code), parts.of(*_STANDING) > 0.5
    thin, inside, in_hair, outside = (_disc(r * size) for r in (_THIN, _INSIDE, _IN_HAIR, _OUTSIDE))
    firm = cv2.morphologyEx((parts.of(*_HEAD) > 0.5).astype(np.uint8), cv2.MORPH_OPEN, thin)
    own = ((parts.of(*_BARE) > 0.5) | (zones.skull > 0.5)).astype(np.uint8)
    hair = cv2.erode(firm * np.maximum(own, zones.scalp > 0.5), in_hair) > 0
    hat = _hull(_largest((parts.of("hat") > 0.5).astype(np.uint8)))
    sure = (cv2.erode(firm * own, inside) > 0) | hair | hat
    likely = (firm > 0) | (zones.ears > 0.5) | (zones.scalp > 0.5) | hat
    away = cv2.dilate(likely.astype(np.uint8), outside) == 0
    marks = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[sure], marks[away | standing] = cv2.GC_FGD, cv2.GC_BGD
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
    by_cloth = cv2.dilate((parts.of(*_STANDING) > _TIP).astype(np.uint8), _disc(_BY_CLOTH * size))
    by_cloth = cv2.resize(by_cloth, work, interpolation=cv2.INTER_NEAREST)
    crown = cv2.resize(zones.scalp, work, interpolation=cv2.INTER_NEAREST) > 0.5
    ears = np.flatnonzero((zones.ears > 0.5).any(1))
    crown[int(ears.min() / size * _WORK_PX) if len(ears) else 0 :] = False
    cut = np.maximum(cut, _closed(cut, _DENT * _WORK_PX) * crown)
    cut[first:] &= _halves(below[first:], small[first:]) | (1 - by_cloth[first:])
    return np.asarray(cv2.resize(_largest(cut).astype(np.float32), (size, size)))


def _halves(picture: Array, marks: Array) -> Array:
    """(H, W) 0 or 1, each side by itself: a flag at its left must not hide a lock before the wall at its
    right.
    """
    columns = np.flatnonzero((marks == cv2.GC_FGD).any(0))
    middle = int(columns.mean()) if len(columns) else marks.shape[1] // 2
    first = max(middle - _LAP_PX, 0)
    left = _grab_cut(picture[:, : middle + _LAP_PX], marks[:, : middle + _LAP_PX])[:, :middle]
    right = _grab_cut(picture[:, first:], marks[:, first:])[:, middle - first :]
    return np.hstack([left, right])


def _grab_cut(picture: Array, marks: Array) -> Array:
    """(H, W) uint8 0 or 1: C. Rother, V. Kolmogorov, A. Blake: "GrabCut", SIGGRAPH 2004. Picture (H, W, 3)
    0..1; `marks` (H, W) uint8 say where the head is for sure, likely, unlikely and not at all.
    """
    marks = np.ascontiguousarray(marks)
    if (marks == cv2.GC_BGD).any() and (marks == cv2.GC_FGD).any():
        cv2.setRNGSeed(0)  # of this thread: the same crop, the same outline
        eight_bit = np.ascontiguousarray(picture * 255 + 0.5).astype(np.uint8)
        behind, before = np.zeros((1, 65)), np.zeros((1, 65))
        how = cv2.GC_INIT_WITH_MASK
        cv2.grabCut(eight_bit, marks, (0, 0, 1, 1), behind, before, _ROUNDS, how)
    return ((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.uint8)


def _soft(cut: Array, crop_code: Array) -> Array:
    """(S, S) 0..1: the cut with the picture's own soft edge."""
    radius = max(2, round(_RADIUS * len(cut)))
    fine = guided(cut[..., None], np.clip(crop_code, 0, 1), radius_px=radius, noise=_NOISE)[..., 0]
    low, high = _ALPHA
    least, most = cv2.erode(cut, _disc(radius)), cv2.dilate(cut, _disc(radius))
    return np.asarray(np.clip(np.clip((fine - low) / (high - low), 0, 1), least, most))


def _closed(mask: Array, radius_px: float) -> Array:
    """(H, W) uint8: the mask with its dents filled, as if the picture went on empty around it."""
    wide = round(radius_px) + 1
    padded = np.pad(mask, wide)
    return cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _disc(radius_px))[wide:-wide, wide:-wide]


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


def _disc(radius_px: float) -> Array:
    side = 2 * max(1, round(radius_px)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
