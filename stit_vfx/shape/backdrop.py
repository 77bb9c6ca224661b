"""What the backdrop may look like where a head stood before it.

Nobody knows. What is shown there is the backdrop from beside the head, mirrored at the head's outline: it is
as sharp, as grainy and as busy as the rest, meets what is seen without a step, and moves from frame to frame
no more than the outline does. Where the mirror shows no backdrop, it is continued smoothly.
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.plate.composite import sample_within
from stit_vfx.shape.disc import disc
from stit_vfx.shape.fill import fill
from stit_vfx.shape.grain import grain_like
from stit_vfx.shape.ramp import ramp
from stit_vfx.shape.transport import transported

Array = np.ndarray

_ROUND = 0.012  # of the crop's side: the mirror follows the outline no closer than this
_FACING = 0.04  # of the crop's side: and faces away from the head as seen with eyes so blurred
_DEEPEST = 0.12  # of the crop's side: further inside nothing is uncovered, and nothing mirrored
_SOFTER = (0.002, 0.004, 0.008, 0.016, 0.03)  # of the crop's side: a continued backdrop's steps of softness
_SOFTNESS = 1.2  # of the depth inside
_SOFT_ALONG = 0.45  # the same along its edges
_MEET, _MEETS = 0.006, (0.75, 0.95)  # of the crop's side: sides meet where depth, so blurred, slopes less
_DIRECTED = (0.05, 0.075)  # of the crop's side: so far in its edges go on; nothing further in is uncovered
# Shares of clothes, of which the lower counts as far as the tips, of the crop's side, of what has the higher;
# so near them no edges go on.
_A_CLOTH, _TIP, _BY_CLOTHES = (0.25, 0.6), 0.05, (0.03, 0.07)
_CERTAIN = 0.95  # share from which a pixel says how grainy the backdrop is


def backdrop(crop_code: Array, behind: Array, near: Array) -> Array:
    """(S, S, 3) code: a guess at the backdrop everywhere. `behind` (S, S) 0..1: where the crop shows
    it; `near` (S, S): weight of each pixel as a hint at it, never quite nothing.
    """
    mirrored, trust = _mirrored(crop_code, behind)
    smooth = fill(crop_code, np.maximum(near, 1e-6))
    # Smooth guesses on a grainy wall would show where the head has been.
    smooth = smooth + grain_like(crop_code, behind > _CERTAIN, smooth)
    return np.asarray(smooth + trust[..., None] * (mirrored - smooth), np.float32)


def continued(crop_code: Array, behind: Array, clothes: Array) -> Array:
    """(S, S, 3) code: the same where a head turns. It uncovers strips beside what is seen of the backdrop.
    That is continued inwards, along its edges and ever softer: in strips so wide one would see that a mirror
    mirrors. Edges of what are likely `clothes` (S, S) 0..1 end: the tip of a collar does not go on.
    """
    inwards, depth = nearest(crop_code, behind)
    low, high = (d * len(crop_code) for d in _DIRECTED)
    ends = _by_clothes(clothes)
    along = transported(inwards, depth, deepest=high, goes_on=1 - ends)
    deep = np.maximum(ramp(depth, low, high), ends)
    smooth = along + deep[..., None] * (inwards - along)
    smooth = _softer(smooth, depth, _SOFT_ALONG + (_SOFTNESS - _SOFT_ALONG) * np.maximum(_met(depth), deep))
    # Smooth guesses on a grainy wall would show where the head has been.
    grain = grain_like(crop_code, behind > _CERTAIN, smooth) * np.clip(depth / 2, 0, 1)[..., None]
    return np.asarray(smooth + grain, np.float32)


def _by_clothes(clothes: Array) -> Array:
    """(S, S) 0..1 near clothes (S, S) 0..1, down to their tips; what is nowhere surely one is none."""
    size, (some, sure) = len(clothes), _A_CLOTH
    near = cv2.dilate((clothes > sure).astype(np.uint8), disc(_TIP * size))
    bare = cv2.distanceTransform(1 - near * (clothes > some), cv2.DIST_L2, 5)
    return 1 - ramp(bare, *(d * size for d in _BY_CLOTHES))


def _softer(picture: Array, depth: Array, softness: Array) -> Array:
    """(S, S, 3) the picture under a blur that grows with the `depth` (S, S) px: `softness` (S, S) of it."""
    out, finer = picture, picture
    for sigma in _SOFTER:
        coarser = cv2.GaussianBlur(picture, (0, 0), sigma * len(picture))
        share = np.clip(softness * depth / (sigma * len(picture)) - 1, 0, 1)[..., None]
        out = out + share * (coarser - finer)
        finer = coarser
    return out


def _met(depth: Array) -> Array:
    """(S, S) 0..1: where what was continued from two sides meets. It need not fit there."""
    calm = cv2.GaussianBlur(depth, (0, 0), _MEET * len(depth))
    x, y = (cv2.Sobel(calm, cv2.CV_32F, 1 - k, k, scale=1 / 8) for k in (0, 1))
    return np.asarray(1 - ramp(np.hypot(x, y), *_MEETS))


def nearest(crop_code: Array, behind: Array) -> tuple[Array, Array]:
    """(S, S, 3) code: for each pixel the nearest one that shows the backdrop, and (S, S) px how far off."""
    known = (behind > 0.5).astype(np.uint8)
    if not known.any():
        return np.asarray(crop_code, np.float32), np.zeros(behind.shape, np.float32)
    depth, label = cv2.distanceTransformWithLabels(1 - known, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    of_label = np.zeros((int(label.max()) + 1, 3), np.float32)
    of_label[label[known > 0]] = crop_code[known > 0]
    return np.where(known[..., None] > 0, crop_code, of_label[label]).astype(np.float32), depth


def _mirrored(crop_code: Array, behind: Array) -> tuple[Array, Array]:
    """The crop (S, S, 3) mirrored at the edge of what is `behind`, and (S, S) 0..1 how far it is backdrop."""
    size = len(behind)
    soft = cv2.GaussianBlur(behind.astype(np.float32), (0, 0), _ROUND * size)
    depth = cv2.distanceTransform((soft < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    depth = cv2.GaussianBlur(depth, (0, 0), 1.0)
    facing = cv2.GaussianBlur(behind.astype(np.float32), (0, 0), _FACING * size)
    out = np.stack([cv2.Sobel(facing, cv2.CV_32F, 1, 0), cv2.Sobel(facing, cv2.CV_32F, 0, 1)], -1)
    out = out / np.maximum(np.linalg.norm(out, axis=-1, keepdims=True), 1e-9)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    there = np.stack([x, y], -1) + 2 * depth[..., None] * out
    inside = ((there >= 0) & (there <= size - 1)).all(-1)
    trust = np.clip(sample_within(behind, there), 0, 1) * inside
    trust = trust * np.clip(2 - depth / (0.5 * _DEEPEST * size), 0, 1)
    trust = cv2.GaussianBlur((trust * trust).astype(np.float32), (0, 0), 1.5)
    return sample_within(crop_code, there), np.where(depth > 0, trust, 0)
