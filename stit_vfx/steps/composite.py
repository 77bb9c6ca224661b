"""Step 6, composite: from the stitched crops to what is carried to the plate.

The one function that writes pixels into a plate is `stit_vfx.plate.composite.composite`; here its change is
put together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from stit_vfx.packs.model import Code, FaceModel
from stit_vfx.plate.composite import Change
from stit_vfx.plate.warp import resize_square

if TYPE_CHECKING:
    from stit_vfx.shape.mouth_memory import MouthMemory

Mode = Literal["detail", "delta", "replace"]


def change_of(
    model: FaceModel,
    before: Code,
    after: Code,
    *,
    mode: Mode,
    quad: np.ndarray,
    crop_code: np.ndarray,
    recon: np.ndarray,
    edited: np.ndarray,
    matte: np.ndarray,
    mouth: MouthMemory | None = None,
) -> Change:
    """What to carry to the plate.

    crop_code (S, S, 3); recon and edited (R, R, 3), the generator's, all code; matte (S, S) of the crop.
    `mouth`: what other frames of the shot show of the inside of the actor's mouth, for models that ask.
    `delta` and `replace` take the generator's pictures as they are; `detail` asks the model how the face's
    surface moves, so that the plate's own pixels can move with it.
    """
    if mode == "detail":
        pictures = {"crop_code": crop_code, "recon": recon, "edited": edited, "matte": matte}
        how = model.change(before, after, quad=quad, **pictures, mouth=mouth)
        return Change(mode, quad, how.edit, how.recon, how.flow, how.residual, matte)
    size = crop_code.shape[0]
    return Change(mode, quad, resize_square(edited, size), resize_square(recon, size), None, None, matte)


def no_change(quad: np.ndarray, crop_code: np.ndarray, matte: np.ndarray) -> Change:
    """The change of an edit at zero: the plate comes out bit for bit, with the matte it would have had."""
    return Change("delta", quad, crop_code, crop_code, None, None, matte)
