"""What a shot shows of the inside of its actor's mouth, gathered for the frames that hide it.

Teeth are rigid: the upper ones to the skull, the lower ones to the jaw. So what any frame shows of them has
a place on the fitted shape's own sheets (upper teeth, lower teeth, the dark behind), and a picture of each
sheet can be averaged over the shot. The light is divided out by the brightness of the actor's skin in the
same frame, and given back by that of the frame which borrows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stit_vfx.shape.disc import disc
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.model import MOUTH, SKIN, TEETH, ShapeModel
from stit_vfx.shape.raster import Raster

if TYPE_CHECKING:
    from stit_vfx.shape.flow import View

Array = np.ndarray

UPPER, LOWER, BACK = 0, 1, 2
PX_PER_CM = 25.0
_WIDTH, _HEIGHT, _TOP_CM = 146, 96, 1.64  # of a sheet's picture; its middle is between the average lips
_COLUMNS = 25  # vertices across a sheet
_EDGE_CM = 0.14  # from the lips on, a pixel counts more and more, up to here
_OPEN_CM = 0.30  # fits of closed mouths part the lips by up to this much
_SEARCH_PX = 4  # fits place teeth to about a millimetre and a half
_ROUNDS = 4
_SPREAD = 0.25  # of log brightness, around a texel's mean
_CALM_PX = 5.0
_SURE = 0.5  # share of the best weight from which on a texel is known
_RED = 0.05  # log of red over green, against the skin: lips and tongue are redder than this, teeth are not
_DARKEST, _BRIGHTEST = 0.15, 9.0  # teeth, against the skin
_GLARE = 4.0  # light over the skin's: what shines more than a tooth has no colour of its own
_DARK = 0.6  # the back of the mouth, against the skin
_BAND_GAP_CM = 0.10
_BRIGHT = 0.12  # of the brightest in a mouth: teeth, though the lip shades them


@dataclass(frozen=True)
class Look:
    """What one frame tells: `colour` (3, H, W, 3) over the skin's colour, `weight` (3, H, W), 0 is unseen."""

    colour: Array
    weight: Array


@dataclass(frozen=True)
class MouthMemory:
    """`colour` (3, H, W, 3): upper teeth, lower teeth, the dark behind, over the colour of the actor's skin;
    `known` (3, H, W) 0..1.
    """

    colour: Array
    known: Array

    def to_arrays(self) -> dict[str, Array]:
        """For the cache."""
        return {"colour": self.colour, "known": self.known}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> MouthMemory:
        """The other way round."""
        return cls(arrays["colour"], arrays["known"])

    def read(self, model: ShapeModel, raster: Raster) -> tuple[Array, Array]:
        """Colour over the skin's (n, 3), and how far it is known (n,), at a raster's pixels."""
        sheet = sheet_of(model)[raster.corners[:, 0]]
        place = _texels(model, raster.read(model.neutral))
        colour, known = np.zeros((len(sheet), 3), np.float32), np.zeros(len(sheet), np.float32)
        for number in (UPPER, LOWER, BACK):
            here = np.flatnonzero(sheet == number)
            if len(here):
                x, y = (np.ascontiguousarray(each[here, None]) for each in place.T)
                known[here] = cv2.remap(self.known[number], x, y, cv2.INTER_LINEAR)[:, 0]
                colour[here] = _remap(self.colour[number], x, y)[:, 0]
        return colour, known


def look(model: ShapeModel, view: View, crop_lin: Array, mouth: Array | None) -> Look | None:
    """What a frame shows of the mouth's inside; None if it shows nothing.

    crop_lin (S, S, 3); `mouth` (S, S): share of each pixel that shows the mouth's inside, where that is known
    from the picture. Else the fit is believed, well inside the lips.
    """
    skin = skin_colour(view, model, crop_lin)
    shown = _shown(view, model, mouth)
    if skin is None or not shown.any():
        return None
    over_skin = crop_lin / skin
    band = upper_teeth(over_skin, shown > 0, view.code.scale)
    sheets = view.raster.image(sheet_of(model)[view.raster.corners[:, 0]].astype(np.float32), -1)
    colour = np.zeros((3, _HEIGHT, _WIDTH, 3), np.float32)
    weight = np.zeros((3, _HEIGHT, _WIDTH), np.float32)
    fits = _plausible(over_skin, band, view.code.scale)
    for number, points in enumerate(_sheet_points(model, view.points[:, :2])):
        x, y = np.ascontiguousarray(points[..., 0]), np.ascontiguousarray(points[..., 1])
        colour[number] = _remap(over_skin, x, y)
        # The picture knows teeth better than the fit does; what is no tooth is only where the fit says so.
        there = shown * fits[number] * ((sheets == BACK) if number == BACK else 1)
        usable = there.astype(np.float32)
        weight[number] = cv2.remap(usable, x, y, cv2.INTER_LINEAR) * _spread(points)
    sharp = min(view.code.scale / PX_PER_CM, 1.0)
    return Look(colour, weight * np.float32(sharp)) if weight.sum() > 20 else None


def remember(looks: Sequence[Look]) -> MouthMemory | None:
    """A robust average of what the frames of a shot show; None if that is nothing.

    Frames are laid on the one that shows most, sheet by sheet: a fit is good to a millimetre, teeth are not.
    """
    if not looks:
        return None
    colour, known = [], []
    full = max(float(each.weight.max()) for each in looks)  # of a texel that one frame shows best
    for number in (UPPER, LOWER, BACK):
        mean, total = _average(
            [each.colour[number] for each in looks], [each.weight[number] for each in looks]
        )
        colour.append(_calm(mean, total) if number == BACK else mean)
        known.append(np.clip(total / (_SURE * full), 0, 1))
    smooth = [cv2.GaussianBlur(each, (0, 0), 1.5) * each for each in known]
    return MouthMemory(np.stack(colour), np.stack(smooth).astype(np.float32))


def _calm(colour: Array, weight: Array) -> Array:
    """(H, W, 3) the dark without seams: pieces of it were seen at different depths."""
    weight = weight + 1e-4
    total = cv2.GaussianBlur(colour * weight[..., None], (0, 0), _CALM_PX)
    return np.asarray(total / cv2.GaussianBlur(weight, (0, 0), _CALM_PX)[..., None], np.float32)


def skin_colour(view: View, model: ShapeModel, crop_lin: Array) -> Array | None:
    """(3,) the median linear colour of cheeks, nose and chin; None if they are not in the picture."""
    place = view.chart_deg(model)
    low = (view.parts() == SKIN) & (np.abs(place[..., 0]) < 38) & (place[..., 1] < 13) & (place[..., 1] > -38)
    colour = crop_lin[low]
    return np.maximum(np.median(colour, 0), 1e-4) if len(colour) > 200 else None


def upper_teeth(over_skin: Array, mouth: Array, px_per_cm: float) -> Array:
    """(S, S) bool: the upper teeth within a mouth (S, S) bool: what is pale from above down to a gap.

    over_skin (S, S, 3): linear light over the skin's.
    """
    rows, columns = np.flatnonzero(mouth.any(1)), np.flatnonzero(mouth.any(0))
    out = np.zeros(mouth.shape, bool)
    if not len(rows):
        return out
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = mouth[box]
    calm = np.minimum(over_skin[box], _GLARE).astype(np.float32)
    calm = cv2.GaussianBlur(calm, (0, 0), max(0.5, 0.02 * px_per_cm))
    luma, red = calm @ LUMA, np.log(np.maximum(calm[..., 0], 1e-3) / np.maximum(calm[..., 1], 1e-3))
    bright = inside & (luma > max(_BRIGHT * np.percentile(luma[inside], 92), _DARKEST / 2)) & (red < _RED)
    gap = max(1, round(_BAND_GAP_CM * px_per_cm))
    # The brightest of the next few pixels down a column: a gap is where none of them is a tooth.
    steps = range(min(gap + 1, len(bright)))  # a slit may be lower than a gap
    ahead = np.stack([np.pad(bright[k:], ((0, k), (0, 0))) for k in steps]).any(0)
    begun = np.cumsum(bright, 0) > 0
    late = np.cumsum(inside & ~begun, 0) > 3.5 * gap  # dark for so long: no upper teeth in this column
    ended = np.cumsum(begun & ~ahead, 0) > 0
    band = inside & ~ended & ~(late & ~begun)
    first_late = (late & ~begun).any(0)
    band[:, first_late] = False
    band = cv2.morphologyEx(cv2.medianBlur(band.astype(np.uint8), 5), cv2.MORPH_CLOSE, disc(gap)) > 0
    # At the corners the row is too thin for all this, and pale is enough.
    beside = cv2.dilate(band.astype(np.uint8), np.ones((3, 6 * gap + 1), np.uint8)) > 0
    out[box] = (band | (beside & bright)) & inside
    return out


def sheet_of(model: ShapeModel) -> Array:
    """(V,) which sheet a vertex belongs to; -1 for none."""
    out = np.full(len(model.parts), -1, np.int8)
    teeth = np.flatnonzero(model.parts == TEETH)
    out[teeth[: len(teeth) // 2]], out[teeth[len(teeth) // 2 :]] = UPPER, LOWER
    out[model.parts == MOUTH] = BACK
    return out


def _shown(view: View, model: ShapeModel, mouth: Array | None) -> Array:
    """(S, S) 0..1: how surely a pixel shows the mouth's inside; less and less towards the lips."""
    px = view.code.scale
    if mouth is None:
        marks = model.marks(view.code)
        if float(marks[62, 1] - marks[66, 1]) < _OPEN_CM:
            return np.zeros(view.raster.shape, np.float32)
        parts = view.parts()
        mouth = ((parts == TEETH) | (parts == MOUTH)).astype(np.float32)
        mouth = (cv2.distanceTransform(mouth.astype(np.uint8), cv2.DIST_L2, 5) > 0.06 * px) * 1.0
    deep = cv2.distanceTransform((mouth > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / px
    return np.clip(deep / _EDGE_CM, 0, 1).astype(np.float32)


def _plausible(over_skin: Array, band: Array, px_per_cm: float) -> tuple[Array, Array, Array]:
    """(S, S) bool for each sheet: pixels that may be it, by their colour."""
    luma = over_skin @ LUMA
    near = cv2.distanceTransform((~band).astype(np.uint8), cv2.DIST_L2, 5) < _EDGE_CM * px_per_cm
    safe = np.log(np.maximum(over_skin, 1e-3))
    pale = (safe[..., 0] - safe[..., 1] < _RED) & (luma > _DARKEST) & (luma < _BRIGHTEST)
    return pale & band, pale & ~band & (luma > 2 * _DARKEST), (luma < _DARK) & ~near


def _sheet_points(model: ShapeModel, values: Array) -> list[Array]:
    """(H, W, C) per sheet: vertex values (V, C) at its picture's texels; far away off the sheet."""
    sheet = sheet_of(model)
    out = []
    for number in (UPPER, LOWER, BACK):
        own = np.flatnonzero(sheet == number)
        grid = values[own].reshape(-1, _COLUMNS, values.shape[1]).astype(np.float32)
        place = _texels(model, model.neutral[own]).reshape(-1, _COLUMNS, 2)
        (left, top), (right, bottom) = place[0, 0], place[-1, -1]
        column = (np.arange(_WIDTH) - left) / (right - left) * (_COLUMNS - 1)
        row = (np.arange(_HEIGHT) - top) / (bottom - top) * (len(grid) - 1)
        x, y = np.meshgrid(column.astype(np.float32), row.astype(np.float32))
        on = (x >= 0) & (y >= 0) & (x <= _COLUMNS - 1) & (y <= len(grid) - 1)
        read = _remap(grid, x, y)
        out.append(np.where(on[..., None], read, np.float32(-1e4)))
    return out


def _texels(model: ShapeModel, place: Array) -> Array:
    """(n, 2) texel x and y of places (n, 3) on the average neutral face."""
    middle = model.landmark_modes[0, [62, 66]].mean(0)
    x = (place[:, 0] - middle[0]) * PX_PER_CM + (_WIDTH - 1) / 2
    y = (middle[1] + _TOP_CM - place[:, 1]) * PX_PER_CM
    return np.stack([x, y], 1).astype(np.float32)


def _spread(points: Array) -> Array:
    """(H, W) 0..1: pixels of the crop per texel, against a sheet seen from the front: less seen edge-on."""
    step = np.abs(np.gradient(points[..., 0], axis=1))
    usual = float(np.median(step[(points[..., 0] > -1e3)])) if (points > -1e3).any() else 1.0
    return np.where(points[..., 0] > -1e3, np.clip(step / max(usual, 1e-3), 0, 1), 0).astype(np.float32)


def _average(colours: Sequence[Array], weights: Sequence[Array]) -> tuple[Array, Array]:
    """(H, W, 3) and total weight (H, W). The first of equals is the one to lay the others on."""
    reference = int(np.argmax([float(weight.sum()) for weight in weights]))
    laid = [
        _laid_on(colours[reference], weights[reference], colour, weight)
        for colour, weight in zip(colours, weights, strict=True)
    ]
    colour = np.log(np.maximum(np.stack([each for each, _ in laid]), 1e-4))
    weight = np.stack([each for _, each in laid])
    trust = weight
    for _ in range(_ROUNDS):
        total = trust.sum(0)
        mean = (colour * trust[..., None]).sum(0) / np.maximum(total, 1e-6)[..., None]
        off = ((colour - mean) @ LUMA) / _SPREAD
        trust = weight / (1 + off * off)
    return np.exp(mean).astype(np.float32), total.astype(np.float32)


def _laid_on(reference: Array, sure: Array, colour: Array, weight: Array) -> tuple[Array, Array]:
    """Colour and weight shifted by the few texels that bring their pattern onto the reference's."""
    if (weight > 0).sum() < 50 or colour is reference:
        return colour, weight
    best, shift = np.inf, (0, 0)
    theirs, ours = _pattern(reference, sure), _pattern(colour, weight)
    for down in range(-_SEARCH_PX, _SEARCH_PX + 1):
        for right in range(-_SEARCH_PX, _SEARCH_PX + 1):
            both = _shifted(weight, (down, right)) * sure
            if both.sum() < 0.3 * min((weight * weight).sum(), (sure * sure).sum()):
                continue
            miss = float((both * (_shifted(ours, (down, right)) - theirs) ** 2).sum() / both.sum())
            miss *= 1 + 0.01 * (down * down + right * right)  # of equals, the fit's own place
            if miss < best:
                best, shift = miss, (down, right)
    return _shifted(colour, shift), _shifted(weight, shift)


def _pattern(colour: Array, weight: Array) -> Array:
    """(H, W) log brightness without its slow parts."""
    luma = np.log(np.maximum(colour @ LUMA, 1e-3)).astype(np.float32)
    seen = (weight > 0).astype(np.float32) + 1e-4
    slow = cv2.GaussianBlur(luma * seen, (0, 0), 8) / cv2.GaussianBlur(seen, (0, 0), 8)
    return (luma - slow) * (weight > 0)


def _shifted(image: Array, shift: tuple[int, int]) -> Array:
    """The image moved down and right, with zeros where it came from."""
    down, right = shift
    out = np.zeros_like(image)
    height, width = image.shape[:2]
    to = np.s_[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
    of = np.s_[max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)]
    out[to] = image[of]
    return out


def _remap(image: Array, x: Array, y: Array) -> Array:
    return cv2.remap(
        image.astype(np.float32, copy=False), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).reshape(*x.shape, image.shape[-1])
