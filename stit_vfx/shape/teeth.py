"""Teeth that the plate shows keep their size and place while lips slide over them.

The upper row belongs to the skull, and what is below it goes over into the lower lip and the jaw. A lip that
closes in covers what is beside it. Where the upper one draws back, a strip beside it (roots of teeth, the
dark) is stretched to reach it; where the lower one drops, what is below the row is stretched, and where that
is too little, the row ends and the dark opens below it.

All is in the frame of the lips: a mouth is a row of columns, each from one lip's edge to the other's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stit_vfx.shape.lips import Edges
from stit_vfx.shape.ramp import ramp, smoothstep

Array = np.ndarray

_SPREAD = 2.5  # a strip that is stretched is so many times as wide as the lip moves
_HALF = 0.5  # of a mouth's height or width: no strip is wider
_ROOM = 2.2  # what is stretched by a smooth step has to be so many times as wide
_CROWN = 0.3  # of their height: by so much more the upper teeth may be bared
_TIPS, _TIPS_GROW = 0.2, 0.09  # of the upper teeth's height: may be stretched with what is below; by so much
# What is below the row may grow by this share; of a mouth that is open so far below it, by so much.
_SLIT, _CAVE, _OPEN_CM = 0.8, 10.0, (0.15, 0.45)
# So near its corners a mouth is stretched, by up to so much, while it opens by less than that.
_END_CM, _STRETCHY_CM, _OPENS_CM = (0.05, 1.00), 0.6, (0.15, 0.45)
_RIGID = 5.0  # columns
_PASSED_CM = (0.02, 0.16)  # a lip so far below the row's middle bares the dark, also at the corners
# But lips that part by less bare none of it there, unless they drop by more than a nod makes them.
_BARES_CM, _NOD_CM = (0.0, 0.12), 0.25
# A row's even end: of the mouth's width; of its columns so many may end above it; stiff against a slope.
_ROW_WIDE, _LOW, _LEVEL, _ROUNDS, _CLOSE_CM, _OVER_CM = 0.80, 0.2, 150.0, 30, 0.01, 0.02
_DROPS = 0.8  # as wide as lips open that drop past the teeth by so much
_LEAST_CM, _LOW_CM = 0.20, (0.35, 0.60)  # what is between lips so near each other may grow by so much
_LOOSE = (0.9, 0.75)  # of what lips pass teeth by, they take along at the corners, and where they part little
_TO_CORNER, _PARTING_CM = (0.35, 0.9), (0.0, 0.25)  # of the way from the middle; little is less than that
_FRINGE_CM, _SOFT_CM = 0.045, 0.05  # at a lip's edge pixels show it, too; an end of teeth is as soft
_BEGUN_CM, _LEFT_CM = 0.05, 0.15  # a gap below the row has begun; from there on nothing hangs below it
_IN_CM, _SHADE_CM, _SHADE = 0.35, 0.65, 0.4  # a corner that comes in by so much darkens the teeth beside it
# Lips that come so near each other shade what is between, by up to so much.
_SLIVER_CM, _CLOSED_CM, _SLIVER = (0.05, 0.18), (0.10, 0.40), 0.9
# Samples down a column; share of height that belongs to the skull, and of columns, without a row of teeth.
_DEPTHS, _NO_ROW, _FEWEST = 64, 0.35, 0.12
_TALL_CM, _EARLY = 0.20, 0.55  # a lower column tells nothing; upper teeth begin in this share of one
_ENAMEL = 80.0  # percentile of the light between the lips that is a tooth's
_TOOTH = (0.30, 0.12)  # of that: what is so bright is a tooth, too, at the middle and at the corners
_GAP_CM = 0.05  # a lower dark is a shadow
_CALM, _MEDIAN, _KNOWN_PX = 1.5, 7, 1e-9  # columns


@dataclass(frozen=True)
class Kept:
    """What the plate shows between the lips after an edit. `flow` (S, S, 2) px: where it comes from. `unseen`
    (S, S) 0..1: where the plate has nothing. `upper` (S, S) bool: upper teeth.
    """

    flow: Array
    unseen: Array
    upper: Array


def kept(before: Edges, after: Edges, skull: Array, row_end: Array, px_per_cm: float) -> Kept:
    """Edges of the lips in the plate and after the edit, the flow (S, S, 2) px of the upper teeth, continued,
    and how far down they reach in the plate, (N,) px below the line.
    """
    y, x = np.mgrid[: len(skull), : skull.shape[1]].astype(np.float64)
    t, depth = after.place(x, y)
    source_t, source = before.place(x + skull[..., 0], y + skull[..., 1])
    moved = source - depth
    source_x, shade = _towards_corners(t, source_t * before.length, before, after, skull, px_per_cm)
    at, at_new = np.linspace(0, 1, len(before.upper)), np.clip(t, 0, 1)
    top, bottom, end = (
        np.interp(source_x / before.length, at, c) for c in (before.upper, before.lower, row_end)
    )
    high, low = (np.interp(at_new, at, c) for c in (after.upper, after.lower))
    middle = slice(len(row_end) // 4, -len(row_end) // 4)
    tall = float(np.median((before.lower - before.upper)[middle])) / px_per_cm
    thin = float(1 - ramp(tall, *_LOW_CM))
    wide = float(ramp(float(np.median((before.lower - row_end)[middle])) / px_per_cm, *_OPEN_CM))
    end = end + thin * (bottom - end)  # between lips that hardly part, teeth are a glint without an end
    full = (1 - wide) * (1 - thin)  # a row of teeth that reaches the lower lip
    even = np.interp(source_x / before.length, at, even_end(row_end, before, px_per_cm))
    even = end + full * (even - end)
    shut, opened = _opening(before, after, moved, row_end, px_per_cm)
    opened *= full
    shut *= 1 - opened
    # Above: the lip may bare a little more than the plate shows; from there on the teeth go with it.
    lifted, dropped, grown, row = (
        _calm(each, t, after, full)
        for each in (top - high - moved, low + moved - bottom, low - high - bottom + top, end - top)
    )
    lifted = np.maximum(lifted - _CROWN * row, 0)
    moved = moved + lifted - _yielding(t, dropped + lifted, grown, shut, px_per_cm)
    bared = np.maximum(top - high - moved, 0)
    strip = np.clip(_SPREAD * bared, _KNOWN_PX, np.maximum(_HALF * (low - high), _KNOWN_PX))
    source = depth + moved + bared * (1 - smoothstep((depth - high) / strip))
    # Below: the lip takes along what is there as far as it gives, and a gap opens beyond.
    dropped = low + moved - bottom
    below, row = bottom - end, end - top
    least = _LEAST_CM * px_per_cm * thin + _KNOWN_PX
    # Corners of mouths that hardly open are stretched, whatever it takes; else the dark opens there, too.
    aside = 1 - ramp(np.minimum(at_new, 1 - at_new) * after.length / px_per_cm, *_END_CM)
    slit = _SLIT * (1 - aside * opened)
    gives = np.maximum(_TIPS_GROW * row + below * (slit + _CAVE * wide), least)
    gives = gives + _STRETCHY_CM * px_per_cm * np.maximum(aside * shut, 2 * wide)
    taken = np.where(dropped > 0, gives * np.tanh(dropped / gives), dropped)
    gap = dropped - taken
    last = low - gap
    room = np.maximum(last - np.maximum(end - moved, high), 0)
    room = np.maximum(room, np.minimum(_ROOM * taken, room + _TIPS * row))
    source = source - taken * smoothstep((depth - last + room) / np.maximum(room, _KNOWN_PX))
    # Beside a gap in the middle the row ends as evenly, though lips cover it there.
    begun, left = (np.maximum(smoothstep(gap / px_per_cm / cm), opened) for cm in (_BEGUN_CM, _LEFT_CM))
    tips = even - moved + _calm(np.minimum(np.maximum(taken, 0), _TIPS_GROW * row), t, after, full)
    hangs = last - (last - tips) * left - _FRINGE_CM * px_per_cm * begun
    over = begun * np.clip((depth - hangs) / max(1.0, _SOFT_CM * px_per_cm) + 0.5, 0, 1)
    sliver = _sliver((low - high) / px_per_cm, (bottom - top - low + high) / px_per_cm)
    unseen = np.maximum(over, np.maximum(shade, sliver))
    place = before.origin + source_x[..., None] * before.along + source[..., None] * before.down
    flow = place - np.stack([x, y], -1)
    return Kept(flow, unseen.astype(np.float32), (source < end) & (source > top) & (over < 0.5))


def _opening(
    before: Edges, after: Edges, moved: Array, row_end: Array, px_per_cm: float
) -> tuple[float, float]:
    """0..1 each: how far a mouth stays as it is, and how far its lower lip leaves the row of teeth bare."""
    middle = slice(len(row_end) // 4, -len(row_end) // 4)
    opens = float(np.median((after.lower - after.upper - before.lower + before.upper)[middle])) / px_per_cm
    row_px, column = (int(np.clip(round(float(v)), 0, len(moved) - 1)) for v in _middle(after)[::-1])
    drops = float(np.median((after.lower - before.lower)[middle]) + moved[row_px, column]) / px_per_cm
    shut = float(1 - ramp(max(opens, _DROPS * drops), *_OPENS_CM))
    passed = _passed(before, row_end, drops * px_per_cm, middle) / px_per_cm
    bares = float(ramp(passed, *_PASSED_CM)) * float(ramp(max(opens, drops - _NOD_CM), *_BARES_CM))
    return shut, bares


def _sliver(height_cm: Array, closed_cm: Array) -> Array:
    """(S, S) 0..1 the shade of lips so near each other, `height_cm`, that came nearer by `closed_cm`."""
    return np.asarray(_SLIVER * (1 - ramp(height_cm, *_SLIVER_CM)) * ramp(closed_cm, *_CLOSED_CM))


def _passed(before: Edges, row_end: Array, drops: float, middle: slice) -> float:
    """Px of a gap between a row of teeth and a lip that drops past it by `drops` px, in a mouth's middle."""
    gives = np.maximum(_TIPS_GROW * (row_end - before.upper) + _SLIT * (before.lower - row_end), _KNOWN_PX)
    return max(drops - float(np.median(gives[middle] * np.tanh(drops / gives[middle]))), 0.0)


def even_end(row_end: Array, edges: Edges, px_per_cm: float) -> Array:
    """(N,) px below the line at which a row ends evenly that reaches down to `row_end` (N,): along the lowest
    round arc that hardly passes it. Tips that a lip covers, or shows here and there, are no jags of the row.
    """
    if edges.ends[:, :, 1].any():  # in profile a row is seen from its side
        return row_end
    side = np.linspace(-1, 1, len(row_end))
    row = row_end / px_per_cm
    inner = np.abs(side) < _ROW_WIDE
    terms = np.stack([np.ones_like(side), side, -(side**2)], 1)
    weight = np.ones(int(inner.sum()))
    calm = np.diag([0.0, _LEVEL, 0.0])
    for _ in range(_ROUNDS):
        weighted = terms[inner] * weight[:, None]
        arc = np.linalg.solve(weighted.T @ terms[inner] + calm, weighted.T @ row[inner])
        above = row[inner] - terms[inner] @ arc
        weight = np.where(above > 0, _LOW, 1 - _LOW) / np.maximum(np.abs(above), _CLOSE_CM)
    return np.asarray(np.minimum(terms @ arc * px_per_cm, row_end + _OVER_CM * px_per_cm))


def _calm(field: Array, t: Array, edges: Edges, share: float) -> Array:
    """(S, S) a field with this `share` of what it is in the middle between the lips, calm along them: teeth
    that lips cover do not bend with every wave of a lip.
    """
    if share <= 0:
        return field
    x, y = edges.points((edges.upper + edges.lower) / 2).astype(np.float32).T[:, :, None]
    along = cv2.remap(field.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    along = cv2.GaussianBlur(along, (1, 0), sigmaX=1e-3, sigmaY=_RIGID)[:, 0]
    calm = np.interp(t, np.linspace(0, 1, len(along)), along.astype(np.float64))
    return np.asarray(field + share * (calm - field))


def _middle(edges: Edges) -> Array:
    """(2,) px in the middle between the lips."""
    return np.asarray(edges.points((edges.upper + edges.lower) / 2)[len(edges.upper) // 2])


def _yielding(t: Array, dropped: Array, grown: Array, shut: float, px_per_cm: float) -> Array:
    """(S, S) px by which teeth go with lips that drop together past them by `dropped` px and part by `grown`,
    or a gap would open between lips that do not: where lips part little, and at the corners of a mouth that
    is `shut`, 0..1.
    """
    both = np.maximum(dropped - np.maximum(grown, 0), 0)
    corner = shut * _LOOSE[0] * ramp(np.abs(2 * t - 1), *_TO_CORNER)
    loose = np.maximum(corner, _LOOSE[1] * (1 - ramp(grown / px_per_cm, *_PARTING_CM)))
    return np.asarray(loose * both)


def row_end(light: Array, edges: Edges, px_per_cm: float) -> Array:
    """(N,) px below the line to which upper teeth reach in a picture of light (S, S): down to the first dark
    below them, or to the other lip.
    """
    share = np.linspace(0, 1, _DEPTHS)
    height = edges.lower - edges.upper
    depth = edges.upper[:, None] + share * height[:, None]
    place = edges.points(np.zeros(len(edges.upper)))[:, None] + depth[..., None] * edges.down
    x, y = (np.ascontiguousarray(place[..., k], np.float32) for k in (0, 1))
    column = cv2.remap(light.astype(np.float32), x, y, cv2.INTER_LINEAR)
    column = cv2.GaussianBlur(
        column, (1, 0), sigmaX=1e-3, sigmaY=_CALM
    )  # gaps between teeth are no end of them
    tall = height > _TALL_CM * px_per_cm
    if not tall.any():
        return np.asarray(edges.lower.copy())
    bright = float(np.percentile(column[tall, : _DEPTHS // 2], _ENAMEL))
    # What is bright from above down, for some height; in the shade of the corners teeth are darker.
    side = np.abs(np.linspace(-1, 1, len(height)))[:, None]
    tooth = column > bright * (_TOOTH[0] + (_TOOTH[1] - _TOOTH[0]) * smoothstep(side))
    gap = np.maximum(np.rint(_GAP_CM * px_per_cm / np.maximum(height, 1) * _DEPTHS), 1).astype(int)
    reach = np.array(
        [_run_end(row, int(n)) if ok else np.nan for row, n, ok in zip(tooth, gap, tall, strict=True)]
    )
    there = np.flatnonzero(np.isfinite(reach))
    if len(there) < _FEWEST * len(depth):
        return np.asarray(edges.upper + _NO_ROW * height)
    reach = np.interp(np.arange(len(depth)), there, reach[there])
    wide = np.pad(reach, _MEDIAN // 2, mode="edge")
    reach = np.median(np.lib.stride_tricks.sliding_window_view(wide, _MEDIAN), 1)
    reach = cv2.GaussianBlur(reach[:, None], (1, 0), sigmaX=1e-3, sigmaY=_CALM)[:, 0]
    return np.asarray(edges.upper + reach * height)


def _run_end(tooth: Array, gap: int) -> float:
    """0..1 down a column (D,) bool to where its tallest bright run ends, of those that begin high up; `gap`
    samples of dark end one. NaN without any.
    """
    joined = cv2.morphologyEx(tooth[None].astype(np.uint8), cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))[0]
    steps = np.diff(np.pad(joined.astype(int), 1))
    starts, ends = np.flatnonzero(steps > 0), np.flatnonzero(steps < 0)
    high = starts < _EARLY * len(tooth)
    if not high.any():
        return float("nan")
    tallest = int(np.argmax((ends - starts) * high))
    return float(ends[tallest] / len(tooth))


def _towards_corners(
    t: Array, source_x: Array, before: Edges, after: Edges, skull: Array, px_per_cm: float
) -> tuple[Array, Array]:
    """(S, S) px along the lips that pixels come from: `source_x`, but for strips beside corners that draw
    apart; and (S, S) 0..1 the shade of corners that come in.
    """
    shade = np.zeros(t.shape)
    here = t * after.length
    for corner, way, from_corner in ((0.0, 1.0, here), (1.0, -1.0, after.length - here)):
        place = after.origin + corner * after.length * after.along
        row, column = (int(np.clip(round(float(place[k])), 0, len(skull) - 1)) for k in (1, 0))
        there = before.place(*(place + skull[row, column]))[0] - corner
        out = -way * float(there) * before.length
        by = max(out, 0.0)
        strip = float(np.clip(_SPREAD * by, 1e-3, _HALF * after.length))
        source_x = source_x + way * by * (1 - smoothstep(from_corner / strip))
        came_in = float(smoothstep(np.array(-out / px_per_cm / _IN_CM)))
        shade = np.maximum(shade, _SHADE * came_in * (1 - smoothstep(from_corner / px_per_cm / _SHADE_CM)))
    return source_x, shade
