"""Hair and brows that turn grey, or that lose some of their grey.

Grey hair is a mixture: some strands are white, the others keep their colour. So the tint goes, the brightness
rises towards a grey that the light on the skin allows, and bright strands rise further than the dark between
them: the strands of the plate stay, with a little more contrast. Temples come first, brows last and least.
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.shape.light import LUMA
from stit_vfx.shape.parts import Parts
from stit_vfx.shape.ramp import ramp

Array = np.ndarray

_SKIN = 0.36  # reflectance of average skin: tells the light from the skin's brightness
_HAIR_GREY, _BROW_GREY = 0.34, 0.20  # reflectance of grey hair and of grey brows, shadows between strands in
_HAIR_MOST, _BROW_MOST = 0.80, 0.42  # of log light; noise in black hair must not be lifted into snow
_HAIR_FADES, _BROW_FADES = 0.8, 0.6  # share of the tint that goes
_STRAND = 0.1  # how much further bright strands rise; light alone sharpens them already
_LESS_GREY = 0.30  # of log light: as much as grey hair may darken
_FLOOR = 2e-3
_SURE = (0.35, 0.8)  # share of hair from which on it counts: half a hat is no hair
_BLACK = (0.004, 0.014)  # reflectance of cloth, and of hair in the shade: a black hat may be read as hair
_LIGHT = 0.35  # share of the skin's tint that is the light's: white hair in warm light is as warm
_BLURRED = (0.2, 0.5)  # of the sharpness of hair on the head: background; a bokeh has about a tenth
_DIFFERS = np.array([0.5, 0.12, 0.12])  # how far hair of one head does: log light, red and blue over green


def grey(parts: Parts, crop_lin: Array, amount: float) -> Array:
    """Log gain (S, S, 3) float32 that turns hair and brows grey; 0 everywhere at amount 0.

    crop_lin (S, S, 3) linear light, in the same place as `parts`: where a picture was moved, both are to be
    moved. amount: 1 is mostly grey, -1 takes a part of the grey out of hair that has some. It darkens such
    hair and gives no colour back: what that was, the plate does not tell. Multiply `exp` of it onto the
    light. Smooth in the mattes, so that it is as steady as they are.
    """
    brow = parts.of("brow")
    out = np.zeros((*brow.shape, 3), np.float32)
    if not amount or (parts.of("hair") + brow).sum() < 1:
        return out
    level = _level(parts, crop_lin)
    safe = np.maximum(crop_lin, _FLOOR * level).astype(np.float32)
    luma = safe @ LUMA
    hair = _hair(parts, safe, level)
    white = _greyness(safe, luma / level, hair + brow, _skin_spread(parts, safe))
    brow = brow * _darker_than_skin(luma, level)
    if amount < 0:
        less = -_LESS_GREY * min(-amount, 1.0) * (hair + 0.6 * brow) * white
        return np.asarray(out + less[..., None], np.float32)
    strands = _strands(luma, hair + brow)
    hair = hair * (1 - white)  # what is white needs no more
    early = min(amount, 1.0) ** (1.3 - 0.6 * _temples(parts))
    out += _turned(safe, luma, hair * early, strands, _HAIR_GREY * level, _HAIR_MOST, _HAIR_FADES)
    late = min(amount, 1.0) ** 1.3
    return out + _turned(safe, luma, brow * late, strands, _BROW_GREY * level, _BROW_MOST, _BROW_FADES)


def _level(parts: Parts, crop_lin: Array) -> float:
    """Brightness of white in this light, as the skin shows it. Dark skin in the same light says less, so
    that its hair is lifted less than it might be."""
    skin = parts.of("skin")
    weight = skin * (skin > 0.6)
    if weight.sum() < 20:
        return 1.0
    return max(float((crop_lin @ LUMA * weight).sum() / weight.sum()) / _SKIN, 1e-4)


def _darker_than_skin(luma: Array, level: float) -> Array:
    """(S, S) 0..1: brows let skin through, which has no strand to turn."""
    return ramp(np.log(_SKIN * level) - np.log(luma), 0.1, 0.9)


def _hair(parts: Parts, safe: Array, level: float) -> Array:
    """(S, S) 0..1: the person's own hair that light falls on.

    What is read as hair beside the head must have the colour of what grows on top of it and be as sharp.
    `shape.own_hair` has taken the backdrop out before, but for a rim beside the jaw, where beards grow: that
    moves unseen, and would grey. What is read as a hat and has both is hair, too: half a fringe may be.
    """
    hair, over = parts.of("hair"), _over(parts)
    sample = hair * over > 0.8
    if sample.sum() > 0.002 * sample.size:
        hat, sharp = parts.of("hat"), _as_sharp(np.log(safe @ LUMA), hair, sample)
        alike = _alike(_colour(safe, hair + hat), sample) * sharp
        hair = hair * (over + (1 - over) * alike) + hat * alike
    hair = ramp(hair, *_SURE)
    return np.asarray(hair * _lit(safe @ LUMA, hair, level), np.float32)


def _colour(safe: Array, where: Array) -> Array:
    """(S, S, 3) of what is around a pixel: log brightness, red over green, blue over green."""
    weight = np.clip(where, 0, 1).astype(np.float32) + 1e-3
    log = np.stack([_near(np.log(safe[..., i]), weight, 0.015 * len(safe)) for i in range(3)], -1)
    return np.stack([log @ LUMA, log[..., 0] - log[..., 1], log[..., 2] - log[..., 1]], -1)


def _alike(feature: Array, sample: Array) -> Array:
    """(S, S) 0..1: how much each pixel has the colour of the `sample`."""
    middle = np.median(feature[sample], 0)
    spread = 1.48 * np.median(np.abs(feature[sample] - middle), 0) + _DIFFERS
    off = (feature - middle) / spread
    off[..., 0] *= np.where(off[..., 0] < 0, 0.5, 1.0)  # hair in the shade of hair
    far = (off**2).sum(-1)
    return np.asarray(np.exp(-0.5 * np.maximum(far - 2.0, 0)))


def _as_sharp(log_luma: Array, hair: Array, sample: Array) -> Array:
    """(S, S) 0..1: not out of focus where the `sample` is in focus."""
    sharp = _sharpness(log_luma, hair)
    low, high = np.log(_BLURRED)
    return ramp(np.log(sharp / np.median(sharp[sample])), low, high)


def _sharpness(log_luma: Array, hair: Array) -> Array:
    """(S, S) rms of what is finer than 1.5 px of a crop of 512, over the hair around; its outline is none."""
    size, weight = len(log_luma) / 512, ramp(hair, 0.5, 0.95).astype(np.float32) + 1e-4
    fine = (log_luma - _near(log_luma, weight, max(1.5 * size, 0.7))) ** 2
    return np.sqrt(_near(fine, weight, 8 * size)) + 1e-4


def _over(parts: Parts) -> Array:
    """(S, S) 0..1: above the eyes, and no further to a side than the face is wide."""
    face = parts.of("skin", "brow", "eye", "lips")
    axis, mass = np.arange(len(face), dtype=np.float32), face.sum(0) + 1e-6
    middle = float((axis * mass).sum() / mass.sum())
    spread = float(np.sqrt(((axis - middle) ** 2 * mass).sum() / mass.sum())) + 1.0
    beside = np.abs(axis - middle) / spread  # the face's edge is at about 1.8
    return (1 - 0.5 * (1 + _temples(parts))) * ramp(-beside, -2.4, -1.9)[None]


def _lit(luma: Array, hair: Array, level: float) -> Array:
    """(S, S) 0..1: hair around here is not as black as cloth."""
    weight = hair.astype(np.float32) + 1e-3
    near = _near(np.log(luma / level), weight, 0.012 * len(luma))
    low, high = np.log(_BLACK)
    return ramp(near, low, high)


def _skin_spread(parts: Parts, safe: Array) -> float:
    """How far apart the skin's brightest and darkest channel are, in log light: its tint."""
    skin = parts.of("skin") * (parts.of("skin") > 0.6)
    if skin.sum() < 20:
        return 0.0
    mean = (safe * skin[..., None]).sum((0, 1)) / skin.sum()
    return float(np.log(mean.max() / mean.min()))


def _greyness(safe: Array, reflectance: Array, where: Array, skin_spread: float) -> Array:
    """(S, S) 0..1: the hair here is bright and without a tint of its own, or that around it is: skin shines
    through thin hair, and would turn blue beside what stays white."""
    weight, size = np.clip(where, 0, 1).astype(np.float32) + 1e-3, len(safe)
    tint = _near(np.log(safe.max(2) / safe.min(2)), weight, 0.006 * size) - _LIGHT * skin_spread
    bright = _near(np.log(reflectance), weight, 0.006 * size)
    white = ramp(-tint, -0.75, -0.3) * ramp(bright, np.log(0.10), np.log(0.30))
    return np.maximum(white, _near(white, weight, 0.03 * size))


def _strands(luma: Array, where: Array) -> Array:
    """(S, S) about -1..1: brighter or darker than the hair around it."""
    log, weight = np.log(luma), np.clip(where, 0, 1).astype(np.float32) + 1e-3
    return np.tanh((log - _near(log, weight, 0.012 * len(luma))) / 0.35)


def _near(values: Array, weight: Array, sigma_px: float) -> Array:
    """(S, S) weighted means around each pixel."""
    total = cv2.GaussianBlur(weight, (0, 0), sigma_px)
    return np.asarray(cv2.GaussianBlur(values * weight, (0, 0), sigma_px) / total)


def _temples(parts: Parts) -> Array:
    """(S, S) -1 on top of the head, 1 from the eyes' height down."""
    skin = parts.of("skin", "brow", "eye", "lips")
    rows = np.arange(len(skin), dtype=np.float32)
    mass = skin.sum(1) + 1e-6
    middle = float((rows * mass).sum() / mass.sum())
    spread = float(np.sqrt(((rows - middle) ** 2 * mass).sum() / mass.sum())) + 1.0
    # The skin's middle lies below the eyes: the eyes half a deviation above it, the hairline two.
    return (2 * ramp(rows, middle - 2.0 * spread, middle - 0.4 * spread) - 1)[:, None].astype(np.float32)


def _turned(
    safe: Array, luma: Array, share: Array, strands: Array, target: float, most: float, fades: float
) -> Array:
    """(S, S, 3) log gain of hair with `share` (S, S) of its way to the brightness `target` gone."""
    weight = share + 1e-6
    typical = float((np.log(luma) * weight).sum() / weight.sum())
    lift = np.clip(np.log(target) - typical, 0.0, most)
    tint = np.log(luma)[..., None] - np.log(safe)
    return share[..., None] * (fades * tint + (lift * (1 + _STRAND * strands))[..., None])
