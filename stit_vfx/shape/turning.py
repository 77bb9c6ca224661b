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
from stit_vfx.shape.ramp import ramp, smoothstep

Array = np.ndarray

# The egg in the model's axes, centimetres, hair included; its depth falls off like a bell.
_CENTRE, _ACROSS, _UP, _DEEP, _BELL = np.array([0.0, 2.5, 1.5]), 9.5, 12.5, 10.0, 1.8
_PASSAGE_CM = 3.0  # from the sure face to the egg
_OF_WAY = 0.7  # of the way to the crop's edge: no step is longer
_NECK_CM = (-7.0, -15.0)  # the turn begins to fade at the chin's height, and is gone at the collar
_CHIN = np.array([0.0, -7.5, 9.0])
_BELOW_CM = (7.0, 3.0)  # above the chin: between these heights the neck takes over
_COLLAR_CM = 1.0  # above the chin: a collar that reaches higher does not hold a jaw that turns
_CLOTH, _BESIDE_CM = 0.3, 0.35  # share from which there is a collar, and how far its colour reaches
_YIELDS_CM = (1.2, 3.2)  # a turn of 15 degrees moves a chin by 2, along a collar or towards it
_SEAM_CM = 0.6  # inside the jaw's edge: over so much the one goes over into the other
_ROUND_CM = 0.3
_EASE_CM = 0.2  # a step in the flow is spread over so much
_COARSE, _ROUNDS = 4, 150


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
    share = ramp(on_head[..., 1], low, high)[..., None]
    moved = (source - here)[..., :2] * [1, -1] * after.scale + (before.translation - after.translation)
    moved = moved * share
    return np.asarray(_within_crop(moved), np.float32)


def one_piece(sure: Array) -> Array:
    """(S, S) bool without what lies apart: a patch of cheek at an ear would split its lobe."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(sure.astype(np.uint8), connectivity=4)
    return sure if count < 3 else np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def eased(flow: Array, sure: Array, px_per_cm: float) -> Array:
    """The flow (S, S, 2) without a step at the outline of what is `sure` (S, S) bool: it would draw the rim
    of the far cheek in steps of a pixel.
    """
    outline = np.zeros(sure.shape, np.uint8)
    edges, _ = cv2.findContours(sure.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(outline, edges, -1, 1)
    away = cv2.distanceTransform(1 - outline, cv2.DIST_L2, 5) / (_EASE_CM * px_per_cm)
    soft = cv2.GaussianBlur(flow, (0, 0), _EASE_CM * px_per_cm)
    return np.asarray(flow + smoothstep(2 - away)[..., None] * (soft - flow), flow.dtype)


def over_neck(
    flow: Array,
    turn: Array,
    after: ShapeCode,
    sure: Array,
    cloth: Array,
    *,
    yields_cm: float | None = None,
) -> tuple[Array, Array]:
    """The flow of the skin and of what sits on the head, (S, S, 2) px each, with the neck drawn out evenly
    between the jaw, which goes where it goes, and the collar, which stays. Above the jaw nothing changes.

    sure (S, S) bool: firmly on the face; cloth (S, S) 0..1, none where nothing is known of it. yields_cm: so
    near a collar the jaw gives way; without it, as it moves along the collar or towards it.
    """
    seen = _seen_cm(after, sure.shape)
    above = (seen - (after.rotation @ _CHIN)[:2]) @ _upright(after)
    edge = np.pad(np.zeros(np.array(sure.shape) - 2, bool), 1, constant_values=True)
    lower = above < _BELOW_CM[0]
    # A jaw that turns slides along the tips of a collar, and is held by what is below it.
    pins = cloth if yields_cm is not None else cloth * smoothstep(_COLLAR_CM - above)
    bare = cv2.distanceTransform((pins < _CLOTH).astype(np.uint8), cv2.DIST_L2, 5)
    clothed = lower & (bare < _BESIDE_CM * after.scale)
    # There the jaw gives way, or all of the turn would be drawn out of a few pixels.
    to_frame = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 5)
    if yields_cm is None:
        jaw_cm, frame_cm = _yields(flow[sure & lower], _upright(after) * [1, -1]), _YIELDS_CM[1]
    else:
        jaw_cm, frame_cm = yields_cm, yields_cm
    sure = sure & ~(lower & ((bare < jaw_cm * after.scale) | (to_frame < frame_cm * after.scale)))
    low = _NECK_CM[1] - _CHIN[1]
    still = ~sure & ((above < low) | edge | clothed)
    one = sure[..., None].astype(np.float32)
    drawn = _even(np.concatenate([one * flow, one], -1), sure, still)
    # A corner at the jaw's edge would be drawn out most.
    drawn = cv2.GaussianBlur(drawn, (0, 0), _ROUND_CM * after.scale)
    drawn *= np.clip(bare / (_BESIDE_CM * after.scale), 0, 1)[..., None]
    high, end = _BELOW_CM
    share = smoothstep((high - above) / (high - end))[..., None]
    inside = cv2.distanceTransform(sure.astype(np.uint8), cv2.DIST_L2, 5) / (_SEAM_CM * after.scale)
    share_skin = share * (1 - np.clip(inside, 0, 1)[..., None])
    skin = flow + share_skin * (_within_crop(drawn[..., :2]) - flow)
    # Long hair hangs: beside the jaw it goes with the skull, and ever less so further down.
    hair = turn * (1 - share + share * drawn[..., 2:])
    return np.asarray(skin, flow.dtype), np.asarray(hair, turn.dtype)


def _yields(jaw: Array, upright: Array) -> float:
    """Centimetres from a flow (n, 2) of the jaw and the head's upward axis in the picture, right and down: a
    neck is sheared without harm, but it is not squeezed.
    """
    mean = jaw.mean(0) if len(jaw) else np.zeros(2)
    along, towards = _YIELDS_CM
    return float(along + (towards - along) * abs(mean @ upright) / max(float(np.linalg.norm(mean)), 1e-6))


def _even(values: Array, sure: Array, still: Array) -> Array:
    """(S, S, C) the values where `sure` (S, S) bool, 0 where `still`, and between them as a skin stretches:
    Laplace's equation, on a grid of a few millimetres.
    """
    size = sure.shape[1], sure.shape[0]
    small = ((size[0] + _COARSE - 1) // _COARSE, (size[1] + _COARSE - 1) // _COARSE)
    weights = cv2.resize(np.dstack([sure, still]).astype(np.float32), small, interpolation=cv2.INTER_AREA)
    known = values * sure[..., None]
    fixed = cv2.resize(known.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    total = weights.sum(2)
    fixed /= np.maximum(total, 1e-6)[..., None]
    held = (total > 0.5)[..., None]
    even = fill(fixed, held[..., 0].astype(np.float32))
    for _ in range(_ROUNDS):
        even = np.where(held, fixed, cv2.blur(even, (3, 3)))
    return np.asarray(cv2.resize(even, size, interpolation=cv2.INTER_LINEAR).reshape(values.shape))


def _upright(code: ShapeCode) -> Array:
    """(2,) the head's upward axis in the picture, right and up."""
    return code.rotation[:2, 1] / max(float(np.linalg.norm(code.rotation[:2, 1])), 1e-6)


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
    upright = _upright(code)
    away = seen - centre[:2]
    up = away @ upright
    across = away @ np.array([upright[1], -upright[0]])
    egg = centre[2] + _DEEP * np.exp(-_BELL * ((across / _ACROSS) ** 2 + (up / _UP) ** 2))
    far = cv2.distanceTransform((~sure).astype(np.uint8), cv2.DIST_L2, 5) > _PASSAGE_CM * code.scale
    known = np.where(sure, depth_cm - egg, 0.0)[..., None]
    step = fill(known, sure | far)[..., 0]
    # Rounded on the face, too, which has its own exact flow: a corner would tear the hair beside it.
    return np.asarray(egg + cv2.GaussianBlur(step, (0, 0), 0.5 * code.scale))
