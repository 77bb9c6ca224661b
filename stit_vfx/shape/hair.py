"""How much a place looks like the hair that grows on this head: the one measure for all who ask.

The reader takes foliage, curtains and other people for hair, and some hair for a hat, for skin or for
backdrop. What it says of the scalp is the surest. So everything is compared with that, in two ways: whether
it has the colour, and whether it is as much in focus. The measure says what a place looks like, not whose
hair it is: that takes a way there (`shape.own_hair`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stit_vfx.shape.fill import fill
from stit_vfx.shape.parts import Parts
from stit_vfx.shape.ramp import ramp
from stit_vfx.shape.zones import Zones

Array = np.ndarray

GRID = 128  # places are compared on a grid of this size: that of the network which reads the crops
CROP_CM = 0.039  # of the crop's side: crops are cut out by the size of the face
_SAMPLE = 0.7  # share of hair from which on a place of the scalp tells what hair looks like
_LEAST = 0.006  # of the picture: from a smaller sample nothing is concluded
_SOFT_CM = 0.25  # strands are finer than what is compared
_OWN = np.array([0.16, 0.035, 0.045])  # code: brightness, red and blue over green; how far hair differs
_SHADE = 3.0  # hair in the shade may be so much further off
_FINE, _AROUND_CM, _FOCUS = 0.003, 0.6, (0.2, 0.6)  # of the side; detail in shares of the scalp's: blurred
_EDGES, _TOLD = 2.7, 0.1  # of that sigma: so near another label; share of hair that tells its detail


@dataclass(frozen=True)
class HairLikeness:
    """On the grid (GRID, GRID): `colour` and `focus`, 0..1, how far each is that of the hair on the scalp;
    `sample`, bool, the hair that all was compared with; `look` (GRID, GRID, 3), code, what was compared:
    brightness, red over green, blue over green.
    """

    colour: Array
    focus: Array
    sample: Array
    look: Array

    @classmethod
    def of(cls, parts: Parts, crop_code: Array, zones: Zones) -> HairLikeness | None:
        """All of a crop (S, S, 3), code, and what it shows. None without hair on the scalp (a hat, a bald
        head): then nothing is known.
        """
        hair, scalp = (on_grid(a) for a in (parts.of("hair"), zones.scalp))
        sample = hair * scalp > _SAMPLE
        if sample.mean() < _LEAST or (scalp * on_grid(parts.of("hat"))).sum() > (scalp * hair).sum():
            return None
        soft = cv2.GaussianBlur(np.clip(crop_code, 0, 1), (0, 0), _SOFT_CM * CROP_CM * len(crop_code))
        look = _features(on_grid(soft))
        focus = ramp(_detail(crop_code, parts.of("hair"), sample), *_FOCUS)
        return cls(_of_its_colour(look, sample), focus, sample, look)

    def both(self, side: int) -> Array:
        """(side, side) float32 0..1: of the scalp's colour, and in focus."""
        return _enlarged(self.colour * self.focus, side)

    def in_focus(self, side: int) -> Array:
        """(side, side) float32 0..1: in focus alone, for places where hair of another colour is its own."""
        return _enlarged(self.focus, side)


def on_grid(picture: Array) -> Array:
    """(GRID, GRID) or (GRID, GRID, C) means of a picture's pixels."""
    return cv2.resize(picture.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)


def _enlarged(share: Array, side: int) -> Array:
    large = cv2.resize(share.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(large, 0, 1))


def _of_its_colour(look: Array, sample: Array) -> Array:
    """(GRID, GRID) 0..1 how far a colour is one of the sample's."""
    middle = np.median(look[sample], 0)
    spread = 1.48 * np.median(np.abs(look[sample] - middle), 0) + _OWN
    away = (look - middle) / spread
    away[..., 0] = np.maximum(away[..., 0], -away[..., 0] / _SHADE)
    return np.asarray(np.exp(-0.5 * np.maximum((away**2).sum(-1) - 2, 0)))


def _detail(crop_code: Array, hair: Array, sample: Array) -> Array:
    """(GRID, GRID) rms of what is finer than a strand of hair, over the hair around, as a share of that in
    the `sample`. Edges to something else are left out; the rim of hair has the detail of the hair beside it.
    """
    side = len(crop_code)
    luma = _features(np.clip(crop_code, 0, 1))[..., 0]
    sigma = max(_FINE * side, 0.8)
    fine = ((luma - cv2.GaussianBlur(luma, (0, 0), sigma)) / (luma + 0.1)) ** 2
    edge = 2 * round(_EDGES * sigma) + 1
    inner = np.clip(2 * cv2.erode(hair.astype(np.float32), np.ones((edge, edge), np.uint8)) - 1, 0, 1)
    wide = _AROUND_CM * CROP_CM * GRID
    share, power = (cv2.GaussianBlur(on_grid(a), (0, 0), wide) for a in (inner, fine * inner))
    power = power / np.maximum(share, 1e-6)
    usual = max(float(np.median(power[sample])), 1e-9)
    return fill(np.sqrt(power / usual)[..., None], np.clip(share / _TOLD, 0, 1) + 1e-6)[..., 0]


def _features(code: Array) -> Array:
    """(S, S, 3): brightness, red over green, blue over green."""
    red, green, blue = np.moveaxis(code, 2, 0)
    return np.stack([(red + 2 * green + blue) / 4, red - green, blue - green], -1).astype(np.float32)
