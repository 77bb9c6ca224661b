"""Where lips that touch meet in the plate: the dark line between them, which a fit knows to some millimetres.

An edit that parts lips elsewhere leaves a piece of one lip hanging from the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stit_vfx.shape.code import ShapeCode
from stit_vfx.shape.far_lip import LEAST_RIM_PX, past_px, past_the_rim
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.lip_marks import SeenLips
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.ramp import ramp, smoothstep

Array = np.ndarray

_FEWEST_PX = 8  # a smaller mouth shows no line
_COLUMNS = 49  # along the lips
_REACH_CM, _STEP_CM = 0.50, 0.02  # how far from the fitted line the plate's is looked for
_ASIDE_CM = (0.08, 0.13)  # a line is darker than what is so far above and below it
_CALM_CM = 0.03
_DEEP = 0.25  # what being dark counts, against being darker than what is next to it
_DIM = 0.02  # light below which a picture says little
_BEND = 60.0  # of a line between two columns, in steps; the price of one
_ASTRAY = 0.25  # price of a line as far away as may be
_SEEN = (0.05, 0.20)  # log of light: a line that is no line; one that surely is
_PARTED_CM, _WIDE_CM = (0.25, 0.50), (0.90, 1.20)  # between the fitted inner lips: may be open; surely is
# Light over the skin's: what is between the fitted lips is bright as teeth, or dark as a cave; how much is,
# for percentiles would jump while lips part.
_TEETH, _CAVE = (1.0, 1.4), (0.12, 0.22)
_TEETH_SHARE, _CAVE_SHARE = (0.04, 0.16), (0.12, 0.38)
# A streak of teeth along the line: so near it, over what is around, log of red over green; share of the line
# from which on lips have parted, if only by a slit.
_STREAK_CM, _BRIGHTER, _PALER, _STREAK, _DEPTHS = 0.30, (1.05, 1.25), (-0.04, -0.20), (0.35, 0.55), 25
# Teeth beside the line: how high, how near they begin, and how they differ from lips.
_GLINT_CM, _NEXT_CM, _PALE, _SHINES = 0.36, 0.15, -0.10, 1.15
_ROUND, _CALM_BEND, _STIFF = 0.55, 0.7, 0.25  # of an opened mouth's outline
_ROUNDING = 1e-9
_WEDGE, _BESIDE = (0.0, 0.15), (0.5, 1.5)  # of the mouth's width; of `_HOLDS`, and so much more in profile
_HOLDS = 0.35  # of the mouth's width: so far from it an edge draws the lip along
_UPPER, _LOWER, _CORNERS = (61, 62, 63), (67, 66, 65), ((48, 60), (54, 64))  # landmarks


def lips_met(
    model: ShapeModel, codes: tuple[ShapeCode, ShapeCode], crop_lin: Array
) -> tuple[ShapeCode, ShapeCode]:
    """Two codes in px of a crop (S, S, 3), linear light, the first of them the plate's, whose inner lips meet
    where the plate's do. Lips that are apart stay as they are.
    """
    before, after = codes
    nudge = meet(model, before, crop_lin)
    if not nudge.any():
        return codes
    old, new = (nudge if code.detail is None else code.detail + nudge for code in codes)
    return before.but(detail=old), after.but(detail=new)


def lips_touch(model: ShapeModel, code: ShapeCode, crop_lin: Array) -> float:
    """0..1: whether the lips of a code in px of a crop (S, S, 3), linear light, touch there but for a glint:
    the fit parts lips that do by up to 8 mm. 0 where teeth show along them, or the picture shows no lips.
    """
    points = SeenLips.of(model, code).marks
    if not _shown(points, crop_lin):
        return 0.0
    over_skin = crop_lin / _skin(points, crop_lin)
    slit = float(ramp(_streak(code, points, over_skin), *_STREAK))
    return (1 - slit) * (1 - _open(model, code, points, over_skin))


def meet(model: ShapeModel, code: ShapeCode, crop_lin: Array) -> Array:
    """(68, 3) centimetres for the `detail` of a code in px of a crop (S, S, 3), linear light: what brings its
    inner lips to the line where the plate's lips meet. Nothing for lips that do not.
    """
    none = np.zeros((68, 3))
    points = SeenLips.of(model, code).marks
    if not _shown(points, crop_lin):
        return none
    over_skin = crop_lin / _skin(points, crop_lin)
    if _open(model, code, points, over_skin) > 0.5:
        return none
    line, along, down = _line(points)
    offset_px = _found(crop_lin, line, down, code.scale)
    met = line + offset_px[:, None] * down
    above, below = (_glint(over_skin, met, way * down, code.scale) for way in (-1, 1))
    share = min(1.0, _GLINT_CM * code.scale / max(float((above + below).max()), 1e-6))
    above, below = share * above, share * below
    place, depth = (line - line[0]) @ along, (met - line[0]) @ down
    moved = np.zeros((68, 2))
    for marks, target in ((_UPPER, depth - above), (_LOWER, depth + below)):
        for mark in marks:
            here, now = ((points[mark] - line[0]) @ axis for axis in (along, down))
            moved[mark] = (np.interp(here, place, target) - now) * down
    for end, corner in zip((0, -1), _CORNERS, strict=True):
        moved[list(corner)] = offset_px[end] * down
    return np.c_[moved * [1, -1], np.zeros(68)] / code.scale @ code.rotation


@dataclass(frozen=True)
class Edges:
    """The inner edges of two lips in a picture. `origin` (2,) px is one corner, `along` and `down` (2,) unit
    vectors, `length` px the way to the other corner; `upper`, `lower` (N,) px below that line, evenly.

    `ends` (2, 2, 2): at either corner, for the upper and the lower lip, how far along the line, 0..1, and how
    far below it in px, it goes out of sight. In profile lips that part no longer end at one place.
    """

    origin: Array
    along: Array
    down: Array
    length: float
    upper: Array
    lower: Array
    ends: Array

    @classmethod
    def of(cls, model: ShapeModel, code: ShapeCode) -> Edges:
        """Through the inner lips' landmarks of a code in px, round at the corners."""
        lips = SeenLips.of(model, code)
        points = lips.marks
        way = points[64] - points[60]
        length = max(float(np.linalg.norm(way)), 1e-6)
        along = way / length
        down = np.array([-along[1], along[0]])
        away = lips.ends - points[60]
        ends = np.stack([away @ along / length, away @ down], -1)
        corners = np.array([[[0.0, 0.0]], [[1.0, 0.0]]])
        seen = np.abs(ends - corners).max(-1, keepdims=True) < _ROUNDING
        ends = np.where(seen, corners, ends)
        upper, lower = (
            _round(points[list(side)] - points[60], along, down, length, ends[:, lip])
            for lip, side in enumerate((_UPPER, _LOWER))
        )
        return cls(points[60], along, down, length, upper, lower, ends)

    def place(self, x: Array, y: Array) -> tuple[Array, Array]:
        """How far along the line, 0..1, and how far below it in px, points of the picture are."""
        across = np.stack([x - self.origin[0], y - self.origin[1]], -1)
        return across @ self.along / self.length, across @ self.down

    def within(self, x: Array, y: Array, *, wider_px: float = 0.0) -> Array:
        """0..1: whether points of the picture lie between the curves, or so near them."""
        t, depth = self.place(x, y)
        upper, lower = (np.interp(t, np.linspace(0, 1, _COLUMNS), c) for c in (self.upper, self.lower))
        near = np.clip(np.minimum(depth - upper, lower - depth) + 0.5 + wider_px, 0, 1)
        for end in (0, 1):
            near = near * np.clip(0.5 + wider_px - self.past_rim(end, t, depth), 0, 1)
        return np.asarray((t > 0) & (t < 1)) * near

    def past_rim(self, end: int, t: Array, depth: Array) -> Array:
        """Px by which places are beyond the rim of the mouth's far half, at the left (0) or right end (1);
        nowhere beyond it where both lips end at one place, nor above it.
        """
        (_, high), (_, low) = self.ends[end]
        if low - high < LEAST_RIM_PX:
            return np.full(np.shape(t), -np.inf)
        past = past_px(self, end, t, depth)
        return np.where(depth > high - 1, past, -np.inf)

    def points(self, curve: Array) -> Array:
        """(N, 2) px of a curve (N,) px below the line."""
        steps = np.linspace(0, self.length, len(curve))
        return np.asarray(self.origin + steps[:, None] * self.along + curve[:, None] * self.down)

    def wedge(self, end: int) -> float:
        """0..1: whether lips end apart from each other, as in profile, at the left (0) or right end (1)."""
        upper, lower = self.ends[end, :, 1]
        return float(ramp((lower - upper) / self.length, *_WEDGE))

    @property
    def gap(self) -> float:
        """Px between the lips, on average."""
        return float((self.lower - self.upper).mean())


def _round(points: Array, along: Array, down: Array, length: float, ends: Array) -> Array:
    """(N,) px below the line from corner to corner of a curve through three points (3, 2) of a lip that ends
    at `ends` (2, 2), as in `Edges`.
    """
    (left, left_depth), (right, right_depth) = ends
    at, depth = points @ along / length, points @ down
    here = np.linspace(0, 1, _COLUMNS)
    straight, all_straight = (np.interp(t, [left, right], [left_depth, right_depth]) for t in (at, here))
    at, here = (np.clip(2 * (t - left) / (right - left) - 1, -1, 1) for t in (at, here))
    end, closing = (np.maximum(1 - t * t, 0) ** _ROUND for t in (at, here))
    terms, all_terms = (np.stack([t**0, t, _CALM_BEND * t * t], 1) for t in (at, here))
    design = np.concatenate([terms * end[:, None], _STIFF * np.diag([0.0, 1.0, 1.0])])
    amounts = np.linalg.lstsq(design, np.concatenate([depth - straight, np.zeros(3)]), rcond=None)[0]
    return np.asarray(closing * (all_terms @ amounts) + all_straight)


def parted(before: Edges, after: Edges, flow: Array, sides: tuple[Array, Array]) -> tuple[Array, Array]:
    """Lips that touch in the plate, parted: (S, S) 0..1 between them, and the flow (S, S, 2) around it, by
    which either lip ends where it ends in the plate.

    sides: flows (S, S, 2) of the upper and of the lower lip, continued beyond them; `flow` is what holds away
    from the mouth.
    """
    y, x = np.mgrid[: len(flow), : flow.shape[1]].astype(np.float64)
    t, depth = after.place(x, y)
    upper, lower = (np.interp(t, np.linspace(0, 1, _COLUMNS), c) for c in (after.upper, after.lower))
    inside = after.within(x, y)
    below = depth > (upper + lower) / 2
    reach = _HOLDS * after.length
    away = np.where(below, np.maximum(depth - lower, 0), np.maximum(upper - depth, 0)) / reach
    # Where lips part in profile they hold what is beside them, backdrop as it is, as far as above and below.
    aside = np.where(t > 0.5, *(_BESIDE[0] + _BESIDE[1] * after.wedge(end) for end in (1, 0)))
    away = np.hypot(away, (np.maximum(np.abs(t - 0.5) - 0.5, 0)) * after.length / (aside * reach))
    share = smoothstep(1 - away)
    out, flows = flow, []
    for side, own, old_edge, here in (
        (sides[0], after.points(after.upper), before.upper, ~below),
        (sides[1], after.points(after.lower), before.lower, below),
    ):
        own_x, own_y = (np.ascontiguousarray(own[:, None, k], np.float32) for k in (0, 1))
        seen = cv2.remap(side.astype(np.float32), own_x, own_y, cv2.INTER_LINEAR)[:, 0]
        source = own + seen
        flows.append(seen)
        at, source_depth = before.place(source[:, 0], source[:, 1])
        miss = np.interp(at, np.linspace(0, 1, _COLUMNS), old_edge) - source_depth
        miss = cv2.GaussianBlur(miss[:, None].astype(np.float32), (1, 7), 0)[:, 0]
        move = np.interp(t, np.linspace(0, 1, _COLUMNS), miss)[..., None] * before.down
        held = side + share[..., None] * move
        out = np.where((here & (share > 0))[..., None], _blend(out, held, share), out)
    for end in (0, 1):
        out = past_the_rim(before, after, end, flows, out, share)
    return inside.astype(np.float32), out.astype(np.float32)


def _blend(far: Array, near: Array, share: Array) -> Array:
    """Near the lips the one, further away ever more of the other."""
    part = smoothstep(2 * share)[..., None]
    return far + part * (near - far)


def _shown(points: Array, crop_lin: Array) -> bool:
    long = float(np.linalg.norm(points[64] - points[60]))
    return long >= _FEWEST_PX and _within(points[48:68], crop_lin.shape)


def _within(points: Array, shape: tuple[int, ...]) -> bool:
    return bool((points > 1).all() and (points < [shape[1] - 2, shape[0] - 2]).all())


def _skin(points: Array, crop_lin: Array) -> Array:
    """(3,) the median colour from the nose to the chin, cheek to cheek."""
    low, high = (
        np.clip(np.rint(points[[3, 13, 33, 8]].min(0)), 0, None),
        np.rint(points[[3, 13, 33, 8]].max(0)),
    )
    (left, top), (right, bottom) = low.astype(int), high.astype(int)
    return np.maximum(np.median(crop_lin[top:bottom, left:right].reshape(-1, 3), 0), 1e-3)


def _open(model: ShapeModel, code: ShapeCode, points: Array, over_skin: Array) -> float:
    """0..1: lips well apart, by the fit and by what is between them: teeth or the dark."""
    marks = model.marks(code)[:, 1]
    gap = float(marks[list(_UPPER)].mean() - marks[list(_LOWER)].mean())
    inner = np.zeros(over_skin.shape[:2], np.uint8)
    cv2.fillPoly(inner, [np.rint(points[60:68]).astype(np.int32)], 1)
    luma = over_skin[inner > 0] @ LUMA
    if not len(luma):
        return 0.0
    bright, dark = ramp(luma, *_TEETH).mean(), (1 - ramp(luma, *_CAVE)).mean()
    shows = max(ramp(bright, *_TEETH_SHARE), ramp(dark, *_CAVE_SHARE), ramp(gap, *_WIDE_CM))
    return float(ramp(gap, *_PARTED_CM) * shows)


def _streak(code: ShapeCode, points: Array, over_skin: Array) -> float:
    """0..1 of the fitted line between the lips: along so much of it something shines, pale as teeth."""
    line, _, down = _line(points)
    depth = np.linspace(-_STREAK_CM, _STREAK_CM, _DEPTHS) * code.scale
    place = (line[:, None] + depth[None, :, None] * down).astype(np.float32)
    x, y = (np.ascontiguousarray(place[..., k]) for k in (0, 1))
    luma = (over_skin @ LUMA).astype(np.float32)
    log = np.log(np.maximum(over_skin[..., :2], 1e-3)).astype(np.float32)
    over = luma / cv2.GaussianBlur(luma, (0, 0), 0.6 * _STREAK_CM * code.scale)
    shines, red = (cv2.remap(p, x, y, cv2.INTER_LINEAR) for p in (over, log[..., 0] - log[..., 1]))
    return float((ramp(shines, *_BRIGHTER) * ramp(red, *_PALER)).max(1).mean())


def _line(points: Array) -> tuple[Array, Array, Array]:
    """(N, 2) px of the fitted line between the lips from the inner corner to inner corner, and the unit
    vectors along and across it, down.
    """
    along = points[64] - points[60]
    length = float(np.linalg.norm(along))
    along = along / length
    down = np.array([-along[1], along[0]])
    middle = [
        points[60],
        *((points[u] + points[l]) / 2 for u, l in zip(_UPPER, _LOWER, strict=True)),
        points[64],
    ]
    x, y = (np.array([(p - points[60]) @ axis for p in middle]) for axis in (along, down))
    across = np.linspace(0, length, _COLUMNS)
    curve = np.polynomial.Polynomial.fit(x, y, 2)(across)
    return points[60] + across[:, None] * along + curve[:, None] * down, along, down


def _found(crop_lin: Array, line: Array, down: Array, px_per_cm: float) -> Array:
    """(N,) px below a fitted line (N, 2) at which the plate's dark line is; 0 where there is none."""
    # Lips are as red as skin is; in other colours they are as dark as the line itself.
    log = np.log(np.maximum(crop_lin[..., 0], 0) + _DIM).astype(np.float32)
    log = cv2.GaussianBlur(log, (0, 0), max(0.6, _CALM_CM * px_per_cm))
    steps = round(_REACH_CM / _STEP_CM)
    offset = np.arange(-steps, steps + 1) * _STEP_CM * px_per_cm

    def read(aside_cm: float) -> Array:
        place = line[:, None] + (offset + aside_cm * px_per_cm)[None, :, None] * down
        x, y = (np.ascontiguousarray(place[..., k], np.float32) for k in (0, 1))
        return cv2.remap(log, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    here = read(0.0)
    around = [np.minimum(read(-aside), read(aside)) for aside in _ASIDE_CM]
    dark = np.maximum(np.max(around, 0) - here, 0)
    deep = _DEEP * (here.mean(1, keepdims=True) - here)
    path = lip_path(dark + deep - _ASTRAY * (offset / offset[-1]) ** 2)
    seen = dark[np.arange(len(line)), path]
    weight = np.array([float(ramp(float(s), *_SEEN)) for s in seen]) + 1e-3
    kernel = np.exp(-0.5 * (np.subtract.outer(np.arange(len(line)), np.arange(len(line))) / 3.0) ** 2)
    smooth = (kernel * weight) @ offset[path] / (kernel * weight).sum(1)
    sure = np.clip(2 * (kernel * weight).sum(1) / kernel.sum(1), 0, 1)
    return np.asarray(smooth * sure)


def _glint(over_skin: Array, met: Array, away: Array, px_per_cm: float) -> Array:
    """(N,) px by which teeth show on one side, `away` (2,), of the line (N, 2) where lips meet."""
    depth = np.arange(0, _GLINT_CM + _STEP_CM, _STEP_CM) * px_per_cm
    place = met[:, None] + depth[None, :, None] * away
    x, y = (np.ascontiguousarray(place[..., k], np.float32) for k in (0, 1))
    calm = cv2.GaussianBlur(over_skin.astype(np.float32), (0, 0), 0.7)
    colour = np.maximum(cv2.remap(calm, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), 1e-3)
    red, luma = np.log(colour[..., 0] / colour[..., 1]), colour @ LUMA
    lip_red, lip_luma = (np.median(each[:, -3:]) for each in (red, luma))
    pale = (red < lip_red + _PALE) & (luma > _SHINES * lip_luma)
    begun = np.cumsum(pale, 1) > 0
    ended = np.cumsum(begun & ~pale, 1) > 0
    late = ~begun[:, round(_NEXT_CM / _STEP_CM)]  # so far away it is a shine on the lip
    end = np.where(late | ~begun[:, -1], 0, np.where(ended.any(1), depth[ended.argmax(1)], depth[-1]))
    wide = cv2.dilate(end[:, None].astype(np.float32), np.ones((13, 1), np.uint8))
    return np.asarray(cv2.GaussianBlur(wide, (1, 9), 0)[:, 0])


def lip_path(gain: Array) -> Array:
    """(N,) the column of each row of `gain` (N, M) on the path that gains most and bends little."""
    count = gain.shape[1]
    steps = np.subtract.outer(np.arange(count), np.arange(count))
    price = _BEND * (steps / count) ** 2
    best, came = gain[0], []
    for row in gain[1:]:
        total = best[None, :] - price
        came.append(total.argmax(1))
        best = total.max(1) + row
    path = [int(best.argmax())]
    for back in came[::-1]:
        path.append(int(back[path[-1]]))
    return np.array(path[::-1])
