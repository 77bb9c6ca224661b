"""What stands close beside a head that turns, and stays: collars, shoulders, the ring of a suit.

Beside a head there are hairs and light that go with it, so a strip around it is carried along. Clothes are in
that strip, too, and labels do not tell them from a wall. Their colours do: what stands goes on beyond the
strip, light on a head's rim does not.
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.shape.disc import disc
from stit_vfx.shape.ramp import ramp

Array = np.ndarray

# Of the crop's side, all lengths. So far off a head nothing goes with it; so far around its like is searched,
# in such steps, as often: a collar is followed to its tip.
_OFF, _REACH, _STEP, _ROUNDS = 0.017, 0.045, 0.006, 4
_GRAIN, _ENOUGH = 0.035, (3.0, 7.0)  # of code: colours that differ less are one; of so many of its like
_NEAR, _SOME = 0.03, (0.08, 0.25)  # so near clothes, of which there is such a share
_SHOULDERS = (0.08, 0.05)  # so far above a chin clothes may be that nobody sees as such
_BUSY, _EDGED = 0.02, (0.15, 0.35)  # so near an edge, of code: a plain wall may go on from beyond the strip
_HAIR, _HAIRY = 0.02, (0.2, 0.6)  # so near hair, of which there is such a share, wisps go with the head
_GAP = 0.006  # half as wide a seam between what stands stands as well
_EDGE, _SOFT = (0.005, 0.01), 0.008  # beyond a head's own soft edge there may be light; so soft is its edge


def standing_beside(crop_code: Array, head: Array, cloth: Array, hair: Array, beard: Array) -> Array:
    """(S, S) 0..1: what stays beside a `head` (S, S) 0..1 in a crop (S, S, 3) code, near `cloth` (S, S) and
    below the jaw, which the zone `beard` (S, S) tells, but not by `hair` (S, S). All 0..1.
    """
    size = len(crop_code)
    rows = np.flatnonzero((beard > 0.5).any(1))
    chin = int(rows.max()) if len(rows) else 2 * size
    lower = ramp(np.arange(size)[:, None] - chin, *(-size * above for above in _SHOULDERS))
    near = np.maximum(ramp(_around(cloth, _NEAR), *_SOME), lower)
    near = near * (1 - ramp(_around(hair, _HAIR), *_HAIRY))
    off = cv2.distanceTransform((head < 0.5).astype(np.uint8), cv2.DIST_L2, 5) / size
    away, beyond_edge = off > _OFF, ramp(off, *_EDGE)
    near = near * _edged(crop_code, off > _EDGE[0])
    strip = ~away & (head < 1) & (near > 0)
    stays = away.astype(np.float32)
    for _ in range(_ROUNDS):
        like = away.astype(np.float32)
        like[strip] = _likeness(crop_code, strip, stays * beyond_edge)
        # A seam has a mixed colour, and is like neither side.
        like = np.maximum(like, cv2.morphologyEx(like, cv2.MORPH_CLOSE, disc(_GAP * size)))
        light = cv2.dilate((1 - like) * beyond_edge, disc(_SOFT * size))
        stays = like * (1 - np.clip(2 * light - 0.5, 0, 1))
    return np.asarray(stays * near * (1 - head), np.float32)


def _likeness(crop_code: Array, where: Array, known: Array) -> Array:
    """(N,) 0..1: whether pixels `where` (S, S) bool have the colour of enough of what is `known` (S, S) 0..1
    around them.
    """
    step = max(1, round(_STEP * len(crop_code)))
    reach = step * round(_REACH * len(crop_code) / step)
    y, x = np.nonzero(where)
    margin = ((reach, reach), (reach, reach))
    colours, weights = np.pad(crop_code, (*margin, (0, 0))), np.pad(known, margin)
    total, own = np.zeros(len(y), np.float32), crop_code[where]
    for down in range(-reach, reach + 1, step):
        for along in range(-reach, reach + 1, step):
            if down * down + along * along > reach * reach:
                continue
            there = (y + down + reach, x + along + reach)
            unlike = ((colours[there] - own) ** 2).sum(1) / _GRAIN**2
            total += np.exp(-0.5 * unlike) * weights[there]
    return ramp(total, *_ENOUGH)


def _edged(crop_code: Array, known: Array) -> Array:
    """(S, S) 0..1: where there is an edge near in what is `known` (S, S) bool of a crop (S, S, 3) code."""
    size, around = len(crop_code), disc(_BUSY * len(crop_code))
    most = cv2.dilate(np.where(known[..., None], crop_code, -9).astype(np.float32), around)
    least = cv2.erode(np.where(known[..., None], crop_code, 9).astype(np.float32), around)
    return cv2.GaussianBlur(ramp((most - least).max(2), *_EDGED), (0, 0), 0.2 * _BUSY * size)


def _around(share: Array, reach: float) -> Array:
    """(S, S) the share, grown by `reach` of the side and soft."""
    grown = cv2.dilate(share.astype(np.float32), disc(reach * len(share)))
    return cv2.GaussianBlur(grown, (0, 0), 0.4 * reach * len(share))
