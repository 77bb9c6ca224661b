"""Step 2, invert: crops and landmarks to the codes that the generator understands.

The encoder runs alone: its images are made by the tune step anyway. Packs that know the face's geometry fit
one person's shape to the landmarks of the whole shot first (O. Tov et al., "Designing an Encoder for StyleGAN
Image Manipulation", SIGGRAPH 2021, for the encoder). Packs without an encoder: `project`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from stit_vfx.packs.model import Code, FaceModel
from stit_vfx.shape.code import ShapeCode
from stit_vfx.steps.image import to_network

BATCH = 4
PREFIX = "shape."


def invert_shot(
    model: FaceModel,
    *,
    frames: Sequence[int],
    landmarks: np.ndarray,
    weights: np.ndarray,
    cuts: Sequence[int],
    quads: np.ndarray,
    crop_code: Callable[[int], np.ndarray],
    on_frame: Callable[[int, int], None] = lambda done, frame: None,
) -> dict[int, Code]:
    """Codes by frame.

    landmarks  (T, 68, 2) plate px, and weights (T,): how far each frame's are trusted
    cuts       rows at which a new stretch begins: after a cut, or a time without the face
    quads      (T, 4, 2) plate px
    crop_code  gives a frame's crop (S, S, 3); asked for in order, so memory does not grow with the shot
    on_frame   called with (frames done, frame)
    """
    shapes = model.fit(landmarks, weights, cuts=cuts)
    codes: dict[int, Code] = {}
    for start in range(0, len(frames), BATCH):
        part = slice(start, start + BATCH)
        crops = torch.cat([to_network(crop_code(frame), model.resolution) for frame in frames[part]])
        part_shapes = None if shapes is None else shapes[part]
        with torch.no_grad():
            ws = model.encode(crops, part_shapes, quads[part]).float().cpu().numpy()
        for offset, frame in enumerate(frames[part]):
            shape = None if part_shapes is None else part_shapes[offset]
            codes[frame] = Code(ws=ws[offset], shape=shape)
            on_frame(start + offset + 1, frame)
    return codes


def codes_to_arrays(codes: Mapping[int, Code]) -> dict[str, np.ndarray]:
    """Codes as named arrays with frames in the first axis, for the cache."""
    frames = sorted(codes)
    arrays: dict[str, np.ndarray] = {
        "frames": np.array(frames, np.int64),
        "ws": np.stack([codes[frame].ws for frame in frames]).astype(np.float32),
    }
    shapes = [codes[frame].shape for frame in frames]
    if shapes[0] is not None:
        for each in fields(ShapeCode):
            values = [getattr(shape, each.name) for shape in shapes]
            if values[0] is not None:
                arrays[f"{PREFIX}{each.name}"] = np.stack([np.asarray(value, np.float64) for value in values])
    return arrays


def codes_from_arrays(arrays: Mapping[str, np.ndarray]) -> dict[int, Code]:
    """The other way round."""
    return {
        int(frame): Code(ws=arrays["ws"][row], shape=_shape(arrays, row))
        for row, frame in enumerate(arrays["frames"])
    }


def _shape(arrays: Mapping[str, np.ndarray], row: int) -> ShapeCode | None:
    values: dict[str, Any] = {
        name.removeprefix(PREFIX): array[row] for name, array in arrays.items() if name.startswith(PREFIX)
    }
    if not values:
        return None
    return ShapeCode(**{name: value.item() if value.ndim == 0 else value for name, value in values.items()})
