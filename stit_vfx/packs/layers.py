"""A crop taken apart into what moves and what does not, and put together again after the face has moved.

Three layers, from the back: the backdrop, which stays; the face with its neck, which follows the flow; and
what hangs or stands before the face (hair, glasses, a hat, a hand, a collar), which stays. Nothing is keyed:
the picture is kept, and only the *difference* that the moved face makes is added to it, so that an error of
the mattes costs at most some of the edit, and never leaves a hole.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stit_vfx.plate.composite import sample_within
from stit_vfx.shape.fill import fill
from stit_vfx.shape.guided import guided
from stit_vfx.shape.parts import Parts
from stit_vfx.shape.zones import Zones

Array = np.ndarray

_FACE = ("skin", "brow", "eye", "lips", "mouth", "neck")
_RADIUS, _NOISE = 0.016, 0.04  # of the crop's side, of code: how far mattes look for an edge, and what is one
_DOUBT = 0.1  # a softmax is never quite 0 or 1: shares within this of either are
_SPILL = 0.008  # of the crop's side: so near an obstacle its colour may have run into the skin
_ELSE = 0.02  # weight of hair and cloth as a guess at the backdrop, for where none of it is near
_FRAMES_SEEN = (0.02, 0.12)  # mean share of frames where they cross the bridge and the cheeks


@dataclass(frozen=True)
class Layers:
    """`front` (S, S) 0..1: what lies before the face. `face` (S, S) 0..1: how far the face, as it would be
    without that, covers the backdrop. `invented` (S, S) 0..1: how much of `clean` is made up. `clean`
    (S, S, 3) code: the crop without what lies before the face. `backdrop` (S, S, 3) code: the crop without
    the head.
    """

    front: Array
    face: Array
    invented: Array
    clean: Array
    backdrop: Array

    @classmethod
    def of(cls, crop_code: Array, parts: Parts, zones: Zones) -> Layers:
        """From a crop (S, S, 3) code and what it shows."""
        size = len(crop_code)
        face, behind, front = np.moveaxis(_shares(crop_code, parts, zones), 2, 0)
        covers = _decided(fill(_ratio(face, face + behind)[..., None], face + behind)[..., 0])
        spill = max(1, round(_SPILL * size))
        hidden, spilt = _grown(front, spill), _grown(1 - behind, max(1, spill // 2))
        near = _sure(behind * (1 - spilt)) + _ELSE * _sure((1 - face) * (1 - _grown(face, spill)))
        skin = fill(crop_code, _sure(face * (1 - hidden)))
        backdrop = _mixed(crop_code, 1 - spilt, fill(crop_code, near))
        guess = covers[..., None] * skin + (1 - covers)[..., None] * backdrop
        clean = _mixed(crop_code, 1 - hidden, guess)
        return cls(front, covers, hidden, clean, backdrop)

    def moved(self, flow: Array) -> tuple[Array, Array]:
        """The clean crop (S, S, 3) code with its face moved over the backdrop, and where the face then is."""
        here = _grid(len(flow))
        there = here + flow
        face = np.clip(sample_within(self.face, there), 0, 1)
        bare = (1 - face)[..., None]
        # In this order the backdrop keeps its bits: there, clean crop and backdrop are the same.
        moved = sample_within(self.clean, there) - bare * sample_within(self.backdrop, there)
        return moved + bare * self.backdrop, face

    def over(self, crop_code: Array, edited: Array) -> Array:
        """The crop (S, S, 3) with the difference of the edited clean crop in it, behind what is in front."""
        shown = (1 - self.front)[..., None]
        changed = crop_code + shown * (edited - self.clean)
        # A share of code is no share of light: above the shoulder an overshoot would glare.
        return np.minimum(changed, np.maximum(crop_code, np.maximum(edited, self.clean)))

    def carried(self, flow: Array, face: Array, revealed: Array) -> tuple[Array, Array]:
        """Flow (S, S, 2) and residual (S, S) for the plate's own detail: with the face where it shows, still
        where something else does, and none where the picture was invented.
        """
        shows = face * (1 - self.front)
        with_face = (shows > 0.5)[..., None]
        hidden = sample_within(self.invented, _grid(len(flow)) + flow)
        stays = np.maximum(self.front, 1 - np.maximum(self.face, self.invented))
        kept = np.where(with_face[..., 0], shows * (1 - hidden), stays)
        still = (flow == 0).all(-1)
        return np.where(with_face, flow, 0), np.where(still, 1, kept) * (1 - revealed)


def _shares(crop_code: Array, parts: Parts, zones: Zones) -> Array:
    """(S, S, 3): face, backdrop, and what is before the face, at the picture's own edges; they sum to 1."""
    size = len(crop_code)
    frames = parts.of("glasses") * _worn(parts.of("glasses"), zones.frames)
    hair = parts.of("hair")
    beard = hair * zones.beard
    front = frames + hair - beard + parts.of("hat", "cloth", "hand", "thing")
    face = parts.of(*_FACE) + beard + parts.of("glasses") - frames
    rough = np.stack([face, parts.of("background"), front], -1)
    radius = max(2, round(_RADIUS * size))
    fine = guided(rough, np.clip(crop_code, 0, 1), radius_px=radius, noise=_NOISE)
    fine[..., 2] = np.maximum(fine[..., 2], frames)  # thinner than the filter's window
    fine = _decided(fine)
    return np.asarray(fine / np.maximum(fine.sum(2, keepdims=True), 1e-6))


def _worn(glasses: Array, where: Array) -> float:
    """0..1: whether glasses are worn. Dark brows may look like frames; only frames cross the bridge."""
    low, high = _FRAMES_SEEN
    seen = float((glasses * where).sum() / max(float(where.sum()), 1e-6))
    return float(_smooth(np.array((seen - low) / (high - low))))


def _mixed(crop_code: Array, known: Array, guess: Array) -> Array:
    """(S, S, 3) the crop where it is known, bit for bit, and the guess where it is not."""
    share = known[..., None]
    return np.where(share == 1, crop_code, share * crop_code + (1 - share) * guess).astype(np.float32)


def _sure(share: Array) -> Array:
    """Weights for filling: of mixed pixels little is known. Never quite nothing, so that there is a mean."""
    return _smooth((share - 0.5) / 0.5) + 1e-6


def _grown(share: Array, radius_px: int) -> Array:
    """(S, S) the share, grown by a disc and soft again."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
    soft = cv2.GaussianBlur(cv2.dilate(share.astype(np.float32), disc), (0, 0), 0.5 * radius_px)
    return _smooth(np.maximum(soft, share) / 0.8)


def _decided(share: Array) -> Array:
    return _smooth((share - _DOUBT) / (1 - 2 * _DOUBT))


def _ratio(part: Array, whole: Array) -> Array:
    return part / np.maximum(whole, 1e-6)


def _smooth(x: Array) -> Array:
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def _grid(size: int) -> Array:
    y, x = np.mgrid[:size, :size]
    return np.stack([x, y], -1).astype(np.float64)
