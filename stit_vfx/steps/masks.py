"""Where the edit may act, and the ring in which it must meet its surroundings.

The mask arithmetic of "Stitch it in Time" (Tzaban et al. 2022), with a separable maximum in place of a
one-hot convolution: the same bits in milliseconds. Sizes in settings are pixels of a 1024 crop, as published,
and are scaled to the picture at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

CONVENTION_PX = 1024


@dataclass(frozen=True)
class Masks:
    """(S, S) float32 in 0..1 each: `content` keeps the edit, `border` meets the rest, `full` is both."""

    content: np.ndarray
    border: np.ndarray
    full: np.ndarray


def dilate(mask: np.ndarray, radius_px: int) -> np.ndarray:
    """Maximum over the square of side 2 * radius + 1; what lies outside the picture does not count."""
    if radius_px <= 0:
        return mask.astype(np.float32)
    side = 2 * radius_px + 1
    return cv2.dilate(mask.astype(np.float32), np.ones((side, side), np.uint8))


def masks_px(
    foreground: np.ndarray, *, border: int, inner: int = 0, outer: int = 0, whole_image_border: bool = False
) -> Masks:
    """Masks of a foreground (S, S), all sizes in its own pixels.

    inner   grow the part that is edited; the grown band itself is then in neither `content` nor `border`
    outer   width of the ring around it
    border  where the edited part touches the picture's edge, that many pixels belong to the ring too
    whole_image_border  everything around the edited part is ring
    """
    touched = dilate(foreground, inner)
    full = dilate(touched, outer)
    ring = 1 - touched if whole_image_border else full - touched
    at_edge = np.minimum(_frame(foreground.shape, border), touched)
    edge = np.clip(np.maximum(at_edge, ring), 0, 1)
    return Masks(np.clip(foreground - edge, 0, 1).astype(np.float32), edge, full)


def masks(
    foreground: np.ndarray, *, outer: int = 50, inner: int = 0, whole_image_border: bool = False
) -> Masks:
    """Masks of a foreground (S, S); `outer` and `inner` in pixels of a 1024 crop."""
    size = foreground.shape[0]
    ring = scaled(outer, size)
    return masks_px(
        foreground,
        border=ring,
        inner=scaled(inner, size),
        outer=ring,
        whole_image_border=whole_image_border,
    )


def matte_from_foreground(
    foreground: np.ndarray, *, outer: int = 50, inner: int = 0, feather: int = 0
) -> np.ndarray:
    """Where the plate may change, (S, S) float32 0..1: the edited part and the ring around it.

    All sizes in pixels of a 1024 crop.
    """
    full = masks(foreground, outer=outer, inner=inner).full
    return feathered_px(full, scaled(feather, len(full)))


def feathered_px(mask: np.ndarray, radius_px: int) -> np.ndarray:
    """The published feathering: eroded by a square of that radius, then blurred by a Gaussian as wide.

    What lies outside the crop counts as 0, so that a mask that touches its edge fades there too.
    """
    if radius_px <= 0:
        return mask
    side = 2 * radius_px + 1
    square = np.ones((side, side), np.uint8)
    eroded = cv2.erode(mask.astype(np.float32), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    # The width that OpenCV takes by itself for a kernel of this size.
    sigma = 0.3 * ((side - 1) / 2 - 1) + 0.8
    return cv2.GaussianBlur(eroded, (side, side), sigma)


def scaled(pixels: int, size: int) -> int:
    """Pixels of a 1024 crop in a crop of another size; what is more than nothing stays at least one."""
    return max(round(pixels * size / CONVENTION_PX), 1) if pixels > 0 else 0


def _frame(shape: tuple[int, ...], width: int) -> np.ndarray:
    """1 within `width` pixels of the picture's edge."""
    frame = np.ones(shape, np.float32)
    frame[width : shape[0] - width, width : shape[1] - width] = 0
    return frame
