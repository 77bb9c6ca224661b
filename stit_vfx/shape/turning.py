"""How a turned head carries along what sits on it: hair, glasses, a hat.

The face's surface is known, the hair's is not. So everything on the head gets a depth: the face's own where
it is sure, that of a soft egg elsewhere, with a smooth passage between. The egg has no edge at which it turns
away, so that nothing folds over there; what a real head would show of its far side is stretched out of its
rim instead.
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.shape.code import ShapeCode
from stit_vfx.shape.fill import fill

Array = np.ndarray

# The egg in the model's axes, centimetres, hair included; its depth falls off like a bell.
_CENTRE, _ACROSS, _UP, _DEEP, _BELL = np.array([0.0, 2.5, 0.0]), 9.5, 12.5, 11.5, 0.9
_PASSAGE_CM = 3.0  # from the sure face to the egg
_OF_WAY = 0.7  # of the way to the crop's edge: no step is longer
_NECK_CM = (-7.0, -15.0)  # the turn begins to fade at the chin's height, and is gone at the collar


def head_flow(before: ShapeCode, after: ShapeCode, depth_cm: Array, sure: Array) -> Array:
    """Flow (S, S, 2) px of everything that sits on the head, from its turn alone.

    Codes in px of the picture, which differ in nothing else that counts here. depth_cm (S, S) of the face
    after the turn, larger is nearer, where `sure` (S, S) bool says so. Exactly nothing without a turn.
    """
    if np.array_equal(before.rotation, after.rotation):
        return np.zeros((*sure.shape, 2), np.float32)
    seen = _seen_cm(after, sure.shape)
    depth = _depth(after, seen, depth_cm, sure)
    here = np.concatenate([seen, depth[..., None]], -1)
    on_head = here @ after.rotation  # the inverse turn, for rows
    source = on_head @ before.rotation.T
    high, low = _NECK_CM
    share = np.clip((on_head[..., 1] - low) / (high - low), 0, 1)
    share = (share * share * (3 - 2 * share))[..., None]
    moved = (source - here)[..., :2] * [1, -1] * after.scale * share
    return np.asarray(_within_crop(moved), np.float32)


def _within_crop(moved: Array) -> Array:
    """(S, S, 2) the same steps, softly held to less than the way to the crop's edge, beyond which there is
    nothing to carry along: what touches the edge is stretched there.
    """
    height, width = moved.shape[:2]
    y, x = np.mgrid[:height, :width]
    here, size = np.stack([x, y], -1), np.array([width, height])
    way = _OF_WAY * np.where(moved < 0, here, size - 1 - here) + 1e-3
    return np.asarray(moved / (1 + (moved / way) ** 4) ** 0.25)


def _seen_cm(code: ShapeCode, shape: tuple[int, ...]) -> Array:
    """(S, S, 2) where pixels lie in the camera's axes: right and up from the head's origin."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    return np.stack([x - code.translation[0], code.translation[1] - y], -1) / code.scale


def _depth(code: ShapeCode, seen: Array, depth_cm: Array, sure: Array) -> Array:
    """(S, S) centimetres in the camera's axes, smooth everywhere."""
    centre = code.rotation @ _CENTRE
    upright = code.rotation[:2, 1] / max(float(np.linalg.norm(code.rotation[:2, 1])), 1e-6)
    away = seen - centre[:2]
    up = away @ upright
    across = away @ np.array([upright[1], -upright[0]])
    egg = centre[2] + _DEEP * np.exp(-_BELL * ((across / _ACROSS) ** 2 + (up / _UP) ** 2))
    far = cv2.distanceTransform((~sure).astype(np.uint8), cv2.DIST_L2, 5) > _PASSAGE_CM * code.scale
    known = np.where(sure, depth_cm - egg, 0.0)[..., None]
    step = fill(known, sure | far)[..., 0]
    # Rounded on the face, too, which has its own exact flow: a corner would tear the hair beside it.
    return np.asarray(egg + cv2.GaussianBlur(step, (0, 0), 0.5 * code.scale))
