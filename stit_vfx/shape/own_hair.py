"""Which hair is this head's own.

Foliage, curtains and the hair of whoever stands behind are taken for hair now and then. A head's own hair
grows on its scalp: from there one comes to every strand, through hair or over the skin that it falls behind,
without a step to another colour or out of focus (`shape.hair`). So the way from the scalp is measured, at a
price.
"""

from __future__ import annotations

import cv2
import numpy as np
from skimage.graph import MCP_Geometric

from stit_vfx.shape.disc import disc
from stit_vfx.shape.hair import CROP_CM, GRID, HairLikeness, on_grid
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.ramp import ramp
from stit_vfx.shape.zones import Zones

Array = np.ndarray

_SURE, _ROOT = (0.15, 0.6), 0.7  # share of hair that is some, surely some; of a beard, from where ways begin
_EDGE = 0.16  # code per centimetre
_WHOLE, _MIXED_PX = (0.7, 1.0), 1.5  # share of hair, and reach on the grid
# Price per centimetre: of backdrop; over skin, behind which hair falls; of what is blurred; of another
# colour, and the share of that which has to be paid where it changes gradually.
_BARE, _OVER, _BLURRED, _OTHER, _CALM = 4.0, 0.12, 9.0, 0.9, 0.25
_NEAR, _FAR = 0.8, 1.6  # at these prices it is its own, it is not
_TUFT, _BROW = 0.024, (0.1, 0.5)  # of the side: half as wide hair is a tuft; share of brow beside it
_HEAD = ("skin", "neck", "brow", "eye", "glasses", "hat")


def own_hair(parts: Parts, zones: Zones, likeness: HairLikeness | None) -> Parts:
    """The parts (S, S) with what is hair, but not of this head, as background.

    `likeness`: of the same crop. Softly; beards and hair on the skull stay. Where it is None nothing is
    known, and nothing changes.
    """
    if likeness is None:
        return parts
    own = np.maximum(
        _own(parts, zones, likeness), np.maximum(zones.beard, np.maximum(zones.skull, zones.scalp))
    )
    if own.min() == 1:
        return parts
    shares, (hair, behind) = parts.shares.copy(), (LABELS.index(n) for n in ("hair", "background"))
    lost = shares[hair] * (1 - own)
    shares[hair] -= lost
    shares[behind] += lost
    return Parts(shares)


def brows_whole(parts: Parts) -> Parts:
    """The parts (S, S) with what is hair, but no piece of the head of hair, and beside a brow, as brow: heavy
    brows are half taken for hair, and would stay where they are while the rest of them moves.
    """
    hair, brow = parts.of("hair"), parts.of("brow")
    tuft = disc(_TUFT * len(hair))
    thick = cv2.dilate(cv2.morphologyEx(hair, cv2.MORPH_OPEN, tuft), tuft)
    beside = cv2.GaussianBlur(cv2.dilate(brow, tuft), (0, 0), 0.5 * _TUFT * len(brow))
    tufts = np.maximum(hair - np.minimum(hair, thick), 0) * ramp(beside, *_BROW)
    if not tufts.any():
        return parts
    shares = parts.shares.copy()
    shares[LABELS.index("hair")] -= tufts
    shares[LABELS.index("brow")] += tufts
    return Parts(shares)


def _own(parts: Parts, zones: Zones, likeness: HairLikeness) -> Array:
    """(S, S) 0..1."""
    side, cm = len(zones.scalp), CROP_CM * GRID
    hair, beard, skin = (on_grid(a) for a in (parts.of("hair"), zones.beard, parts.of(*_HEAD)))
    strange = np.maximum(_OTHER * _steps(likeness, cm), _BLURRED * (1 - likeness.focus))
    none, skin = 1 - ramp(hair, *_SURE), np.clip(skin, 0, 1)
    price = 0.01 + none * (skin * _OVER + (1 - skin) * _BARE) + (1 - none) * strange
    starts = np.argwhere(likeness.sample | (hair * beard > _ROOT))
    paid, _ = MCP_Geometric(price / cm).find_costs(starts)
    own = 1 - ramp(np.minimum(paid, 99.0), _NEAR, _FAR)
    # What is half skin has a way for nothing: it goes with the hair beside it.
    whole = (ramp(hair, *_WHOLE) + 1e-3).astype(np.float32)
    own = cv2.GaussianBlur(whole * own, (0, 0), _MIXED_PX) / cv2.GaussianBlur(whole, (0, 0), _MIXED_PX)
    return np.clip(cv2.resize(own, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1)


def _steps(likeness: HairLikeness, cm: float) -> Array:
    """(GRID, GRID) 0..1 how far a colour is none of the scalp's, least where it changes gradually: hair gets
    lighter towards its tips."""
    luma = np.ascontiguousarray(likeness.look[..., 0])
    slope = np.hypot(*(cv2.Sobel(luma, cv2.CV_32F, *d, ksize=3) / 8 * cm for d in ((1, 0), (0, 1))))
    return np.asarray((1 - likeness.colour) * (_CALM + (1 - _CALM) * np.clip(slope / _EDGE, 0, 1)))
