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

Array = np.ndarray

_SKIN = 0.36  # reflectance of average skin: tells the light from the skin's brightness
_HAIR_GREY, _BROW_GREY = 0.34, 0.20  # reflectance of grey hair and of grey brows, shadows between strands in
_HAIR_MOST, _BROW_MOST = 0.80, 0.42  # of log light; noise in black hair must not be lifted into snow
_HAIR_FADES, _BROW_FADES = 0.8, 0.6  # share of the tint that goes
_STRAND = 0.1  # how much further bright strands rise; light alone sharpens them already
_LESS_GREY = 0.30  # of log light: as much as grey hair may darken
_FLOOR = 2e-3
_SURE = (0.35, 0.8)  # share of hair from which on it counts: half a hat is no hair


def grey(parts: Parts, crop_lin: Array, amount: float) -> Array:
    """Log gain (S, S, 3) float32 that turns hair and brows grey; 0 everywhere at amount 0.

    crop_lin (S, S, 3) linear light, in the same place as `parts`: where a picture was moved, both are to be
    moved. amount: 1 is mostly grey, -1 takes a part of the grey out of hair that has some. It darkens such
    hair and gives no colour back: what that was, the plate does not tell. Multiply `exp` of it onto the
    light. Smooth in the mattes, so that it is as steady as they are.
    """
    hair, brow = _ramp(parts.of("hair"), *_SURE), parts.of("brow")
    out = np.zeros((*hair.shape, 3), np.float32)
    if not amount or hair.sum() + brow.sum() < 1:
        return out
    level = _level(parts, crop_lin)
    safe = np.maximum(crop_lin, _FLOOR * level).astype(np.float32)
    luma = safe @ LUMA
    brow = brow * _darker_than_skin(luma, level)
    if amount < 0:
        less = -_LESS_GREY * min(-amount, 1.0) * (hair + 0.6 * brow) * _greyness(safe, luma, level)
        return np.asarray(out + less[..., None], np.float32)
    strands = _strands(luma, hair + brow)
    hair = hair * (1 - _greyness(safe, luma, level))  # what is white needs no more
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
    return _ramp(np.log(_SKIN * level) - np.log(luma), 0.1, 0.9)


def _greyness(safe: Array, luma: Array, level: float) -> Array:
    """(S, S) 0..1: bright and without a tint."""
    spread = np.log(safe.max(2) / safe.min(2))
    return _ramp(-spread, -0.75, -0.3) * _ramp(np.log(luma / level), np.log(0.10), np.log(0.30))


def _strands(luma: Array, where: Array) -> Array:
    """(S, S) about -1..1: brighter or darker than the hair around it."""
    log, weight = np.log(luma), np.clip(where, 0, 1).astype(np.float32) + 1e-3
    sigma = 0.012 * len(luma)
    near = cv2.GaussianBlur(log * weight, (0, 0), sigma) / cv2.GaussianBlur(weight, (0, 0), sigma)
    return np.tanh((log - near) / 0.35)


def _temples(parts: Parts) -> Array:
    """(S, S) -1 on top of the head, 1 from the eyes' height down."""
    skin = parts.of("skin", "brow", "eye", "lips")
    rows = np.arange(len(skin), dtype=np.float32)
    mass = skin.sum(1) + 1e-6
    middle = float((rows * mass).sum() / mass.sum())
    spread = float(np.sqrt(((rows - middle) ** 2 * mass).sum() / mass.sum())) + 1.0
    # The skin's middle lies below the eyes: the eyes half a deviation above it, the hairline two.
    return (2 * _ramp(rows, middle - 2.0 * spread, middle - 0.4 * spread) - 1)[:, None].astype(np.float32)


def _turned(
    safe: Array, luma: Array, share: Array, strands: Array, target: float, most: float, fades: float
) -> Array:
    """(S, S, 3) log gain of hair with `share` (S, S) of its way to the brightness `target` gone."""
    weight = share + 1e-6
    typical = float((np.log(luma) * weight).sum() / weight.sum())
    lift = np.clip(np.log(target) - typical, 0.0, most)
    tint = np.log(luma)[..., None] - np.log(safe)
    return share[..., None] * (fades * tint + (lift * (1 + _STRAND * strands))[..., None])


def _ramp(x: Array, low: float, high: float) -> Array:
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
