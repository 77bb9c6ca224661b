"""Which hair is this head's own.

Foliage, curtains and the hair of whoever stands behind are taken for hair now and then. A head's own hair
grows on its scalp: from there one comes to every strand, through hair or over the skin that it falls behind,
without a step to another colour or out of focus. So the way from the scalp is measured, at a price.
"""

from __future__ import annotations

import cv2
import numpy as np
from skimage.graph import MCP_Geometric

from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.ramp import ramp
from stit_vfx.shape.zones import Zones

Array = np.ndarray

_SIZE = 128  # ways are searched on a grid of this size: that of the network which reads the crops
_CM = 0.039  # of the crop's side: crops are cut out by the size of the face
_SURE, _SAMPLE = (0.15, 0.6), 0.7  # share of hair that is some, surely some; of the scalp's sample
_LEAST = 0.006  # of the picture: of a smaller sample nothing is concluded
_SOFT_CM = 0.25  # strands are finer than what is compared
_OWN = np.array([0.16, 0.035, 0.045])  # code: brightness, red and blue over green; how far hair differs
_SHADE = 3.0  # hair in the shade may be so much further off
_EDGE = 0.16  # code per centimetre
_FINE, _AROUND_CM, _FOCUS = 0.003, 0.6, (0.2, 0.6)  # of the side; detail in shares of the scalp's: blurred
_WHOLE, _MIXED_PX = (0.7, 1.0), 1.5  # share of hair, and reach on the grid
_EDGES, _UNTOLD = 0.008, 0.03  # of the side: so near another label; share of hair that tells nothing
# Price per centimetre: of backdrop; over skin, behind which hair falls; of what is blurred; of another
# colour, and the share of that which has to be paid where it changes gradually.
_BARE, _OVER, _BLURRED, _OTHER, _CALM = 4.0, 0.12, 9.0, 0.9, 0.25
_NEAR, _FAR = 0.8, 1.6  # at these prices it is its own, it is not
_HEAD = ("skin", "neck", "brow", "eye", "glasses", "hat")


def own_hair(parts: Parts, crop_code: Array, zones: Zones) -> Parts:
    """The parts with what is hair, but not of this head, as background.

    All of the crop (S, S, 3), code. Softly; beards and hair on the skull stay. Without hair on the scalp (a
    hat, a bald head) nothing is known, and nothing changes.
    """
    own = np.maximum(
        _own(parts, crop_code, zones), np.maximum(zones.beard, np.maximum(zones.skull, zones.scalp))
    )
    if own.min() == 1:
        return parts
    shares, (hair, behind) = parts.shares.copy(), (LABELS.index(n) for n in ("hair", "background"))
    lost = shares[hair] * (1 - own)
    shares[hair] -= lost
    shares[behind] += lost
    return Parts(shares)


def _own(parts: Parts, crop_code: Array, zones: Zones) -> Array:
    """(S, S) 0..1."""
    side = len(crop_code)
    hair, scalp, beard = (_small(a) for a in (parts.of("hair"), zones.scalp, zones.beard))
    sample = hair * scalp > _SAMPLE
    if sample.mean() < _LEAST or (scalp * _small(parts.of("hat"))).sum() > (scalp * hair).sum():
        return np.ones((side, side), np.float32)
    soft = cv2.GaussianBlur(np.clip(crop_code, 0, 1), (0, 0), _SOFT_CM * _CM * side)
    cm = _CM * _SIZE
    other = _other(_features(_small(soft)), sample, cm)
    blurred = 1 - ramp(_detail(crop_code, parts.of("hair"), sample), *_FOCUS)
    strange = np.maximum(_OTHER * other, _BLURRED * blurred)
    none = 1 - ramp(hair, *_SURE)
    skin = np.clip(_small(parts.of(*_HEAD)), 0, 1)
    price = 0.01 + none * (skin * _OVER + (1 - skin) * _BARE) + (1 - none) * strange
    starts = np.argwhere(sample | (hair * beard > _SAMPLE))
    paid, _ = MCP_Geometric(price / cm).find_costs(starts)
    own = 1 - ramp(np.minimum(paid, 99.0), _NEAR, _FAR)
    # What is half skin has a way for nothing: it goes with the hair beside it.
    whole = (ramp(hair, *_WHOLE) + 1e-3).astype(np.float32)
    own = cv2.GaussianBlur(whole * own, (0, 0), _MIXED_PX) / cv2.GaussianBlur(whole, (0, 0), _MIXED_PX)
    return np.clip(cv2.resize(own, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1)


def _other(colour: Array, sample: Array, cm: float) -> Array:
    """(_SIZE, _SIZE) 0..1 how far a colour is none of the sample's, least where it changes gradually."""
    middle = np.median(colour[sample], 0)
    spread = 1.48 * np.median(np.abs(colour[sample] - middle), 0) + _OWN
    away = (colour - middle) / spread
    away[..., 0] = np.maximum(away[..., 0], -away[..., 0] / _SHADE)
    other = 1 - np.exp(-0.5 * np.maximum((away**2).sum(-1) - 2, 0))
    luma = np.ascontiguousarray(colour[..., 0])
    slope = np.hypot(*(cv2.Sobel(luma, cv2.CV_32F, *d, ksize=3) / 8 * cm for d in ((1, 0), (0, 1))))
    return np.asarray(other * (_CALM + (1 - _CALM) * np.clip(slope / _EDGE, 0, 1)))


def _detail(crop_code: Array, hair: Array, sample: Array) -> Array:
    """(_SIZE, _SIZE) rms of what is finer than a strand of hair, over the hair around, as a share of that in
    the `sample`. Edges to something else are left out; where there is nothing else, it is 1.
    """
    side = len(crop_code)
    luma = _features(np.clip(crop_code, 0, 1))[..., 0]
    fine = ((luma - cv2.GaussianBlur(luma, (0, 0), max(_FINE * side, 0.8))) / (luma + 0.1)) ** 2
    edge = 2 * round(_EDGES * side) + 1
    inner = np.clip(2 * cv2.erode(hair.astype(np.float32), np.ones((edge, edge), np.uint8)) - 1, 0, 1)
    wide = _AROUND_CM * _CM * _SIZE
    share, power = (cv2.GaussianBlur(_small(a), (0, 0), wide) for a in (inner, fine * inner))
    usual = max(float(np.median((power / (share + 1e-6))[sample])), 1e-9)
    return np.sqrt((power / usual + _UNTOLD) / (share + _UNTOLD))


def _features(code: Array) -> Array:
    """(S, S, 3): brightness, red over green, blue over green."""
    red, green, blue = np.moveaxis(code, 2, 0)
    return np.stack([(red + 2 * green + blue) / 4, red - green, blue - green], -1).astype(np.float32)


def _small(picture: Array) -> Array:
    return cv2.resize(picture.astype(np.float32), (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
