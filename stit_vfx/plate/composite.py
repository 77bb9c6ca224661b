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
from stit_vfx.plate.exr import Frame
from stit_vfx.plate.warp import apply_matrix, crop_matrix, grid, quad_roi, sample, uncrop

# Below this a matte would not change a half float by more than its last bits.
MATTE_FLOOR = 1 / 1024
# Code differences below this are rounding of the warps, not an edit.
NO_CHANGE = 2e-6
# The change is led to nothing over this share of the crop's side, so that its edge is never seen.
CROP_FADE = 0.04


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


@dataclass(frozen=True)
class Composite:
    """`matte` (H, W) 0..1 as applied; `edit_lin` (H, W, 3) scene-linear, premultiplied by the matte:
    plate * (1 - matte) + edit_lin is the composite."""

    frame: Frame
    matte: np.ndarray
    edit_lin: np.ndarray


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
    """
    height, width = frame.shape
    matte, edit_lin = np.zeros((height, width), np.float32), np.zeros((height, width, 3), np.float32)
    roi = (0, 0, 0, 0) if change is None else _reach(change.quad, frame.shape, grow)
    if change is None or roi[0] >= roi[2] or roi[1] >= roi[3]:
        return Composite(frame, matte, edit_lin)
    inside = np.s_[roi[1] : roi[3], roi[0] : roi[2]]
    plate_lin = frame.rgb()[inside]
    finite = np.isfinite(plate_lin).all(-1)
    plate_code = code.encode(np.where(finite[..., None], plate_lin, 0))
    held = None if holdout is None else holdout[inside]
    part = finish_matte(change, roi, grow=grow, soften=soften, holdout=held) * finite
    matte[inside] = np.where(part < MATTE_FLOOR, 0, part)
    changed_code = CHANGED[change.mode](change, plate_code, roi)
    changed = (np.abs(changed_code - plate_code) > NO_CHANGE).any(-1)
    changed_lin = np.where(changed[..., None], code.decode(changed_code), plate_lin)
    write = np.zeros((height, width), bool)
    write[inside] = changed & (matte[inside] > 0)
    mixed = np.zeros((height, width, 3), np.float32)
    weight = matte[inside][..., None]
    with np.errstate(invalid="ignore"):  # infinite light times a matte of zero; never written
        mixed[inside] = plate_lin + weight * (changed_lin - plate_lin)
        edit_lin[inside] = np.where(weight > 0, weight * changed_lin, 0)
    return Composite(frame.with_rgb(write, mixed), matte, edit_lin)


def finish_matte(
    change: Change,
    roi: tuple[int, int, int, int],
    *,
    grow: float = 0.0,
    soften: float = 0.0,
    holdout: np.ndarray | None = None,
) -> np.ndarray:
    """The crop's matte on the plate's region (h, w): grown, softened inwards, held out, faded at the crop's edge."""
    matte = uncrop(change.matte, change.quad, roi)
    matte = soften_matte(grow_matte(matte, grow), soften)
    matte = matte * uncrop(_fade(change.matte.shape[0]), change.quad, roi)
    return matte if holdout is None else matte * (1 - np.clip(holdout, 0, 1))


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


def _reach(quad: np.ndarray, shape: tuple[int, int], grow: float) -> tuple[int, int, int, int]:
    return quad_roi(quad, shape, margin=int(max(grow, 0)) + 2)


def _replaced(change: Change, plate_code: np.ndarray, roi: tuple[int, int, int, int]) -> np.ndarray:
    points = apply_matrix(crop_matrix(change.quad, change.edit.shape[0]), grid(roi))
    return sample(change.edit, points)


def _delta(change: Change, plate_code: np.ndarray, roi: tuple[int, int, int, int]) -> np.ndarray:
    points = apply_matrix(crop_matrix(change.quad, change.edit.shape[0]), grid(roi))
    return plate_code + sample(change.edit - change.recon, points)


def _detail(change: Change, plate_code: np.ndarray, roi: tuple[int, int, int, int]) -> np.ndarray:
    """e + w (P(p') - r(c')): c is a plate pixel in the crop, c' = c + flow its source there, p' its in the plate."""
    to_crop = crop_matrix(change.quad, change.edit.shape[0])
    here = apply_matrix(to_crop, grid(roi))
    edit = sample(change.edit, here)
    moved, still = plate_code, sample(change.recon, here)
    if change.flow is not None:
        flow = sample(change.flow, here)
        source = apply_matrix(np.linalg.inv(to_crop), here + flow) - roi[:2]
        moves = (np.abs(flow) > 1e-4).any(-1, keepdims=True)
        moved = np.where(moves, sample_within(plate_code, source), plate_code)
        still = np.where(moves, sample(change.recon, here + flow), still)
    weight = 1.0 if change.residual is None else sample(change.residual, here)[..., None]
    return (edit - weight * still + weight * moved).astype(np.float32)


def sample_within(plate_code: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Cubic sampling that stays within the neighbouring pixels' values.

    The shoulder turns an overshoot of 0.1 into twenty times the light, so there must be none.
    """
    kernel = np.ones((3, 3), np.uint8)
    low = sample(cv2.erode(plate_code, kernel), points, how=cv2.INTER_NEAREST)
    high = sample(cv2.dilate(plate_code, kernel), points, how=cv2.INTER_NEAREST)
    return np.clip(sample(plate_code, points, how=cv2.INTER_CUBIC), low, high)


CHANGED = {"detail": _detail, "delta": _delta, "replace": _replaced}
