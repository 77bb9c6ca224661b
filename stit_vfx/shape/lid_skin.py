"""The skin of a closing lid, which the plate hides in a fold: light from the skin around the eye, round under
the shot's own light and as dark at its border as what it meets there, grain from the skin below it, and a
dark line of lashes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from stit_vfx.plate.colour import shoulder_decode, shoulder_encode
from stit_vfx.shape.disc import disc
from stit_vfx.shape.fill import fill
from stit_vfx.shape.grain import blur_px
from stit_vfx.shape.lids import Lids
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.ramp import ramp, smoothstep
from stit_vfx.shape.relief import around_eyes
from stit_vfx.shape.shading import Surface, light_and_luma, plate_skin

Array = np.ndarray

_GAMMA = 2.2
_RANGE = (1e-3, 1.2)  # linear light of skin: beyond it there are highlights, which no lid takes over
_GRAIN_CM = 0.06  # what is finer is grain
_MOST_GRAIN = 2.2  # of its median: more is a wrinkle, a mole, or a rim of glasses
_UNFOLDS_CM, _UNFOLDED_CM = 0.07, 0.10  # how soft unfolded skin's edge is, and its light
_FOREHEAD_CM = 2.2  # above a brow there is skin again
_UNFOLDED_SHADE, _UNFOLDED_HUNG = (
    0.28,
    0.5,
)  # share of the socket's shadow that it has; under a brow that hung
_BARE, _OFF_HAIR_CM = (0.6, 0.95), 0.1  # skin without a hair in it, nor so near to any
_DEEPEST_CODE, _LEAST_CODE = 0.5, 0.02
_SHADOW = -1.4  # of log light against the usual skin: darker is shadow or hair
_SHADE_CM = 0.16  # the shadow that the plate has in its socket, as soft as this
_ARCH = 1.1  # half a lid's top, in half eyes
_HUNG = (0.9, 0.9)  # log light lost under a brow that hangs over the fold; how far down the lid that goes
_CALM_CM, _JOINED_CM, _ROUNDS = 0.10, 0.18, 12  # light without grain; how skin is continued under an eye
_BRIGHTER = (6.0, 0.22)  # how much more brighter skin counts around a lid; over how much of it
_BURNS = (0.6, 1.0)  # a channel of linear light: it burns out, and says nothing about tint
_AROUND_CM, _BESIDE_CM, _DARKER = 0.35, 0.3, (0.10, 0.3)  # folds and lashes beside an eye, by log light
_TINT = np.array([0.93, 0.91, 0.905], np.float32)  # thin skin: a little darker and redder than around it
# A lid is round: how much its normal tilts up at its top and out to its sides, and how far down it looks
# ahead; how much of the light's answer it takes, within what log light; so much less under a hanging brow.
_ROUND, _ANSWERS, _ANSWER, _HUNG_ANSWERS = (0.9, 0.5, 0.5), 0.8, (-0.2, 0.15), 0.6
# What a lid lacks at its border: how wide that is, where above the rim, within what log light and tint; how
# far it reaches into the lid, and how soon it fades. A hung lid as dark as its brow looks open to dlib.
_BORDER_CM, _ABOVE_RIM_CM, _JOINS, _JOINS_TINT = 0.15, (0.03, 0.12), (-1.6, 0.3), 0.05
_JOINS_CM, _FADES, _HUNG_JOINS = 0.16, 0.04, 0.6
_CREASE = (0.10, 0.14, 0.07)  # log light lost in the fold's crease, how far down the lid, half its width
_BULGE = 0.05  # log light gained where the eyeball stands out
_UNDER = (0.30, 0.45)  # log light lost at the rim, which turns down; from so far down
# Lashes: log light lost, half width of their line at the corners and in the middle; how far hairs reach below
# it, and how dense they are. On closed eyes lashes lie over each other: thinner lines look like a slit, and
# by fainter ones dlib does not tell that eyes are closed.
_LASH, _LASH_CM, _BELOW_CM, _FRINGE = 2.5, (0.07, 0.085), 0.19, 0.65
_THICKENS = 1.2  # half eyes from the inner corner on until their line is at its thickest
_FAN = 0.8  # per centimetre: so much further apart are lashes at their tips
_ASIDE, _HALF_CM = 0.05, 1.4  # log light lost where the eyeball turns away to the sides, half its width
_HAIRS = 7
_SEEN_CM = 0.12
_LASH_SHUT = (0.05, 0.35)  # share closed from which on lashes are drawn, and drawn in full


@dataclass(frozen=True)
class ClosingLids:
    """`cover` (S, S) 0..1, `lin` (S, S, 3) linear light there, and `lash` (S, S) log light, 0 or less, that
    lashes take away there and around.
    """

    cover: Array
    lin: Array
    lash: Array


def closing_lids(
    lids: Lids, surface: Surface, eyeball: Array, shown: Array, crop_lin: Array, moved_lin: Array
) -> ClosingLids:
    """Lids over a crop (S, S, 3) linear light. `eyeball` (S, S) bool: seen after the edit; `shown` (S, S)
    0..1: skin of the plate; `moved_lin` (S, S, 3): the crop as it lies around the lids after the edit.
    """
    if not (lids.cover.any() or lids.unfolded.any()):
        return ClosingLids(lids.cover, crop_lin, np.zeros_like(lids.cover))
    px_per_cm = surface.px_per_cm
    near = (eyeball | around_eyes(surface.place_px)).astype(np.float32)
    # No lid shows through a nose.
    near = smoothstep(2 * cv2.GaussianBlur(near, (0, 0), _SEEN_CM * px_per_cm) - 0.4)
    bare = bare_skin(crop_lin, shown * plate_skin(surface, crop_lin), shown)
    soft_px = blur_px(np.clip(crop_lin, 0, 1) ** (1 / 2.2), shown > 0.5)
    lash = near * lash_light(lids, px_per_cm=px_per_cm, soft_px=soft_px)
    lin = _between_tints(lid_skin, lids, crop_lin, bare, px_per_cm, burns=_BURNS)
    above = _between_tints(unfolded_skin, lids, crop_lin, bare, px_per_cm)
    lin = lin * np.exp(_answer(lids, surface, crop_lin))[..., None]
    lin = lin * np.exp(lid_at_border(lids, lin, moved_lin, px_per_cm))
    unfolded = cv2.GaussianBlur(lids.unfolded, (0, 0), max(0.6, _UNFOLDS_CM * px_per_cm))
    own = np.where(unfolded > 0, lids.cover / np.maximum(lids.cover + unfolded * (1 - lids.cover), 1e-6), 1)
    lin = (above + own[..., None] * (lin - above)) * np.exp(lash)[..., None]
    cover = np.maximum(lids.cover, unfolded) * near
    return ClosingLids(cover.astype(np.float32), lin.astype(np.float32), lash.astype(np.float32))


def _answer(lids: Lids, surface: Surface, crop_lin: Array) -> Array:
    """(S, S) log light: the shot's own light on a lid that is round over its eyeball."""
    if not lids.cover.any():
        return np.zeros_like(lids.cover)
    light, _ = light_and_luma(surface, crop_lin)
    up, across, middle = _ROUND
    below = _below_arch(lids)
    tilt = np.stack([across * lids.along_cm / _HALF_CM, up * (middle - below), 0 * below], -1)
    tilted = surface.normal + np.clip(tilt, -1, 1)
    tilted /= np.maximum(np.linalg.norm(tilted, axis=2, keepdims=True), 1e-6)
    answer = np.log(light.shade(tilted) / light.shade(surface.normal))
    answer = np.clip(_ANSWERS * answer, *_ANSWER) * smoothstep(below / 0.3)
    return np.asarray(answer * (1 - _HUNG_ANSWERS * lids.hung), np.float32)


def lid_at_border(lids: Lids, lin: Array, moved_lin: Array, px_per_cm: float) -> Array:
    """(S, S, 3) log light that a lid (S, S, 3) lacks at its border against what lies beside and above it
    (S, S, 3), less and less towards its middle.
    """
    cover = lids.cover
    near = cv2.dilate((cover > 0.5).astype(np.uint8), disc(_BORDER_CM * px_per_cm))
    border = near * (1 - smoothstep(cover / 0.3)) * ramp(-lids.rim_cm, *_ABOVE_RIM_CM).astype(np.float32)
    lacks = np.log(np.clip(moved_lin, *_RANGE)) - np.log(np.clip(lin, *_RANGE))
    lacks = _mean_within(lacks.astype(np.float32), border, _CALM_CM * px_per_cm)
    sigma = max(1.0, _JOINS_CM * px_per_cm)
    luma = (lacks @ LUMA)[..., None]
    lacks = np.clip(luma, *_JOINS) + np.clip(lacks - luma, -_JOINS_TINT, _JOINS_TINT)
    total = cv2.GaussianBlur(lacks * border[..., None], (0, 0), sigma)
    share = (1 - _HUNG_JOINS * lids.hung) / (cv2.GaussianBlur(border, (0, 0), sigma) + _FADES)
    return np.asarray(total * share[..., None], np.float32)


def _between_tints(
    make: Callable[..., Array],
    lids: Lids,
    lin: Array,
    bare: Array,
    px_per_cm: float,
    *,
    burns: tuple[float, float] | None = None,
) -> Array:
    """(S, S, 3) linear light: skin made of a crop's light, and of its code, halfway between the two; of its
    code alone where the light `burns` out.

    What all but burns out has lost its tint in code, and in light has far too much of it to be continued into
    the shade.
    """
    code = (np.maximum(shoulder_encode(lin), 0) ** _GAMMA).astype(np.float32)
    by_light = make(lids, lin, bare, px_per_cm=px_per_cm)
    by_code = shoulder_decode(make(lids, code, bare, px_per_cm=px_per_cm) ** (1 / _GAMMA))
    if burns is None:
        return np.sqrt(np.maximum(by_light, 0) * np.maximum(by_code, 0))
    share = 0.5 * (1 - ramp(by_light.max(2, keepdims=True), *burns))
    return np.asarray(np.maximum(by_light, 0) ** share * np.maximum(by_code, 0) ** (1 - share))


def bare_skin(crop_lin: Array, likely: Array, shown: Array) -> Array:
    """(S, S) 0..1: skin in any light but a deep shadow. `likely` (S, S): looks like the cheeks; `shown`
    (S, S): is said to be skin, where brows and lashes may be among it.
    """
    luma = np.log(np.clip(crop_lin, *_RANGE) @ LUMA)
    if not (likely > 0.5).any():
        return shown.astype(np.float32)
    usual = float(np.median(luma[likely > 0.5]))
    return np.asarray(shown * smoothstep((luma - usual - _SHADOW) / 0.4) * (0.5 + 0.5 * likely), np.float32)


def lid_skin(lids: Lids, crop_lin: Array, bare: Array, *, px_per_cm: float) -> Array:
    """(S, S, 3) linear light: closing lids where `lids.cover` is.

    crop_lin (S, S, 3); bare (S, S) 0..1: firmly skin in the plate, and nothing else.
    """
    log = np.log(np.clip(crop_lin, *_RANGE)).astype(np.float32)
    known = (smoothstep((bare - 0.1) / 0.4) * ~lids.eyes).astype(np.float32)
    if not known.any():
        return crop_lin
    known = known * (1 - _lines(log @ LUMA, known, lids.eyes, px_per_cm))
    light = _membrane(log, known, px_per_cm)
    deep, down = _HUNG
    light = light - (deep * lids.hung * (1 - smoothstep(_below_arch(lids) / down)))[..., None]
    grain = _taken(_grain(log, known, _GRAIN_CM * px_per_cm), lids.flow)
    below = _below_arch(lids)
    tint = np.log(_TINT) * smoothstep(below / 0.6)[..., None]
    aside = _ASIDE * np.clip(lids.along_cm / _HALF_CM, -1, 1) ** 2
    form = _form(below, 1 - lids.hung) - aside * smoothstep(below / 0.5)
    return np.exp(light + tint + form[..., None] + grain).astype(np.float32)


def _below_arch(lids: Lids) -> Array:
    """(S, S) 0..1: how far down a lid a point is, where its top is an arch between the corners."""
    arch = np.sqrt(np.clip(1 - (lids.outer / _ARCH) ** 2, 0.01, 1))
    return np.asarray(np.clip(1 - (1 - lids.down) / arch, 0, 1))


def _membrane(log: Array, known: Array, px_per_cm: float) -> Array:
    """(S, S, 3): what is known, without its grain, and between it what joins it on all sides."""
    luma = log @ LUMA
    usual = _mean_within(luma[..., None], known, _AROUND_CM * px_per_cm)[..., 0]
    sharp, wide = _BRIGHTER
    bright = known * np.exp(sharp * np.clip(luma - usual, -0.5, 0.5))  # less of creases, of lashes' shadow
    base = _mean_within(log, bright.astype(np.float32), wide * px_per_cm)
    light, sigma = fill(base, known), max(1.0, _JOINED_CM * px_per_cm)
    for _ in range(_ROUNDS):
        light = light + (1 - known[..., None]) * (cv2.GaussianBlur(light, (0, 0), sigma) - light)
    return np.asarray(light + known[..., None] * (base - light))


def _lines(luma: Array, known: Array, eyes: Array, px_per_cm: float) -> Array:
    """(S, S) 0..1: what is darker than the skin around it beside the eye: folds, and lashes' ends."""
    around = _mean_within(luma[..., None], known, _AROUND_CM * px_per_cm)[..., 0]
    beside = cv2.dilate(eyes.astype(np.uint8), disc(_BESIDE_CM * px_per_cm))
    low, high = _DARKER
    return np.asarray(beside * ramp(around - luma, low, high), np.float32)


def unfolded_skin(lids: Lids, crop_lin: Array, bare: Array, *, px_per_cm: float) -> Array:
    """(S, S, 3) linear light: the skin between a lid and its risen brow where `lids.unfolded` is.

    The light is that of the skin that is drawn out, without the hair in it; the grain is that of other skin.
    Reckoned in code: a channel that a camera clipped would stand out as soon as the others are shaded.
    """
    log = np.log(np.maximum(shoulder_encode(crop_lin), _LEAST_CODE)).astype(np.float32)
    known = (smoothstep((bare - 0.1) / 0.4) * ~lids.eyes).astype(np.float32)
    if not known.any():
        return crop_lin
    away = 2 * max(1, round(_OFF_HAIR_CM * px_per_cm)) + 1
    sure = cv2.erode(ramp(bare, *_BARE) * known, np.ones((away, away), np.uint8)) + 1e-4
    light = _mean_within(fill(log, sure), sure + 0.05, _UNFOLDED_CM * px_per_cm)
    socket = cv2.GaussianBlur(fill(log, ~lids.eyes), (0, 0), max(1.0, _SHADE_CM * px_per_cm))
    shade = _UNFOLDED_SHADE + (_UNFOLDED_HUNG - _UNFOLDED_SHADE) * lids.hung
    light = light + (shade * np.clip((socket - light) @ LUMA, -_DEEPEST_CODE, 0))[..., None]
    light = cv2.GaussianBlur(_taken(light, lids.flow), (0, 0), max(0.8, _UNFOLDED_CM * px_per_cm))
    fine, forehead = (
        _grain(log, known, _GRAIN_CM * px_per_cm),
        np.array([0, -_FOREHEAD_CM * px_per_cm], np.float32),
    )
    hidden = 1 - _taken(known, lids.lent)[..., None]  # behind glasses there is none to lend below the eye
    grain = _taken(fine, lids.lent) + hidden * _taken(fine, np.broadcast_to(forehead, lids.flow.shape))
    return shoulder_decode(np.exp(np.minimum(light + grain, log.max()))).astype(np.float32)


def _grain(log: Array, known: Array, sigma: float) -> Array:
    """(S, S, 3) log light of what is finer than `sigma` px in skin, and 0 where there is none."""
    grain = log - _mean_within(log, known, sigma)
    most = _MOST_GRAIN * float(np.median(np.abs(grain[known > 0.9]))) if (known > 0.9).any() else 0.0
    return np.asarray(np.clip(grain, -most, most) * known[..., None])


def lash_light(lids: Lids, *, px_per_cm: float, soft_px: float) -> Array:
    """(S, S) log light, 0 or less, that lashes of closing lids take away: a line that is finest at the inner
    corner, just above the rim, and single hairs that fan out below it.
    """
    fine, full = _LASH_CM
    thick = lids.lashes * smoothstep((lids.outer + 1.2) / _THICKENS)
    width = np.maximum(fine + (full - fine) * thick, 0.8 * soft_px / px_per_cm)
    drawn = np.exp(-0.5 * ((lids.rim_cm + 0.6 * width) / width) ** 2)
    strength = _LASH * full / width * (0.6 + 0.4 * full / width)
    hairs = _hairs(lids.along_cm / (1 + _FAN * np.clip(lids.rim_cm, 0, None)))
    below = np.where(lids.rim_cm > 0, np.exp(-lids.rim_cm / (_BELOW_CM * (0.5 + hairs))), 0) * (
        0.4 + 1.2 * hairs
    )
    low, high = _LASH_SHUT
    share = np.clip((lids.shut - low) / (high - low), 0, 1) * lids.lashes
    return np.asarray(-share * (np.minimum(strength, _LASH) * drawn + _FRINGE * below), np.float32)


def _hairs(along_cm: Array) -> Array:
    """(S, S) 0..1: lashes, side by side, seldom alike."""
    rng = np.random.default_rng(_HAIRS)
    at = np.linspace(-2.5, 2.5, 120)
    return np.interp(along_cm, at, rng.uniform(0, 1, len(at)))


def _form(down: Array, folds: Array) -> Array:
    """(S, S) log light by how far down a lid a point is. `folds` (S, S) 0..1: how deep its crease is."""
    under, begins = _UNDER
    turned = np.clip((down - begins) / (1 - begins), 0, 1)
    deep, at, wide = _CREASE
    crease = folds * deep * np.exp(-0.5 * ((down - at) / wide) ** 2)
    bulge = _BULGE * np.exp(-0.5 * ((down - 0.5) / 0.2) ** 2)
    return np.asarray(bulge - crease - under * turned**2, np.float32)


def _mean_within(values: Array, weight: Array, sigma: float) -> Array:
    """(S, S, C): Gaussian mean over where the weight (S, S) is."""
    weight, sigma = weight + 1e-4, max(sigma, 0.8)
    total = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma)
    return np.asarray(total / cv2.GaussianBlur(weight, (0, 0), sigma)[..., None])


def _taken(picture: Array, flow: Array) -> Array:
    y, x = np.mgrid[: len(flow), : flow.shape[1]].astype(np.float32)
    return cv2.remap(
        picture,
        x + flow[..., 0].astype(np.float32),
        y + flow[..., 1].astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
