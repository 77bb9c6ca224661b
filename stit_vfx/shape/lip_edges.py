"""Where parted lips end in the plate: the inner edge of either lip, which a fit knows to some millimetres.

A reader of crops does not know it better: gums look like lips to it, and a mouth's dark corners like skin.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from stit_vfx.shape.code import ShapeCode
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.lip_marks import SeenLips
from stit_vfx.shape.lips import Edges, lip_path
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.ramp import ramp, smoothstep

Array = np.ndarray

_STEP_CM, _ASIDE_CM = 0.02, 0.14  # an edge parts what is so far above it from what is so far below
_REACH_CM, _DEEPER = 0.30, 0.10  # how far from the fit an edge is looked for; so much more of an open mouth
_OTHER = 0.35  # of what is between the fitted edges: no further into it, and never beyond its middle
_TINT, _TONE = 0.14, 0.55  # log of red over green, log of light: by which lips differ from what they bare
_READ = 0.45  # what the reader's word counts against colours
_ASTRAY = 0.25  # price of an edge as far away as may be
_HOLE, _DARKER = 0.5, (1.1, 2.0)  # what counts that is by so much (log of light) darker than the lips
_SHADED = 0.4  # log of light: by how much a lip is darker at its ends
_TIP = 0.10  # of the mouth's width: so near its corners lips end in a point
_TALL_CM = 0.20  # a mouth lower than that is known by the fit
_CALM_PX, _CALM_CM = 0.6, 0.025
_ALIKE = 4.0  # columns over which a lip has one colour
_STEADY = 1.2  # columns
_FEWEST_PX, _KNOWN_PX = 8, 1e-9
_SEALS = (0.45, 1.0)  # of the way from the middle: where lips that come together meet a little earlier
_WAS_APART, _MET, _NARROW = (0.05, 0.075), 0.006, 0.02  # of the mouth's width
_DIM = 0.01
_OUT_CM, _UP_DOWN_CM, _BESIDE_CM = (
    0.50,
    0.24,
    0.16,
)  # a corner is looked for so far beyond the fitted one; around it
_LINE = (0.15, 0.45)  # log of light by which the line between lips is darker than skin beside it
_DRAWN, _OPENS, _BESIDE = 0.9, (0.02, 0.12), (0.35, 0.85)  # share; gap's of the width; way from the middle
_NEAR = 0.25  # of the mouth's width: so far from a corner the edges go along with it
_TOP_LIP, _BOTTOM_LIP = (48, 49, 50, 51, 52, 53, 54), (48, 59, 58, 57, 56, 55, 54)  # landmarks


def open_edges(model: ShapeModel, code: ShapeCode, crop_lin: Array, mouth: Array | None) -> Edges:
    """The inner edges of parted lips in a crop (S, S, 3), linear light, by a code in its px.

    `mouth` (S, S) 0..1: share of each pixel that a reader takes for the mouth's inside, where there is one.
    What cannot be told stays where the code has it.
    """
    fitted = Edges.of(model, code)
    if fitted.length < _FEWEST_PX:
        return fitted
    points = SeenLips.of(model, code).marks
    log = _log_colour(crop_lin, max(_CALM_PX, _CALM_CM * code.scale))
    gap = fitted.lower - fitted.upper
    columns = np.linspace(0, 1, len(gap))
    known = np.clip(gap / (_TALL_CM * code.scale), 0, 1) * smoothstep(np.minimum(columns, 1 - columns) / _TIP)
    curves = []
    for own, outer, way in ((fitted.upper, _TOP_LIP, 1.0), (fitted.lower, _BOTTOM_LIP, -1.0)):
        at, depth = fitted.place(*points[list(outer)].T)
        rim = np.interp(np.linspace(0, 1, len(own)), at, depth)
        off = _offset(log, mouth, fitted, own, rim, way=way, px=code.scale)
        # No edge passes far into the mouth, where teeth part from the dark and look like edges of lips.
        most = np.maximum(_OTHER * gap, 0.1 * code.scale)
        curves.append(own + way * np.minimum(way * off, most) * known)
    middle = (curves[0] + curves[1]) / 2
    found = replace(fitted, upper=np.minimum(curves[0], middle), lower=np.maximum(curves[1], middle))
    return _to_corners(found, log[..., 1], code.scale)


def carried(old: Edges, before: Edges, after: Edges) -> Edges:
    """The plate's own edges `old`, where an edit takes them that takes fitted ones from `before` to `after`.
    Lips that would pass each other meet.
    """
    grow = after.length / before.length
    # Corners of a mouth that opens are drawn out; their dark recess does not rise as a bump beside the teeth.
    side = np.abs(np.linspace(-1, 1, len(before.upper)))
    opens = ramp((after.gap - before.gap) / after.length, *_OPENS)
    keeps = (grow * (1 - _DRAWN * opens * ramp(side, *_BESIDE)))[:, None]

    def new(own: Array, was: Array, now: Array) -> Array:
        away = own - was
        away = (away @ before.along)[:, None] * after.along + (away @ before.down)[:, None] * after.down
        return np.asarray(now + keeps * away)

    upper, lower = (
        new(old.points(own), before.points(was), after.points(now))
        for own, was, now in (
            (old.upper, before.upper, after.upper),
            (old.lower, before.lower, after.lower),
        )
    )
    moved = _closing_evenly(_with_ends(_through(after, upper, lower), after), old, before, after)
    middle, half = (moved.upper + moved.lower) / 2, _line_px(moved, old) / 2
    upper, lower = np.minimum(moved.upper, middle - half), np.maximum(moved.lower, middle + half)
    return replace(moved, upper=upper, lower=lower)


def _closing_evenly(edges: Edges, old: Edges, before: Edges, after: Edges) -> Edges:
    """The edges with fewer of the waves of the plate's own opening, `old`, the further lips come together:
    they meet along all of their line at once, and a little earlier at its ends.
    """
    apart = max(after.gap, 0.0) / max(before.gap, _KNOWN_PX)
    if apart >= 1 or _profile(edges):
        return edges
    side = np.linspace(-1, 1, len(before.upper))
    own = (old.lower - old.upper) - (before.lower - before.upper)
    even = float(np.median(own[np.abs(side) < 0.5])) * np.sqrt(1 - side**2)
    less = (own - even) * (1 - apart) * after.length / before.length
    tapered = 1 - (1 - apart) * ramp(np.abs(side), *_SEALS)
    height, middle = np.maximum(edges.lower - edges.upper - less, 0), (edges.upper + edges.lower) / 2
    narrow = _NARROW * float(ramp(old.gap / old.length, *_WAS_APART)) * (1 - apart) * edges.length
    half = height**2 / np.maximum(height + narrow, _KNOWN_PX) * tapered / 2
    return replace(edges, upper=middle - half, lower=middle + half)


def _line_px(edges: Edges, old: Edges) -> Array:
    """(N,) px of the dark line that is left between lips that were apart, `old`, where they meet."""
    apart = 0.0 if _profile(edges) else float(ramp(old.gap / old.length, *_WAS_APART))
    side = np.linspace(-1, 1, len(old.upper))
    return np.asarray(apart * _MET * edges.length * np.sqrt(1 - side**2))


def _with_ends(edges: Edges, fitted: Edges) -> Edges:
    """The edges with the ends of fitted ones, where in profile their lips end apart from each other."""
    place = fitted.origin + fitted.ends[..., :1] * fitted.length * fitted.along
    place = place + fitted.ends[..., 1:] * fitted.down
    ends = np.stack(edges.place(place[..., 0], place[..., 1]), -1)
    apart = (np.ptp(fitted.ends[..., 1], axis=1) > 0)[:, None, None]
    return replace(edges, ends=np.where(apart, ends, fitted.ends))


def _through(edges: Edges, upper: Array, lower: Array) -> Edges:
    """The edges through points (N, 2) px of either lip, that share their ends but in profile."""
    first, last = ((upper[k] + lower[k]) / 2 for k in (0, -1))
    if _profile(edges):
        first, last = edges.points(np.zeros(len(upper)))[[0, -1]]
    length = max(float(np.linalg.norm(last - first)), 1e-6)
    along = (last - first) / length
    down = np.array([-along[1], along[0]])
    even = np.linspace(0, length, len(upper))
    curves = (np.interp(even, (each - first) @ along, (each - first) @ down) for each in (upper, lower))
    return replace(
        edges, origin=first, along=along, down=down, length=length, upper=next(curves), lower=next(curves)
    )


def _profile(edges: Edges) -> bool:
    """Whether the lips end apart from each other, where their far half goes out of sight."""
    return bool(edges.ends[:, :, 1].any())


def _to_corners(edges: Edges, log: Array, px: float) -> Edges:
    """The edges, drawn out to where the dark between the lips ends in a picture of log light (S, S)."""
    if _profile(edges):
        return edges
    columns = np.linspace(0, 1, len(edges.upper))
    upper, lower = edges.points(edges.upper), edges.points(edges.lower)
    for end, way in ((0, -1.0), (-1, 1.0)):
        moved = _corner(edges.points(np.zeros(len(columns)))[end], way * edges.along, edges.down, log, px)
        near = smoothstep(1 - np.abs(columns - columns[end]) / _NEAR)
        upper, lower = (each + near[:, None] * moved for each in (upper, lower))
    return _through(edges, upper, lower)


def _corner(place: Array, out: Array, down: Array, log: Array, px: float) -> Array:
    """(2,) px from a corner of fitted lips to where the dark line between the plate's lips ends, outwards."""
    across = np.arange(-_UP_DOWN_CM, _UP_DOWN_CM + 1e-6, _STEP_CM) * px
    steps = np.arange(0, _OUT_CM + 1e-6, _STEP_CM) * px
    points = place + steps[:, None, None] * out + across[:, None] * down
    x, y = (np.ascontiguousarray(points[..., k], np.float32) for k in (0, 1))
    light = cv2.remap(log, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    aside = round(_BESIDE_CM / _STEP_CM)
    wide = np.pad(light, ((0, 0), (aside, aside)), mode="edge")
    dark = np.minimum(wide[:, : -2 * aside], wide[:, 2 * aside :]) - light
    path = lip_path(dark - _ASTRAY * (across / across[-1]) ** 2)
    line = dark[np.arange(len(steps)), path]
    goes_on = np.minimum.accumulate(ramp(line, *_LINE))
    reach = float(goes_on.sum() * _STEP_CM * px)
    off = float((across[path] * goes_on).sum() / max(goes_on.sum(), 1.0))
    return np.asarray(min(reach, steps[-1]) * out + off * down)


def _offset(
    log: Array, mouth: Array | None, fitted: Edges, own: Array, rim: Array, *, way: float, px: float
) -> Array:
    """(N,) px below the fitted edge `own` (N,) of a lip whose outer edge is `rim` (N,), at which it ends in
    the picture; `way`: 1 where the mouth is below the lip, -1 where it is above.
    """
    reach = (_REACH_CM + _DEEPER * max(fitted.gap / px, 0.0)) * px
    step, aside = _STEP_CM * px, max(1, round(_ASIDE_CM / _STEP_CM))
    count = round(reach / step)
    offset = np.arange(-count - aside, count + aside + 1) * step
    read = _sampled(log, fitted, own[:, None] + offset[None])
    lip = _sampled(log, fitted, ((own + rim) / 2)[:, None])[:, 0]
    lip = cv2.GaussianBlur(lip.astype(np.float32), (1, 0), sigmaX=1e-3, sigmaY=_ALIKE)
    # In a corner what passes for lip may be the dark beside it.
    middle = slice(len(lip) // 4, -len(lip) // 4)
    lip[:, 1] = np.maximum(lip[:, 1], np.median(lip[middle, 1]) - _SHADED)
    away = (read - lip[:, None]) / [_TINT, _TONE]
    likely = np.exp(-0.5 * (away**2).sum(-1))
    likely = likely - _HOLE * ramp(np.median(lip[middle, 1]) - read[..., 1], *_DARKER)
    if mouth is not None:
        likely = likely - _READ * _sampled(mouth[..., None], fitted, own[:, None] + offset[None])[..., 0]
    total = np.cumsum(np.pad(likely, ((0, 0), (1, 0))), 1)
    above = total[:, aside:-aside] - total[:, : -2 * aside]
    below = total[:, 2 * aside :] - total[:, aside:-aside]
    gain = way * (above - below)[:, : 2 * count + 1] / aside
    offset = offset[aside:-aside]
    path = lip_path(gain - _ASTRAY * (offset / reach) ** 2)
    return np.asarray(cv2.GaussianBlur(offset[path][:, None], (1, 0), sigmaX=1e-3, sigmaY=_STEADY)[:, 0])


def _sampled(image: Array, edges: Edges, depth: Array) -> Array:
    """(N, M, C) an image (S, S, C) at depths (N, M) px below the line, column by column."""
    along = np.linspace(0, edges.length, len(depth))[:, None, None] * edges.along
    place = edges.origin + along + depth[..., None] * edges.down
    x, y = (np.ascontiguousarray(place[..., k], np.float32) for k in (0, 1))
    read = cv2.remap(image.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read.reshape(*depth.shape, image.shape[2]))


def _log_colour(crop_lin: Array, sigma: float) -> Array:
    """(S, S, 2): log of red over green, and of light."""
    calm = np.maximum(cv2.GaussianBlur(crop_lin.astype(np.float32), (0, 0), sigma), 0)
    tint = np.log((calm[..., 0] + _DIM) / (calm[..., 1] + _DIM))
    return np.stack([tint, np.log(calm @ LUMA + _DIM)], -1).astype(np.float32)
