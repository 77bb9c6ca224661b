"""Eyes in columns of the crop: their corners, the rims of their lids, and the brow above them.

Landmarks are a millimetre or two wrong about rims, and up to five about outer corners. Where the reader sees
an eye end says it better; where it sees none, they stand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from stit_vfx.shape.disc import disc
from stit_vfx.shape.ramp import ramp, smoothstep

Array = np.ndarray
Pair = tuple[Array, Array]  # before, after

POINTS = 41  # along each curve, from corner to corner
# On the chart: lash lines run through the eye's landmarks; skin beyond the outer curves moves as the surface
# does.
_CENTRE, _RADII = (17.05, 17.4), (6.75, 1.65)
_BROW, _CHEEK = 25.2, 11.0
_BEYOND = (
    0.8  # eyes and lashes reach past the landmarks' corners: the curves do too, by so much of half an eye
)
_CORNERS = tuple((POINTS - 1) / 2 * (1 + side / (1 + _BEYOND)) for side in (-1, 1))  # where on the curves
CURVES = 4

# Upper and lower lids are taken to end this far from the landmarks' line, so that no white comes along.
_MARGIN_CM = (0.04, 0.09)
_SEEN_CM = 1.0  # so far an eye is looked for
_WRONG_CM = (0.12, 0.35)  # so far landmarks may be wrong about the upper rim, below a brow, and the lower
ALMOND, _ALMOND_CM = 1.15, 0.04  # an eye with its lashes: half its width in half eyes, above its rim
_ABOVE_RIM_CM, _BARE_CM = (
    0.75,
    (0.05, 0.16),
)  # in so much above the rim, so much of skin: a brow hangs, or not
_ALIKE_CM = 0.16  # so far along a lid its rim is much the same
# Of half an eye: a corner lies so far inside or outside of its landmark; it is looked for from here on.
_SHORTER, _LONGER, _FROM = 0.05, 0.42, 0.35
_EYE_SEEN = (0.04, 0.25)  # share of eye: none, surely one
_ROUNDED = 1.06  # half the width of the arch in which rims end, in half eyes

# A brow: above the lashes, up to so far above its curve, and in log light so far below the lower lid's skin.
_LASHES_CM, _ABOVE_CM, _DARK, _BAG_CM = 0.35, 0.7, (0.45, 1.0), 0.45
_THICKEST_CM, _THINNEST_CM, _BROW_ALIKE_CM, _RISES_CM = 0.95, 0.12, 0.4, 0.25
# Share of the way from lashes to the curve that stretches at least: mid-eye under a brow that rises a little,
# under one that rises far, and at the corners; what is little and far.
_LEAST_SKIN, _FAR_CM = (0.5, 0.15, 0.9), (0.2, 0.6)
_GROWS = (0.6, 1.6)  # no eye becomes smaller, larger than that
_HUNG_CM, _HUNG_LEAST = (
    0.06,
    0.9,
)  # skin between a rim and a brow that hangs over it; how far the least falls there
_SHORT_BROW = 1.42  # in half eyes: so far from the middle a brow is looked for


@dataclass(frozen=True)
class Columns:
    """For n columns (crop x = `first` + k): before and after (n, 2) of the rims and outer curves.

    `weight` (n,) fades towards the ends. `along` (n,) is -1 and 1 at the corners; `wide` (n,) 0..1 spans the
    brow. From rows `top` (n,) on flow is put right; `moved` (n,) px is how far down the corners go; `hair`
    (n,) are the rows in which the brow ends; `lashes` (n,) those up to which the plate may show lashes;
    `hung` (n,) 0..1: a brow hangs over the eye, no skin is seen above its rim. `grown`: how much larger the
    whole eye is after.
    """

    first: int
    weight: Array
    along: Array
    wide: Array
    top: Array
    moved: Array
    hair: Array
    lashes: Array
    hung: Array
    upper: Pair
    lower: Pair
    brow: Pair
    cheek: Pair
    grown: float = 1.0

    @property
    def arch(self) -> Array:
        """(n,) height of a lid's line, 1 in the middle, 0 from the corners on."""
        return _arch(self.along)

    @property
    def round(self) -> Array:
        """(n,) the same of an eye as it may be at most, as half an ellipse."""
        return np.sqrt(np.clip(1 - (self.along / _ROUNDED) ** 2, 0, 1))


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


def columns_of(
    old: Array, new: Array, *, size: int, px_per_cm: float, eye: Array | None, luma: Array | None
) -> Columns | None:
    """One eye's columns from its curves (4, POINTS, 2) crop px; None if it is out of sight.

    `eye` (S, S) 0..1: where the plate shows eyes; `luma` (S, S): logarithm of its light.
    """
    columns = _on_curves(old, new, size=size)
    if columns is None:
        return None
    columns = replace(columns, grown=_grown(old, new))
    columns = _widened(_at_corners(columns, eye, px_per_cm), px_per_cm)
    if luma is None:
        return _at_rims(columns, eye, px_per_cm)
    columns = replace(columns, hung=_hung(columns, luma, px_per_cm))
    return _below_hair(_at_rims(columns, eye, px_per_cm), luma, px_per_cm)


def wide_px(curves: Array) -> float:
    """How wide an eye with these curves (4, POINTS, 2) is seen; less than nothing from behind."""
    left, right = np.interp(_CORNERS, np.arange(POINTS), curves[0, :, 0])
    return float(right - left)


def _grown(old: Array, new: Array) -> float:
    """How much wider an eye becomes against brow and cheek, which a turn foreshortens as it does the eye."""

    def share(curves: Array) -> float:
        wide = [np.diff(np.interp(_CORNERS, np.arange(POINTS), curve))[0] for curve in curves[..., 0]]
        return float(0.5 * (wide[0] + wide[1]) / max(0.5 * (wide[2] + wide[3]), 1.0))

    return float(np.clip(share(new) / max(share(old), 1e-3), *_GROWS))


def without_holes(eye: Array, px_per_cm: float) -> Array:
    """The share with highlights and the gaps between lashes closed."""
    return cv2.morphologyEx(eye.astype(np.float32), cv2.MORPH_CLOSE, disc(0.15 * px_per_cm))


def _across() -> Array:
    """(POINTS,) -1 and 1 at the landmarks' corners."""
    return np.linspace(-1 - _BEYOND, 1 + _BEYOND, POINTS)


def _arch(across: Array) -> Array:
    return np.clip(1 - np.abs(across) ** 2.6, 0, None)


def _on_curves(old: Array, new: Array, *, size: int) -> Columns | None:
    x = np.maximum.accumulate(new[0, :, 0])  # seen from the side, the far end turns back
    x = x + 1e-6 * np.arange(POINTS)
    first, last = max(0, int(np.ceil(x[0]))), min(size - 1, int(np.floor(x[-1])))
    if last - first < 4:
        return None
    here = np.arange(first, last + 1)
    at = np.interp(here, x, np.arange(POINTS))

    def pair(curve: int) -> Pair:
        states = (old[curve], new[curve])
        both = [np.stack([np.interp(at, np.arange(POINTS), s[:, k]) for k in (0, 1)], 1) for s in states]
        return both[0], both[1]

    weight = smoothstep(np.minimum(at, POINTS - 1 - at) / (0.14 * POINTS))
    across = np.interp(at, np.arange(POINTS), _across())
    sunk = np.interp(_CORNERS, np.arange(POINTS), new[0, :, 1] - old[0, :, 1])
    upper, lower, brow, cheek = (pair(k) for k in range(CURVES))
    moved = np.interp(at, _CORNERS, sunk)
    wide = np.sqrt(np.clip(1 - (across / _SHORT_BROW) ** 2, 0, 1))
    top, hair, lashes = brow[1][:, 1], brow[0][:, 1], upper[0][:, 1]
    hung = np.zeros(len(here))
    return Columns(first, weight, across, wide, top, moved, hair, lashes, hung, upper, lower, brow, cheek)


def _at_corners(columns: Columns, eye: Array | None, px_per_cm: float) -> Columns:
    """`along` stretched to where the plate's eye ends on either side."""
    if eye is None:
        return columns
    middle = 0.5 * (columns.upper[0] + columns.lower[0])
    steps = np.linspace(-0.25, 0.25, 9)[:, None] * px_per_cm
    seen = ramp(_along(eye, middle, steps).max(0), *_EYE_SEEN)
    along = columns.along.copy()
    for side in (-1, 1):
        outwards = np.flatnonzero(side * columns.along > 1 - _FROM)[::side]
        if len(outwards) > 1:
            step = np.abs(np.gradient(columns.along))[outwards]
            found = 1 - _FROM + float((np.minimum.accumulate(seen[outwards]) * step).sum())
            half = side * columns.along > 0
            along[half] /= np.clip(found, 1 - _SHORTER, 1 + _LONGER)
    return replace(columns, along=along)


def _widened(columns: Columns, px_per_cm: float) -> Columns:
    """Rims moved out by the margins, and not at all at the corners."""
    up, down = (columns.arch[:, None] * [0.0, margin * px_per_cm] for margin in _MARGIN_CM)
    (old, new), (old_low, new_low) = columns.upper, columns.lower
    return replace(columns, upper=(old - up, new - up), lower=(old_low + down, new_low + down))


def _at_rims(columns: Columns, eye: Array | None, px_per_cm: float) -> Columns:
    """Rims moved out to where the plate's eye ends, if it is further out than the landmarks say; before and
    after by as much. Not under a brow that hangs over it, whose shadow passes for eye.
    """
    (upper, upper_new), (lower, lower_new) = (
        [_calm(c, px_per_cm) for c in pair] for pair in (columns.upper, columns.lower)
    )
    if eye is None:
        return replace(
            columns,
            upper=(upper, upper_new),
            lower=(lower, lower_new),
            lashes=_almond(columns, upper, lower, px_per_cm),
        )
    middle = 0.5 * (upper + lower)
    steps = np.arange(int(_SEEN_CM * px_per_cm) + 1, dtype=np.float32)[:, None]

    def reach(sign: int) -> Array:
        """(n,) px of eye from the middle on: a sum over soft shares, so that it moves by parts of a pixel."""
        return np.asarray(np.minimum.accumulate(_along(eye, middle, -sign * steps), 0).sum(0))

    def off(far: Array, wrong_cm: Array | float) -> Array:
        wrong = np.clip(far, 0, wrong_cm * px_per_cm)
        return _calm(np.stack([np.zeros_like(wrong), wrong], 1), px_per_cm)

    def lens(far: Array) -> Array:
        """(n,) the same, held below an arch between the corners: mattes are too soft to end in one."""
        return np.asarray(np.minimum(far, max(float((far * columns.arch).max()), 1e-3) * columns.round))

    up = off(lens(reach(-1)) - (middle - upper)[:, 1], _WRONG_CM[0] * (1 - columns.hung))
    down = off(lens(reach(1)) - (lower - middle)[:, 1], _WRONG_CM[1])
    upper, lower, upper_new, lower_new = upper - up, lower + down, upper_new - up, lower_new + down
    almond = _almond(columns, upper, lower, px_per_cm)
    return replace(columns, upper=(upper, upper_new), lower=(lower, lower_new), lashes=almond)


def _almond(columns: Columns, upper: Array, lower: Array, px_per_cm: float) -> Array:
    """(n,) rows up to which lashes reach at most: half an ellipse over the corners, as high as the upper rim.
    Towards the corners lashes and the lid's edge lie above the landmarks' line.
    """
    inside = np.abs(columns.along) < 1
    if not inside.any():
        return np.asarray(upper[:, 1])
    chord = np.interp(columns.along, (-1, 1), np.interp((-1, 1), columns.along, lower[:, 1]))
    high = float(np.max((chord - upper[:, 1])[inside])) + _ALMOND_CM * px_per_cm
    half = np.sqrt(np.clip(1 - (columns.along / ALMOND) ** 2, 0, 1))
    return np.minimum(upper[:, 1], chord - high * half)


def _hung(columns: Columns, luma: Array, px_per_cm: float) -> Array:
    """(n,) 0..1: all is dark from the upper rim to the brow."""
    usual = np.median(_along(luma, columns.lower[0], -_BAG_CM * px_per_cm * np.ones((1, 1), np.float32)))
    steps = np.arange(_ABOVE_RIM_CM * px_per_cm, dtype=np.float32)[:, None]
    dark = ramp(usual - _along(luma, columns.upper[0], steps), *_DARK)
    seen = (1 - dark).sum(0).astype(np.float32) / px_per_cm
    seen = cv2.GaussianBlur(seen[None], (0, 0), max(_BROW_ALIKE_CM * px_per_cm, 0.5))[0]
    return 1 - ramp(seen, *_BARE_CM)


def _calm(curve: Array, px_per_cm: float) -> Array:
    """The curve (n, 2) with rows averaged along it."""
    rows = curve[:, 1].mean()
    soft = cv2.GaussianBlur((curve[:, 1] - rows)[None], (0, 0), max(_ALIKE_CM * px_per_cm, 0.5))[0]
    return np.stack([curve[:, 0], rows + soft], 1)


def _below_hair(columns: Columns, luma: Array, px_per_cm: float) -> Columns:
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
    dark = inside * ramp(usual - _along(luma, lash, steps), *_DARK)
    summed = np.cumsum(dark, 0)
    whole = summed[-1]
    level = np.minimum(0.92 * whole, _THICKEST_CM * px_per_cm)
    free = start + np.clip(summed - level, 0, 1).sum(0)
    low = _HUNG_CM * px_per_cm  # what hangs over the eye is hair down to its rim
    free = free - columns.hung * (start - low) * (1 - smoothstep((free - start) / (start - low)))
    certain = smoothstep(whole / (_THINNEST_CM * px_per_cm)) * columns.wide + 1e-3
    risen = (columns.brow[0] - columns.brow[1])[:, 1] + columns.moved
    little, far, corner = _LEAST_SKIN
    middle = little + (far - little) * ramp(risen / px_per_cm, *_FAR_CM)
    least = (corner + (middle - corner) * columns.wide) * (1 - _HUNG_LEAST * columns.hung)
    both = np.stack([certain * np.clip(free / reach, least, 1), certain * free / reach, certain])
    sigma = _BROW_ALIKE_CM * px_per_cm
    share, bare, certain = cv2.GaussianBlur(both.astype(np.float32), (0, 0), sigmaX=sigma, sigmaY=1e-3)
    rises = smoothstep(risen / (_RISES_CM * px_per_cm))
    part = 1 - smoothstep(4 * certain) * rises * (1 - share / np.maximum(certain, 1e-6))
    end = lash + (curve - lash) * part[:, None]
    way = 1 - smoothstep(4 * certain) * (1 - bare / np.maximum(certain, 1e-6))
    hair = lash[:, 1] + (curve - lash)[:, 1] * way * (1 - columns.hung)
    return replace(columns, brow=(end, end + columns.brow[1] - columns.brow[0]), hair=hair)


def _along(picture: Array, curve: Array, up_px: Array) -> Array:
    """(m, n) of a picture (S, S) at `up_px` (m, 1) above the curve (n, 2)."""
    x, y = np.broadcast_arrays(curve[:, 0].astype(np.float32), (curve[:, 1] - up_px).astype(np.float32))
    return cv2.remap(picture.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
