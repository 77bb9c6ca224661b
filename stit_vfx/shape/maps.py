"""What the generator and its encoder are told about the face's geometry, as images."""

from __future__ import annotations

import numpy as np

from stit_vfx.shape.code import ShapeCode, crop_affine
from stit_vfx.shape.model import EYE, MOUTH, TEETH, ShapeModel
from stit_vfx.shape.raster import Raster, rasterise

Array = np.ndarray

# Place on the average neutral face in decimetres; normal towards the camera's right, up and front; 0/1 masks.
CHANNELS = ("x", "y", "z", "normal_x", "normal_y", "normal_z", "cover", "mouth", "teeth", "eye")
POSITION, NORMAL, COVER = slice(0, 3), slice(3, 6), 6
_PARTS = {MOUTH: 7, TEETH: 8, EYE: 9}


def draw(model: ShapeModel, code: ShapeCode, size: int) -> tuple[Raster, Array]:
    """The code's face, already in crop px, and its vertices (V, 3) in centimetres."""
    vertices = model.surface(code)
    return rasterise(code.project(vertices), model.triangles, (size, size)), vertices


def conditioning_maps(model: ShapeModel, code: ShapeCode, quad: Array, size: int) -> Array:
    """(C, size, size) float32 of CHANNELS: the face of `code` (plate px) seen through `quad` (4, 2) plate px.

    0 off the face. `mouth` is 1 on all that lies between the lips, teeth included.
    """
    seen = code.through(crop_affine(quad, size))
    raster, vertices = draw(model, seen, size)
    normal = raster.read(model.normals(vertices)) @ seen.rotation.T.astype(np.float32)
    values = np.zeros((len(raster.pixels), len(CHANNELS)), np.float32)
    values[:, POSITION] = raster.read(model.neutral) / 10
    values[:, NORMAL] = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    values[:, COVER] = 1
    part = model.parts[raster.corners[:, 0]]
    for number, channel in _PARTS.items():
        values[part == number, channel] = 1
    values[part == TEETH, _PARTS[MOUTH]] = 1
    return np.ascontiguousarray(raster.image(values).transpose(2, 0, 1))
