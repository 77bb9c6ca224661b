"""What happens between the lips: which of it the plate shows, how that moves, and a picture of the rest.

Teeth are rigid: what the plate shows of the upper ones stays with the skull, the rest goes with the jaw, and
lips slide over both. What no pixel of the plate shows is taken from the shot's memory, or painted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stit_vfx.shape.chart import HOLES, LIPS
from stit_vfx.shape.disc import disc
from stit_vfx.shape.fill import fill
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.lip_edges import carried, open_edges
from stit_vfx.shape.lips import Edges, parted
from stit_vfx.shape.model import EYE, MOUTH, SKIN, TEETH, ShapeModel
from stit_vfx.shape.mouth import paint
from stit_vfx.shape.mouth_memory import BACK, LOWER, UPPER, MouthMemory, sheet_of, skin_colour
from stit_vfx.shape.parts import Parts
from stit_vfx.shape.ramp import ramp, smoothstep
from stit_vfx.shape.raster import Raster, rasterise
from stit_vfx.shape.teeth import kept, row_end

if TYPE_CHECKING:
    from stit_vfx.shape.flow import View

Array = np.ndarray

_SLIT_CM = 0.30  # lips no further apart than this touch, but for a glint of teeth
_SEEN_SLIT_CM, _TOUCH_CM = 0.22, 0.12  # where the plate shows it; so near each other they do in any case
_OPENED_CM = 0.12
_AROUND_DEG = 24.0  # of the chart: from the nose to the chin
_PROFILE = (0.35, 0.75)  # sines of 20 and 49 degrees
_LIP_CM = 0.06  # the fitted lip line is this uncertain: so close to it the plate may show lip
_RIM_CM, _RIM = (0.02, 0.05, 0.08, 0.11, 0.14), 0.5  # outside a lip's edge; how dark it is there
# Lips were, and are, so far from each other; the line between them has less of a rim by so much.
_APART_CM, _MEETING_CM, _THIN = (0.30, 0.45), (0.08, 0.30), 0.7
# Light of that line over the lips' own, which it has come through; it is so narrow; lips come so much nearer.
_LINE, _LINE_CM, _NEARER = np.array([0.25, 0.19, 0.18], np.float32), (0.08, 0.20), (0.2, 0.5)
_GLARE = 1.6  # times the skin's light
_REDDENS = (0.05, 0.35)  # log of red over green against the skin's: a tooth's, a gum's
_GLINT_CM, _SHINES, _LONG = 0.18, 1.15, 0.4  # half a lip line's width; times its surroundings; of its length
_PALE = -0.12  # log of red over green against the skin's: lips are redder, teeth are not
_TIP_CM, _SCRAP_CM, _TOOTH_CM = 0.15, 0.10, 0.30
_ASIDE_CM = 2.0  # from the middle of the jaws: beyond is the inside of a cheek
_ROW = 0.3  # of the upper teeth between the lips: the plate shows a row of them
# A mouth that grows by less is stretched, by this much more not at all; an open one may grow further.
_STRETCH, _OPEN_STRETCH = (1.45, 0.35), 0.8
_FEWEST, _GLINT_GAIN = 20, 2.5
_SCLERA = np.array([0.68, 0.64, 0.62])  # reflectance; lids take a good third of the light away
_SHADED = 0.62
_SKIN_LUMA = 0.36  # reflectance of average skin
_DARKER, _LIGHTER = 0.70, 2.2  # how far eyes may correct the light that skin tells
_DARK_GAIN = 2.0  # pieces of the dark that the plate shows were lit by where they are
_SHADED_OWN = 0.2  # what other frames show is shaded already
_UNDER_LIP, _OVER_LIP = (0.58, 0.42), (0.70, 0.25)  # light left right at the lips, and how far they shade, cm


@dataclass(frozen=True)
class Between:
    """The mouth's inside after the edit, (S, S) each: `inside` bool, `shown` bool where the plate shows it,
    `upper` bool where upper teeth are, shown or in the lips' shade, `revealed` 0..1 where it does not; `flow`
    (S, S, 2) of all. `closing` 0..1: whether these are lips that come together.
    """

    inside: Array
    shown: Array
    upper: Array
    revealed: Array
    flow: Array
    closing: float = 0.0


def between_lips(
    model: ShapeModel,
    before: View,
    after: View,
    *,
    flow: Array,
    exact: Array,
    visible: Array,
    crop_lin: Array,
    seen: Parts | None,
    touch: float,
) -> Between:
    """How the mouth's inside moves.

    flow   (S, S, 2) of skin and eyes; exact (S, S, 2) of every surface; visible (S, S) bool
    seen   what the crop shows, where that is known; else the fit is believed
    touch  0..1, whether the lips touch there but for a glint of teeth, as `lips.lips_touch` has it
    """
    px = after.code.scale
    edges, fitted = (Edges.of(model, view.code) for view in (before, after))
    sides = _lip_flows(model, after, exact, visible)
    old = open_edges(model, before.code, crop_lin, None if seen is None else seen.of("mouth"))
    if edges.gap < _TOUCH_CM * px or max(edges.gap / _SLIT_CM, old.gap / _SEEN_SLIT_CM) < px:
        return _between_closed(edges, fitted, flow, sides, px)
    new = carried(old, edges, fitted)
    together = touch * (1 - _opened(edges, fitted, px))
    still = parted(edges, fitted, flow, sides)[1] if together > 0 else flow
    within, flow = parted(old, new, flow, sides)
    inside = within > 0.5
    if not inside.any():
        flow = flow + np.float32(together) * (still - flow)
        return Between(inside, inside, inside, np.zeros(inside.shape, np.float32), flow)
    row = row_end(_pale_light(model, before, crop_lin), old, px)
    teeth = kept(old, new, _skull_flow(model, before, after), row, px)
    flow = np.where(inside[..., None], teeth.flow, flow)
    rim = _rim(new, within, px)
    apart = float(ramp(old.gap / px, *_APART_CM))
    closing = apart * float(ramp(1 - new.gap / old.gap, *_NEARER))
    met = apart * float(1 - ramp(new.gap / px, *_MEETING_CM))
    rim = rim - _THIN * met * (rim - within)  # the line between lips that come together is a thin one
    rim = rim * (1 - together)
    flow = flow + together * (still - flow)
    shown = inside & (teeth.unseen < 0.5)
    return Between(inside, shown, inside & teeth.upper, rim * teeth.unseen, flow.astype(np.float32), closing)


def _rim(edges: Edges, within: Array, px_per_cm: float) -> Array:
    """(S, S) 0..1: what is `within` the lips, and softly beyond it: at their very edges lips are in the shade
    of what is behind them, and pixels of the plate show some of it.
    """
    y, x = np.mgrid[: len(within), : within.shape[1]]
    steps = (edges.within(x, y, wider_px=cm * px_per_cm) for cm in _RIM_CM)
    return np.asarray(np.maximum(within, _RIM * sum(steps) / len(_RIM_CM)))


def _pale_light(model: ShapeModel, before: View, crop_lin: Array) -> Array:
    """(S, S) the light of what is not red, as gums and tongues are, over the skin's. Glare has no colour."""
    skin = skin_colour(before, model, crop_lin)
    skin = np.ones(3, np.float32) if skin is None else skin
    over_skin = np.maximum(np.minimum(crop_lin, _GLARE * float(skin @ LUMA)) / skin, 1e-3)
    red = np.log(over_skin[..., 0] / over_skin[..., 1])
    return np.asarray((over_skin @ LUMA) * (1 - ramp(red, *_REDDENS)), np.float32)


def _between_closed(
    edges: Edges, new: Edges, flow: Array, sides: tuple[Array, Array], px_per_cm: float
) -> Between:
    """The same where lips meet in the plate: they part along their own edges."""
    between, flow = parted(edges, new, flow, sides)
    nowhere = np.zeros(between.shape, bool)
    revealed = _opened(edges, new, px_per_cm) * _rim(new, between, px_per_cm)
    return Between(between > 0.5, nowhere, nowhere, revealed, flow)


def _opened(edges: Edges, new: Edges, px_per_cm: float) -> float:
    """0..1: whether lips part by so much that there is something new between them; less is what the plate
    shows, stretched.
    """
    return float(smoothstep((new.gap - edges.gap) / (_OPENED_CM * px_per_cm)))


def mouth_picture(
    model: ShapeModel,
    before: View,
    after: View,
    between: Between,
    *,
    warped_lin: Array,
    crop_lin: Array,
    skin_luma: float,
    seen: Parts | None,
    memory: MouthMemory | None,
) -> tuple[Array, Array]:
    """(S, S, 3) linear light of the mouth's inside, and how far it is the actor's own (S, S) 0..1."""
    px = after.code.scale
    raster = _without_lips(model, after)
    fitted = model.parts[raster.corners[:, 0]]
    skin = skin_colour(before, model, crop_lin)
    light = _light(before, crop_lin, skin, skin_luma, seen)
    own, known = np.zeros((len(fitted), 3), np.float32), np.zeros(len(fitted), np.float32)
    if memory is not None and skin is not None:
        own, known = memory.read(model, raster)
        own = own * skin
    hidden = _hidden(model, raster, between, known)
    part = np.where(hidden, MOUTH, fitted)
    painted = np.where(
        hidden[:, None],
        _behind_teeth(model, after, raster, light),
        paint(model, raster, part, light=light, aside=_aside(after)),
    )
    shade = raster.read_image(_lip_shadow(between.inside, px))[:, None]
    if skin is not None and not between.shown.any():
        glint = crop_lin[_glint(model, before, crop_lin / skin)]
        painted = _as_glinting(painted, shade, part == TEETH, glint)
    shown, here = raster.read_image(between.shown), raster.read_image(warped_lin) / shade
    no_tooth = shown & ~raster.read_image(_grown(between.upper, _TIP_CM * px))
    for each, seen_here, most in ((TEETH, shown, 4.0), (MOUTH, no_tooth, _DARK_GAIN)):
        this = part == each
        remembered = this & (known > 0.5)
        real = (own, remembered) if remembered.any() else (here, this & seen_here)
        painted = np.where(this[:, None], _matched(painted, *real, most=most), painted)
    mixed = painted * shade + known[:, None] * (own * shade**_SHADED_OWN - painted * shade)
    drawn = raster.image(mixed.astype(np.float32))
    aside = np.abs(raster.read(model.neutral)[:, 0]) > _ASIDE_CM
    dark = raster.image(((part == MOUTH) & aside).astype(np.float32)) > 0.5
    if dark.any():  # beyond the teeth and what is behind them goes on what is dark there
        drawn = np.where(raster.mask[..., None], drawn, fill(drawn, dark))
    return _as_line(drawn, warped_lin, between, px), raster.image(known)


def _as_line(drawn: Array, warped_lin: Array, between: Between, px_per_cm: float) -> Array:
    """The mouth's inside (S, S, 3), not darker than the line between lips that meet, where they do."""
    if between.closing == 0:
        return drawn
    narrow = np.where(between.inside, 1 - ramp(between.inside.sum(0) / px_per_cm, *_LINE_CM), 1.0)
    lips = fill(warped_lin, ~_grown(between.inside, _LIP_CM * px_per_cm))
    line = (between.closing * narrow)[..., None].astype(np.float32) * _LINE * lips
    return np.asarray(np.maximum(drawn, line), drawn.dtype)


def _without_lips(model: ShapeModel, view: View) -> Raster:
    """The mouth's inside alone: where the plate's lips part otherwise than the fitted ones, it shows too."""
    inner = model.triangles[sheet_of(model)[model.triangles[:, 0]] >= 0]
    return rasterise(view.points, inner, view.raster.shape)


def _behind_teeth(model: ShapeModel, view: View, raster: Raster, light: Array) -> Array:
    """(n, 3) what a raster's pixels would show if there were no teeth."""
    inner = model.triangles[sheet_of(model)[model.triangles[:, 0]] == BACK]
    back = rasterise(view.points, inner, view.raster.shape)
    picture = back.image(
        paint(model, back, np.full(len(back.pixels), MOUTH), light=light, aside=_aside(view))
    )
    return np.asarray(raster.read_image(fill(picture, back.mask)))


def _hidden(model: ShapeModel, raster: Raster, between: Between, known: Array) -> Array:
    """(n,) bool: teeth of the shape that are better left out of a picture.

    Lower ones that no frame shows; and upper ones beside those that the plate shows.
    """
    sheet = sheet_of(model)[raster.corners[:, 0]]
    out = (sheet == LOWER) & (known < 0.5)
    upper = raster.image((sheet == UPPER).astype(np.float32)) > 0.5
    if between.upper.sum() > _ROW * max(int((upper & between.inside).sum()), 1):
        out |= (sheet == UPPER) & (known < 0.5)
    return out


def _lip_flows(model: ShapeModel, after: View, exact: Array, visible: Array) -> tuple[Array, Array]:
    """(S, S, 2) twice: the flow of the skin above the mouth, and of that below, continued beyond it."""
    skin = (after.parts() == SKIN) & visible
    height = after.chart_deg(model)[..., 1]
    lips = next(hole for hole in HOLES if hole.name == LIPS).centre[1]
    near = skin & (np.abs(height - lips) < _AROUND_DEG)
    return fill(exact, near & (height > lips)), fill(exact, near & (height < lips))


def _glint(model: ShapeModel, before: View, over_skin: Array) -> Array:
    """(S, S) bool: teeth between lips that hardly part: a long pale streak along the fitted lip line."""
    px = before.code.scale
    line = np.rint(before.code.project(model.marks(before.code))[60:68, :2]).astype(np.int32)
    along = np.zeros(over_skin.shape[:2], np.uint8)
    cv2.polylines(along, [line], True, 1, max(1, round(2 * _GLINT_CM * px)))
    safe, luma = np.log(np.maximum(over_skin, 1e-3)), (over_skin @ LUMA).astype(np.float32)
    around = cv2.GaussianBlur(luma, (0, 0), _GLINT_CM * px)
    pale = (along > 0) & (safe[..., 0] - safe[..., 1] < _PALE) & (luma > _SHINES * around)
    joined = _closed(pale, _SCRAP_CM * px).astype(np.uint8)
    _, label, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    long = stats[:, cv2.CC_STAT_WIDTH] > _LONG * np.ptp(line[:, 0])
    long[0] = False
    return _grown(long[label], 2 * _LIP_CM * px)


def _skull_flow(model: ShapeModel, before: View, after: View) -> Array:
    """(S, S, 2) the flow of the upper teeth, which are rigid, continued around them."""
    upper = sheet_of(model) == UPPER
    here, moved = after.points[upper, :2], (before.points - after.points)[upper, :2]
    size, middle = after.raster.shape[0], here.mean(0)

    def terms(x: Array, y: Array) -> Array:
        x, y = (x - middle[0]) / size, (y - middle[1]) / size
        return np.stack([np.ones_like(x), x, y, x * x], -1)  # an arch is deeper at its sides

    amounts = np.linalg.lstsq(terms(*here.T.astype(np.float64)), moved.astype(np.float64), rcond=None)[0]
    y, x = np.mgrid[:size, :size].astype(np.float64)
    return np.asarray(terms(x, y) @ amounts)


def _light(before: View, crop_lin: Array, skin: Array | None, skin_luma: float, seen: Parts | None) -> Array:
    """(3,) what a white surface before the face would have, from the skin and the whites of the eyes."""
    level = skin_luma / _SKIN_LUMA
    eye = (before.parts() == EYE) if seen is None else (seen.of("eye") > 0.7)
    luma = crop_lin @ LUMA
    if skin is None or eye.sum() < 40:
        return np.full(3, min(level, 4.0))
    white = eye & (luma > np.percentile(luma[eye], 75)) & (luma < np.percentile(luma[eye], 96))
    seen_white = np.maximum(np.median(crop_lin[white], 0), 1e-4) if white.any() else _SCLERA * level
    by_eye = float(seen_white @ LUMA) / (_SHADED * float(_SCLERA @ LUMA))
    level *= float(np.clip(np.sqrt(by_eye / level), _DARKER, _LIGHTER))
    tint = np.sqrt(np.clip(seen_white / _SCLERA / (by_eye * _SHADED), 0.6, 1.6))
    return level * tint / float(tint @ LUMA)


def _matched(painted: Array, own: Array, both: Array, *, most: float) -> Array:
    """Painted pixels (n, 3) in the brightness and tint of the actor's own, where enough are known."""
    if both.sum() < 30:
        return painted
    gain = np.median(own[both], 0) / np.maximum(np.median(painted[both], 0), 1e-4)
    return (painted * np.clip(gain, 1 / most, most)).astype(np.float32)


def _as_glinting(painted: Array, shade: Array, teeth: Array, glint: Array) -> Array:
    """Painted pixels (n, 3), `teeth` (n,) of them in the colour, in the shade (n, 1) of parting lips,
    of what glints between them in the plate, (m, 3).
    """
    if teeth.sum() < _FEWEST or len(glint) < _FEWEST:
        return painted
    ours, theirs = (
        each[each @ LUMA >= np.percentile(each @ LUMA, 85)].mean(0)
        for each in ((painted * shade)[teeth], glint)
    )
    gain = np.clip(theirs / np.maximum(ours, 1e-4), 1, _GLINT_GAIN).astype(np.float32)
    return np.where(teeth[:, None], painted * gain, painted)


def _aside(view: View) -> float:
    """-1..1: from which side a camera looks into a mouth; 0 up to a half profile."""
    sine = float(view.code.rotation[2, 0])
    return float(np.sign(sine) * ramp(abs(sine), *_PROFILE) * abs(sine))


def _lip_shadow(inside: Array, px_per_cm: float) -> Array:
    """(S, S): the light that lips leave to what lies behind them; the upper one shades more."""
    down, up = np.cumsum(inside, 0), np.cumsum(inside[::-1], 0)[::-1]
    out = np.ones(inside.shape)
    for deep, (least, reach_cm) in ((down, _UNDER_LIP), (up, _OVER_LIP)):
        out *= least + (1 - least) * smoothstep(deep / px_per_cm / reach_cm)
    around = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) / px_per_cm
    out *= 0.7 + 0.3 * smoothstep(around / 0.12)
    weight = inside.astype(np.float32) + 1e-4
    sigma = max(0.6, 0.06 * px_per_cm)
    return cv2.GaussianBlur(out * weight, (0, 0), sigma) / cv2.GaussianBlur(weight, (0, 0), sigma)


def _grown(mask: Array, by_px: float) -> Array:
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3) <= by_px


def _closed(mask: Array, by_px: float) -> Array:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, disc(by_px)).astype(bool)
