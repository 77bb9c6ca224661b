"""Which light is the hair's, where hair ends.

The reader draws the edges of hair a millimetre or two off, and takes a lock that light falls on for skin.
Hair that changes its colour shows both: as a rim, or a lock, of the old one. So the light beside its edge is
taken apart: how much of it is hair, by its place between the colours of the hair on one side and of whatever
is on the other.
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.shape.disc import disc
from stit_vfx.shape.fill import fill
from stit_vfx.shape.parts import Parts
from stit_vfx.shape.ramp import ramp

Array = np.ndarray

_LOCK = 0.036  # of the crop's side: half the width of the widest lock; a face is wider
_LIKE = (0.7, 0.95)  # how much a lock has to look like hair
_RIM = 0.018  # of the side: so far off the reader may be
_CORE = (0.5, 0.95)  # share of hair, or of none, of what is surely so
_NEAR, _LEAST = 0.022, 0.025  # of the side: colours are compared with those around here; noise of them, code
_TOLD = (2.0, 4.0)  # deviations from hair to what is beside it: from there on colours tell them apart
_TINTED = (3.0, 6.0)  # the same of tints alone: a lock in the sun may be as bright as a wall
_SURE = (0.01, 0.05)  # share of sure hair around here
_SKIN_RIM, _ON_SKIN = 0.004, (0.05, 0.45)  # of the side; share of hair so near that skin may be some
_SHARE = (0.06, 0.94)  # from the one colour to the other
_PURE = (0.85, 1.0)  # share of hair from which on a pixel's own light tells the hair's


def with_locks(hair: Array, parts: Parts, alike: Array) -> Array:
    """(S, S) 0..1 `hair` with the locks that are read as skin: what passes for a piece of the face narrower
    than any face, and looks `alike` (S, S) 0..1, as the hair on the scalp does (`shape.hair`).
    """
    face = 1 - parts.of("hair", "background")
    stray = np.minimum(
        np.maximum(face - cv2.morphologyEx(face, cv2.MORPH_OPEN, disc(_LOCK * len(face))), 0), face
    )
    lock = np.minimum(stray, parts.of("skin")) * ramp(alike, *_LIKE)
    return np.asarray(np.minimum(hair + lock, 1), np.float32)


def at_strands(hair: Array, parts: Parts, reflectance: Array) -> tuple[Array, Array]:
    """The matte of hair (S, S) brought to the strands, and the hair's own `reflectance` (S, S, 3), linear:
    that of the picture where all of a pixel is hair, and that of the hair beside it where little is.

    On skin hair is only taken back: a fringe's shadow has its brightness and much of its tint. Beside a hat,
    a hand or cloth, and where no hair is near that surely is some, the matte stays.
    """
    core, off = (cv2.erode(share.astype(np.float32), disc(_RIM * len(share))) for share in (hair, 1 - hair))
    core, off = ramp(core, *_CORE), ramp(off, *_CORE)
    look = _look(reflectance)
    (front, its, sure), (behind, other, _) = (_around(look, share) for share in (core, off))
    told, share = _between(look, front, behind, its + other)
    by_tint, tinted = _between(*(a[..., 1:] for a in (look, front, behind, its + other)))
    share = np.maximum(share, ramp(by_tint, *_TINTED) * tinted)
    near = cv2.GaussianBlur(hair.astype(np.float32), (0, 0), _SKIN_RIM * len(hair))
    share = share * (1 - parts.of("skin") * (1 - ramp(near, *_ON_SKIN)))
    told = ramp(told, *_TOLD) * ramp(sure, *_SURE) * parts.of("hair", "background", "skin")
    matte = hair + told * np.clip(1 - core - off, 0, 1) * (share - hair)
    pure = 1 - ramp(sure, *_SURE) * (1 - ramp(matte, *_PURE))
    beside = fill(reflectance, core * ramp(matte, *_PURE) + 1e-6)
    # No pixel has more light of hair than it has.
    beside = np.minimum(beside, reflectance / np.maximum(matte, 1e-3)[..., None])
    own = np.where((pure == 1)[..., None], reflectance, beside + pure[..., None] * (reflectance - beside))
    return np.asarray(matte, np.float32), np.asarray(own, np.float32)


def _between(look: Array, front: Array, behind: Array, variance: Array) -> tuple[Array, Array]:
    """(S, S) each: how many deviations there are from what is behind to what is in front, and how much of
    that way, 0..1, the look (S, S, C) is.

    Fisher's discriminant, each measure for itself: strands differ in brightness and little in tint, skin and
    a fringe before it the other way about.
    """
    way = (front - behind) / variance
    far = ((front - behind) * way).sum(-1)
    low, high = _SHARE
    share = ((look - behind) * way).sum(-1) / np.maximum(far, 1e-6)
    return np.sqrt(far), np.clip((share - low) / (high - low), 0, 1)


def _look(reflectance: Array) -> Array:
    """(S, S, 3) brightness, red over green and blue over green, in about code's steps."""
    red, green, blue = np.moveaxis(np.sqrt(np.clip(reflectance, 0, 1)), 2, 0)
    return np.stack([(red + 2 * green + blue) / 4, red - green, blue - green], -1).astype(np.float32)


def _around(look: Array, share: Array) -> tuple[Array, Array, Array]:
    """The mean (S, S, 3), and half the variance, of the look around where there is a share (S, S), and how
    much of that there is, (S, S).
    """
    sigma, share = _NEAR * len(look), share + 1e-6
    total = cv2.GaussianBlur(share, (0, 0), sigma)[..., None]
    mean = cv2.GaussianBlur(look * share[..., None], (0, 0), sigma) / total
    spread = cv2.GaussianBlur((look - mean) ** 2 * share[..., None], (0, 0), sigma) / total
    return mean, 0.5 * (spread + _LEAST**2), total[..., 0]
