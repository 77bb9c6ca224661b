"""The one place that writes pixels into a plate.

Outside the matte every bit of every channel stays. Inside it only the *change* is carried over, so that a
change of nothing leaves the plate's bits too.

    detail   dec(e + w (enc(plate) - r) moved by the flow)   grain, pores and highlights stay the plate's own
    delta    dec(enc(plate) + e - r)
    replace  dec(e)                                          as published
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from stit_vfx.plate.colour import CodeSpace
from stit_vfx.plate.exr import HALF_MAX, Frame
from stit_vfx.plate.warp import (
    Roi,
    apply_matrix,
    crop_matrix,
    grid,
    quad_roi,
    quad_side,
    sample,
    sample_crop,
    uncrop,
    without_holes,
)

# Below this a matte would not change a half float by more than its last bits.
MATTE_FLOOR = 1 / 1024
# Flow below this, in crop px, is no movement: the plate's pixels are taken as they are, not resampled.
STILL_PX = 1e-4
# Keeps the decoder's exponential inside float64; light is limited after it.
CODE_LIMIT = 10.0
# The change is led to nothing over this share of the crop's side, so that its edge is never seen.
CROP_FADE = 0.04
# How far samples between pixels may leave the range of their neighbours, in such ranges, where code is plain.
OVERSHOOT, SHOULDER_FROM, FADE_BELOW = 0.25, 1.0, 0.2


@dataclass(frozen=True)
class Change:
    """An edit of a crop of side S, as it is carried to the plate.

    quad      (4, 2) plate px, rows NW SW SE NE
    edit      (S, S, 3) code: how the face shall look
    recon     (S, S, 3) code: how the same generator sees the plate
    flow      (S, S, 2) crop px: output pixel p takes the plate from p + flow; None: nothing moves
    residual  (S, S) 0..1: how much of the plate's own detail to keep; None: all of it
    matte     (S, S) 0..1: where the plate may change
    """

    mode: Literal["detail", "delta", "replace"]
    quad: np.ndarray
    edit: np.ndarray
    recon: np.ndarray
    flow: np.ndarray | None
    residual: np.ndarray | None
    matte: np.ndarray


@dataclass(frozen=True, eq=False)
class Composite:
    """The frame with the change in it, and what a compositor needs to do the same again.

    `matte` (H, W) 0..1 as applied; `edit_lin` (H, W, 3) scene-linear, premultiplied by the matte, so that
    plate * (1 - matte) + edit_lin is the composite. `changed_px` pixels were written; `bad_px` below the
    matte were not finite and stay (W301); `limited_px` were brought down to what half float holds (W305).
    """

    frame: Frame
    matte: np.ndarray
    edit_lin: np.ndarray
    changed_px: int = 0
    bad_px: int = 0
    limited_px: int = 0

    @property
    def matte_px(self) -> int:
        """How many pixels the matte allows to change."""
        return int(np.count_nonzero(self.matte))


def composite(
    frame: Frame,
    change: Change | None,
    code: CodeSpace,
    *,
    holdout: np.ndarray | None = None,
    grow: float = 0.0,
    soften: float = 0.0,
) -> Composite:
    """Carry a change to a frame; None: the frame comes back as it is, with an empty matte.

    holdout  (H, W) 0..1: white keeps the plate
    grow     plate px; negative shrinks. soften: plate px over which the matte falls off, inside itself
    Pixels that are not finite stay as they are, and so does every pixel that the change leaves alone.
    """
    height, width = frame.shape
    matte, edit_lin = np.zeros((height, width), np.float32), np.zeros((height, width, 3), np.float32)
    roi = (0, 0, 0, 0) if change is None else _reach(change, frame.shape, grow)
    if change is None or roi[0] >= roi[2] or roi[1] >= roi[3]:
        return Composite(frame, matte, edit_lin)
    inside = np.s_[roi[1] : roi[3], roi[0] : roi[2]]
    plate_lin, holes = without_holes(frame.rgb(roi))
    held = None if holdout is None else holdout[inside]
    wanted = finish_matte(change, roi, grow=grow, soften=soften, holdout=held)
    matte[inside] = part = np.where((wanted < MATTE_FLOOR) | holes, 0, wanted)
    new_lin, changed, limited = _changed(change, plate_lin, roi, code)
    edit_lin[inside] = part[..., None] * new_lin
    write = np.zeros((height, width), bool)
    write[inside] = changed & (part > 0)
    mixed = np.zeros((height, width, 3), np.float32)
    mixed[inside] = plate_lin + part[..., None] * (new_lin - plate_lin)
    return Composite(
        frame.with_rgb(write, mixed),
        matte,
        edit_lin,
        changed_px=int(np.count_nonzero(write)),
        bad_px=int(np.count_nonzero(holes & (wanted >= MATTE_FLOOR))),
        limited_px=int(np.count_nonzero(limited & write[inside])),
    )


def _changed(
    change: Change, plate_lin: np.ndarray, roi: Roi, code: CodeSpace
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The region after the change (h, w, 3) linear; where it differs; where it had to be limited.

    The shoulder makes enormous light of code above 1.2, so nothing may grow beyond half float, or beyond the
    plate where that is brighter still.
    """
    plate_code = code.encode(plate_lin)
    with np.errstate(invalid="ignore"):
        delta_code = DELTA[change.mode](change, plate_code, roi)
        new_lin = code.decode(np.minimum(plate_code + delta_code, CODE_LIMIT))
    # A generator that fails gives NaN, and log encodings have no code for some light: such pixels stay.
    changed = (delta_code != 0).any(-1) & np.isfinite(plate_code).all(-1) & ~np.isnan(new_lin).any(-1)
    limit = np.maximum(HALF_MAX, np.abs(plate_lin))
    limited = changed & (np.abs(new_lin) > limit).any(-1)
    return np.where(changed[..., None], np.clip(new_lin, -limit, limit), plate_lin), changed, limited


def finish_matte(
    change: Change,
    roi: Roi,
    *,
    grow: float = 0.0,
    soften: float = 0.0,
    holdout: np.ndarray | None = None,
) -> np.ndarray:
    """The crop's matte on the plate's region (h, w): grown, softened inwards, held out.

    It fades at the edge of the crop, beyond which there is no picture. A hold-out that is not finite holds.
    """
    matte = uncrop(change.matte, change.quad, roi)
    matte = soften_matte(grow_matte(matte, grow), soften)
    matte = matte * uncrop(_fade(change.matte.shape[0]), change.quad, roi)
    if holdout is not None:
        matte = matte * (1 - np.clip(np.where(np.isfinite(holdout), holdout, 1), 0, 1))
    return np.clip(matte, 0, 1)


def grow_matte(matte: np.ndarray, grow_px: float) -> np.ndarray:
    """Dilate (or erode, below zero) by a disc of that radius."""
    radius = round(abs(grow_px))
    if radius == 0:
        return matte
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return (cv2.dilate if grow_px > 0 else cv2.erode)(matte, disc)


def soften_matte(matte: np.ndarray, soften_px: float) -> np.ndarray:
    """Fall off over `soften_px` inside the matte: outside it stays exactly zero."""
    if soften_px <= 0:
        return matte
    inner = grow_matte(matte, -soften_px / 2)
    soft = cv2.GaussianBlur(inner, (0, 0), max(soften_px / 4, 0.3), borderType=cv2.BORDER_REPLICATE)
    return np.minimum(soft, np.where(matte > 0, 1, 0)).astype(np.float32)


def _fade(size: int) -> np.ndarray:
    """(size, size): 1, falling to 0 at the edge of the crop, smoothly."""
    ramp = np.clip(np.minimum(np.arange(size), np.arange(size)[::-1]) / (CROP_FADE * size), 0, 1)
    smooth = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return np.minimum(smooth[:, None], smooth[None, :])


def _reach(change: Change, shape: tuple[int, int], grow: float) -> Roi:
    """The region that the change can touch: around the matte, with a margin for the samples beside it."""
    quad = change.quad
    used = np.argwhere(np.asarray(change.matte) > 0)
    if len(used):
        size = change.matte.shape[0]
        (y0, x0), (y1, x1) = used.min(0) - 1, used.max(0) + 1
        corners = np.array([[x0, y0], [x0, y1], [x1, y1], [x1, y0]])
        quad = apply_matrix(np.linalg.inv(crop_matrix(quad, size)), corners)
    return quad_roi(quad, shape, margin=int(max(grow, 0)) + _moves_px(change) + 4)


def _moves_px(change: Change) -> int:
    """How far, in plate px, the flow reaches at most."""
    if change.flow is None:
        return 0
    plate_px_per_crop_px = quad_side(change.quad) / change.flow.shape[0]
    reach_px = np.abs(np.nan_to_num(change.flow, posinf=0, neginf=0)).max() * plate_px_per_crop_px
    return int(np.ceil(min(reach_px, quad_side(change.quad))))


def _seen_at(change: Change, roi: Roi) -> tuple[np.ndarray, np.ndarray]:
    """Matrix to the crop, and the region's pixels in crop px (h, w, 2)."""
    to_crop = crop_matrix(change.quad, change.edit.shape[0])
    return to_crop, apply_matrix(to_crop, grid(roi))


def _replace(change: Change, plate_code: np.ndarray, roi: Roi) -> np.ndarray:
    """e - P, as published."""
    _, here = _seen_at(change, roi)
    return sample_crop(change.edit, here, change.quad) - plate_code


def _delta(change: Change, plate_code: np.ndarray, roi: Roi) -> np.ndarray:
    """e - r."""
    _, here = _seen_at(change, roi)
    return sample_crop(change.edit - change.recon, here, change.quad)


def _detail(change: Change, plate_code: np.ndarray, roi: Roi) -> np.ndarray:
    """e + w (P(p') - r(c')) - P: c is a pixel in the crop, c' = c + flow its source, p' that in the plate.

    Written as (e - r) + (P(p') - P) + (r - r(c')) - (1 - w) (P(p') - r(c')), each exactly zero where nothing
    changes.
    """
    to_crop, here = _seen_at(change, roi)
    still = sample_crop(change.recon, here, change.quad)
    moved_code, moved_recon = plate_code, still
    if change.flow is not None:
        flow = np.nan_to_num(sample_crop(change.flow, here, change.quad), posinf=0, neginf=0)
        there = here + flow
        source = apply_matrix(np.linalg.inv(to_crop), there) - roi[:2]
        moves = (np.abs(flow) > STILL_PX).any(-1, keepdims=True)
        moved_code = np.where(moves, sample_within(plate_code, source), plate_code)
        moved_recon = np.where(moves, sample_crop(change.recon, there, change.quad), still)
    edited = sample_crop(change.edit - change.recon, here, change.quad)
    delta = edited + (moved_code - plate_code) + (still - moved_recon)
    if change.residual is None:
        return delta
    # Sampled as what is lost, since a sampled 0 is 0 but a sampled 1 may be 0.9999999.
    lost = sample_crop(1 - change.residual, here, change.quad)[..., None]
    return delta - lost * (moved_code - moved_recon)


def sample_within(plate_code: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Lanczos sampling, held near the neighbouring pixels' values; at pixel centres, the pixels.

    A cubic took a third of the energy of the finest octave, a hard limit another twentieth: so below code 0.8
    values may leave the neighbours' range by a little, as peaks between pixels do. In the shoulder they may
    not: it turns an overshoot of 0.1 into forty times the light.
    """
    kernel = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(plate_code, kernel), cv2.dilate(plate_code, kernel)
    room = OVERSHOOT * (high - low) * np.clip((SHOULDER_FROM - high) / FADE_BELOW, 0, 1)
    low, high = (sample(limit, points, how=cv2.INTER_NEAREST) for limit in (low - room, high + room))
    return np.clip(sample(plate_code, points, how=cv2.INTER_LANCZOS4), low, high)


DELTA = {"detail": _detail, "delta": _delta, "replace": _replace}
