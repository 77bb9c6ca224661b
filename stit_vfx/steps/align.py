"""Step 1, align: from a plate and the crop's corners to the crop that everything else works on.

Where the corners come from, the paper's section 3.1 and our tracking, is in `stit_vfx.face`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stit_vfx.plate.colour import CodeSpace
from stit_vfx.plate.warp import coverage, crop, quad_roi


@dataclass(frozen=True)
class Crop:
    """`crop_code` (S, S, 3) float32 code, unclamped; `valid` (S, S), 1 where the plate has pixels."""

    crop_code: np.ndarray
    valid: np.ndarray


def cut(plate_lin: np.ndarray, quad: np.ndarray, *, size: int, code: CodeSpace) -> Crop:
    """Cut the crop of a frame, antialiased, in code space.

    plate_lin  (H, W, 3) scene-linear; pixels that are not finite count as black here, so that no warp can
               spread them (the composite leaves them as they are)
    quad       (4, 2) plate px, rows NW SW SE NE
    """
    x0, y0, x1, y1 = quad_roi(quad, plate_lin.shape[:2], margin=8)
    near_lin = plate_lin[y0:y1, x0:x1] if x1 > x0 and y1 > y0 else plate_lin[:1, :1]
    near_code = code.encode(np.where(np.isfinite(near_lin), near_lin, 0).astype(np.float32))
    return Crop(
        crop(near_code, quad - (x0, y0), size).astype(np.float32),
        coverage(quad, size, plate_lin.shape[:2]).astype(np.float32),
    )
