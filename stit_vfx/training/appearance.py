"""The part of an edit that geometry does not carry: grey hair, worn skin. Measured on synthetic faces.

Each pair is one person drawn before and after a change, all else equal; the direction is the mean difference
of what the encoder makes of them, each seen with its own maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from stit_vfx.gan.geometry import GeometryEncoder
from stit_vfx.shape.code import ShapeCode
from stit_vfx.shape.maps import conditioning_maps
from stit_vfx.shape.model import ShapeModel
from stit_vfx.training.conditioning import whole_quad
from stit_vfx.training.faces import Face, Picture, Studio, draw

Array = np.ndarray
Change = Callable[[Face], tuple[Face, Face]]

PAIRS_SEED = 4_000
_SHARE = 0.6  # the full difference also lightens cloth and backdrop, for w is not local


def _older(face: Face) -> tuple[Face, Face]:
    """Adult to old; the hair greys as it does in `sample`, at the middle of its range."""
    return face.aged(0.25, 0.0), face.aged(0.95, 0.65)


CHANGES: dict[str, Change] = {"age": _older}


def code_of(studio: Studio, face: Face, picture: Picture) -> ShapeCode:
    """The code of a drawn face in px of its picture."""
    return ShapeCode(
        identity=face.identity,
        expression=studio.head.expression(face.controls),
        rotation=picture.camera.rotation,
        scale=picture.camera.scale,
        translation=picture.camera.translation,
    )


def network_input(studio: Studio, model: ShapeModel, face: Face, size: int) -> tuple[Tensor, Tensor]:
    """Crop (3, S, S) in [-1, 1] and maps (C, S, S) of a face."""
    picture = studio.draw(face, size)
    maps = conditioning_maps(model, code_of(studio, face, picture), whole_quad(size), size)
    return torch.from_numpy(picture.image).permute(2, 0, 1) * 2 - 1, torch.from_numpy(maps)


def _pairs(change: Change, count: int) -> Iterator[tuple[Face, Face]]:
    for index in range(count):
        yield change(draw(PAIRS_SEED, index))


@torch.no_grad()
def appearance_direction(
    encoder: GeometryEncoder, studio: Studio, model: ShapeModel, name: str, *, count: int = 96
) -> Array:
    """(num_ws, w_dim) float32: what strength 1 of an edit adds, a good half of the change in `CHANGES`."""
    size = encoder.config.resolution
    total = torch.zeros(encoder.config.num_ws, encoder.config.w_dim)
    for faces in _pairs(CHANGES[name], count):
        crops, maps = zip(*(network_input(studio, model, face, size) for face in faces), strict=True)
        before, after = encoder(torch.stack(crops), torch.stack(maps))
        total += after - before
    return (_SHARE * total / count).numpy()
