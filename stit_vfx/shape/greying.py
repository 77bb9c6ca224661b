"""Hair and brows that turn grey, or that lose some of their grey.

Grey hair is a mixture: some strands are white, the others keep their colour. So the tint goes, the brightness
rises towards a grey that the light on the skin allows, and bright strands rise further than the dark between
them: the strands of the plate stay, with a little more contrast. Temples come first, brows last and least.
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.shape.disc import disc
from stit_vfx.shape.hair_matte import at_strands, with_locks
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.parts import Parts
from stit_vfx.shape.ramp import ramp

Array = np.ndarray

_SKIN = 0.36  # reflectance of average skin: tells the light from the skin's brightness
_HAIR_GREY, _BROW_GREY = 0.34, 0.20  # reflectance of grey hair and of grey brows, shadows between strands in
_HAIR_MOST, _BROW_MOST = 0.80, 0.42  # of log light; noise in black hair must not be lifted into snow
_HAIR_FADES, _BROW_FADES = 0.8, 0.5  # share of the tint that goes
# A white head: of its hair so much is white, and so little of log light is left on the way to grey.
_WHITE_HEAD, _LEFT = (0.4, 0.7), (0.0, -0.25)
_WITHIN, _BRIGHTER = (0.7, 1.0), 1.6  # share of hair that is no rim; so much brighter strands there are
_WHITE = (0.15, 0.8)  # reflectance: ever less bright strands rise, and white ones no more
_STRAND = 0.1  # how much further bright strands rise; light alone sharpens them already
_LESS_GREY = 0.30  # of log light: as much as grey hair may darken
_FLOOR = 2e-3
_SURE = (0.05, 0.95)  # share of hair from which on it counts: half a hat is no hair
_BLACK = (0.004, 0.014)  # reflectance of cloth, and of hair in the shade: a black hat may be read as hair
# Of the crop's side: half the width of a lock in the shade, black cloth is wider; of less than a lock.
_SHADED, _CORNER = 0.05, 0.012
_LIGHT = 0.35  # share of the skin's tint that is the light's: white hair in warm light is as warm
# Red over green and blue over green, from least to most, of skins and of the whites of eyes in white light,
# and of grey hair, which keeps some yellow; log ratio of the strongest light.
_SKINS, _SCLERAS, _TINT = ((1.45, 0.56), (1.9, 0.8)), ((1.0, 0.85), (1.25, 1.0)), 0.6
_GREY = (1.05, 1.0, 0.92)
# Hair wholly: from such a share on, what looks so much like it, and this much of the side inside its edge.
_HALF, _LIKE, _EDGE = (0.2, 0.45), (0.7, 0.95), 0.024


def greyed(
    parts: Parts,
    crop_lin: Array,
    amount: float,
    *,
    where: Array | float = 1.0,
    scalp: Array | None = None,
    alike: Array | None = None,
) -> Array:
    """The crop (S, S, 3) linear light with hair and brows turned grey; the same bits where nothing turns.

    In the same place as `parts`: where a picture was moved, both are to be moved. amount: 1 is mostly grey,
    -1 takes a part of the grey out of hair that has some: it darkens such hair and gives no colour back, for
    what that was, the plate does not tell. where (S, S) 0..1: how much of that. scalp, alike (S, S) 0..1:
    where hair grows and is in focus, and where the picture looks like hair that grows there (`shape.hair`);
    None where that is not known. Smooth in the mattes, so that it is as steady as they are.
    """
    brow = parts.of("brow")
    if not amount or (parts.of("hair") + brow).sum() < 1:
        return crop_lin
    level = _level(parts, crop_lin)
    safe = np.maximum(crop_lin, _FLOOR * level).astype(np.float32)
    luma = safe @ LUMA
    hair, own = at_strands(_hair(parts, scalp, alike), parts, safe / level)
    lit = _lit(luma, hair, level)
    own = np.where((hair > 0)[..., None], own * level, safe)
    white = _greyness(own, own @ LUMA / level, hair * lit + brow, _skin_spread(parts, safe))
    brow = brow * _darker_than_skin(luma, level)
    if amount < 0:
        darker = -_LESS_GREY * min(-amount, 1.0) * (hair * lit + 0.6 * brow) * white * where
        return np.asarray(crop_lin * np.exp(darker)[..., None], crop_lin.dtype)
    hairs = own @ LUMA
    turns = lit * _unmixed(hairs, hair) * (1 - _white_head(hairs / level, hair * lit, white))
    early, late = min(amount, 1.0) ** (1.3 - 0.6 * _temples(parts)), min(amount, 1.0) ** 1.3
    turns, brow, strands = turns * early * where, brow * late * where, _strands(luma, hair + brow)
    tint, left = _light_tint(parts, safe), turns * (1 - white)
    lift = left * _lift(hairs, hair * left, _HAIR_GREY * level, _HAIR_MOST)
    grey = _turned(own, lift * _further(hairs / level, strands), turns * _HAIR_FADES, tint)
    lift = brow * _lift(luma, brow, _BROW_GREY * level, _BROW_MOST)
    brows = _turned(crop_lin, lift * _further(luma / level, strands), brow * _BROW_FADES, tint)
    after = brows + hair[..., None] * (grey - own)
    return np.where(((brow == 0) & (hair * turns == 0))[..., None], crop_lin, after).astype(crop_lin.dtype)


def _further(reflectance: Array, strands: Array) -> Array:
    """(S, S) how much of the lift a strand takes: bright ones more, white ones none."""
    return (1 + _STRAND * strands) * (1 - ramp(np.log(reflectance), *np.log(_WHITE)))


def _turned(lin: Array, lift: Array, fades: Array, tint: Array) -> Array:
    """Light (S, S, 3) lifted by `lift` (S, S), log, with a share `fades` (S, S) 0..1 of its tint gone."""
    # As light, and not as a gain: a channel without any would stay as dark, and dark hair speckled.
    lifted = lin * np.exp(lift)[..., None]
    grey = (lifted @ LUMA)[..., None] * tint
    return np.asarray(lifted + np.clip(fades, 0, 1)[..., None] * (grey - lifted))


def _light_tint(parts: Parts, safe: Array) -> Array:
    """(3,) what grey hair has in this light, of luma 1: in warm light it is warm.

    As far as skin and the whites of the eyes both say so: either has a tint of its own.
    """
    luma, said = safe @ LUMA, []
    for name, ranges, percentiles in (("skin", _SKINS, (25, 75)), ("eye", _SCLERAS, (75, 96))):
        sure = parts.of(name) > 0.6
        if sure.sum() >= 20:
            low, high = np.percentile(luma[sure], percentiles)
            red, green, blue = np.log(np.median(safe[sure & (luma >= low) & (luma <= high)], 0))
            ratios = np.array([red - green, blue - green])
            said.append(ratios - np.clip(ratios, *np.log(ranges)))
    least, most = (np.min(said, 0), np.max(said, 0)) if said else (np.zeros(2), np.zeros(2))
    red, blue = np.clip(least, 0, _TINT) + np.clip(most, -_TINT, 0)
    tint = np.exp([red, 0.0, blue]) * _GREY
    return np.asarray(tint / (tint @ LUMA), np.float32)


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


def _hair(parts: Parts, scalp: Array | None, alike: Array | None) -> Array:
    """(S, S) 0..1: the person's own hair.

    What is read as hair beside the scalp must look like the hair on it. `shape.own_hair` has taken the
    backdrop out before, but for a rim beside the jaw, where beards grow: that moves unseen, and would grey.
    And what looks like it is hair where the reader half thinks so: half a fringe may be read as a hat.
    """
    hair = parts.of("hair")
    if alike is not None and scalp is not None:
        hair = hair * (scalp + (1 - scalp) * alike)
        covered = hair + parts.of("hat") * alike
        # Not at its edges, where a strand may be as narrow as what tells it.
        edge = 2 * round(_EDGE * len(hair)) + 1
        within = ramp(cv2.erode(alike, np.ones((edge, edge), np.uint8)), *_LIKE) * ramp(covered, *_HALF)
        hair = with_locks(covered + (1 - covered) * within, parts, alike)
    return ramp(hair, *_SURE)


def _unmixed(luma: Array, hair: Array) -> Array:
    """(S, S) 0..1: how much of a pixel's light is from hair. A rim is skin or sky for the most part, which
    must not rise, and glare, with the dark hair beside it."""
    sure = ramp(hair, *_WITHIN).astype(np.float32) + 1e-3
    return np.minimum(1, _BRIGHTER * _near(luma, sure, 0.008 * len(luma)) / luma) ** 2


def _white_head(reflectance: Array, hair: Array, white: Array) -> float:
    """0..1: as white a head of hair as it may become. What is not white there is skin that shines through."""
    share = float((hair * white).sum() / (hair.sum() + 1))
    left = np.log(_HAIR_GREY) - _typical(reflectance, hair)
    return float(ramp(share, *_WHITE_HEAD) * ramp(left, *_LEFT))


def _lit(luma: Array, hair: Array, level: float) -> Array:
    """(S, S) 0..1: hair around here is not as black as cloth, or this is a lock in the shade beside such."""
    weight = hair.astype(np.float32) + 1e-3
    near = _near(np.log(luma / level), weight, 0.012 * len(luma))
    low, high = np.log(_BLACK)
    lit = ramp(near, low, high).astype(np.float32)
    locks = cv2.morphologyEx(lit, cv2.MORPH_CLOSE, disc(_SHADED * len(luma))) - lit
    # The corners of something large are no locks.
    return np.asarray(lit + cv2.morphologyEx(locks, cv2.MORPH_OPEN, disc(_CORNER * len(luma))))


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


def _lift(luma: Array, share: Array, target: float, most: float) -> float:
    """Of log light: the way of what is typical, in hair of which `share` (S, S) turns, to its `target`."""
    return float(np.clip(np.log(target) - _typical(luma, share), 0.0, most))


def _typical(luma: Array, share: Array) -> float:
    weight = share + 1e-6
    return float((np.log(luma) * weight).sum() / weight.sum())
