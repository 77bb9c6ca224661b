"""Direction arithmetic in w, W+ and style space.

Several directions add up; their order does not matter. What a direction does to a face's geometry is the
geometry-aware model's own affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from stit_vfx.errors import PackFormatError
from stit_vfx.packs.model import AffineMap, Code, Direction, FaceModel
from stit_vfx.packs.schema import DirectionSpec


def move_appearance(code: Code, moves: Sequence[tuple[Direction, float]]) -> Code:
    """The code with its rows and style offsets moved; each direction by strength times its scale.

    Transformers look at the rows as they were before any edit, so that no edit depends on another.
    """
    rows = code.ws.astype(np.float64)
    ws = rows
    style = None if code.style is None else code.style.astype(np.float64)
    for direction, strength in sorted(moves, key=_order):
        amount = strength * direction.scale
        if direction.transformer is not None:
            ws = ws + amount * transformed_rows(direction, rows)
        elif direction.vector is None:
            continue
        elif direction.space == "style":
            style = (0 if style is None else style) + amount * direction.vector
        else:
            ws = ws + amount * direction_rows(direction, len(rows))
    return replace(code, ws=ws.astype(np.float32), style=None if style is None else style.astype(np.float32))


def _order(move: tuple[Direction, float]) -> tuple[str, str, tuple[int, ...], float]:
    """Moves are summed in an order of their own, so that the order of edits cannot change the last bit."""
    direction, strength = move
    return direction.key, direction.name, direction.layers or (), strength


def direction_rows(direction: Direction, num_ws: int) -> np.ndarray:
    """A w or w+ direction as rows (num_ws, w_dim), zero in rows outside its layers.

    A w direction moves all rows alike; a w+ direction moves each row its own way, whatever the published
    pipeline did with it (it read row 0 alone).
    """
    assert direction.vector is not None
    vector = np.asarray(direction.vector, np.float64)
    rows = np.tile(vector, (num_ws, 1)) if vector.ndim == 1 else vector.copy()
    return _within(rows, direction.layers)


def transformed_rows(direction: Direction, ws: np.ndarray) -> np.ndarray:
    """By how much a transformer moves rows (num_ws, w_dim) at strength times scale 1; zero outside layers."""
    assert direction.transformer is not None
    points = ws if direction.space == "w" else ws.reshape(-1)
    return _within(direction.transformer(points).reshape(ws.shape), direction.layers)


def _within(rows: np.ndarray, layers: Sequence[int] | None) -> np.ndarray:
    """The rows with zeros outside the layers."""
    if layers is None:
        return rows
    kept = np.zeros((len(rows), 1), bool)
    kept[list(layers)] = True
    return np.where(kept, rows, 0)


def style_within(vector: np.ndarray, layers: Sequence[int] | None, *, rows: np.ndarray) -> np.ndarray:
    """A style direction with zeros in the channels whose row of W+ is not one of the layers.

    rows  (channels,): the row that each style channel is made from
    """
    return vector if layers is None else np.where(np.isin(rows, layers), vector, 0)


def read_transformer(
    name: str, spec: DirectionSpec, tensors: Mapping[str, Tensor], *, model: FaceModel, where: Path
) -> AffineMap:
    """A direction's transformer from the tensors of its file, checked against the model.

    `key.weight` (D, D), or `key.up` (D, r) and `key.down` (r, D); `key.bias` (D,) if there is one. D is w_dim
    for space w, num_ws * w_dim for w+. Raises PackFormatError naming the tensor.
    """
    key, size = spec.key or name, model.w_dim * (1 if spec.space == "w" else model.num_ws)
    parts = ("weight",) if f"{key}.weight" in tensors else ("up", "down")
    factors = tuple(_finite(f"{key}.{part}", name, tensors, where) for part in parts)
    rank = size if len(factors) == 1 else factors[-1].size // size
    wanted = [(size, rank)] if len(factors) == 1 else [(size, rank), (rank, size)]
    bias = np.zeros(size)
    if f"{key}.bias" in tensors:
        bias = _finite(f"{key}.bias", name, tensors, where)
    shapes = [(size,), *wanted]
    for part, array, shape in zip(("bias", *parts), (bias, *factors), shapes, strict=True):
        if array.shape != shape:
            told = f"{array.shape} where {shape} is expected"
            raise PackFormatError(f"tensor {key}.{part} of direction {name} is {told}", where=where)
    return AffineMap(factors, bias)


def _finite(key: str, name: str, tensors: Mapping[str, Tensor], where: Path) -> np.ndarray:
    if key not in tensors:
        raise PackFormatError(f"has no tensor {key} for direction {name}", where=where)
    array = tensors[key].float().numpy()
    if not np.isfinite(array).all():
        raise PackFormatError(f"the tensor {key} of direction {name} is not finite", where=where)
    return np.asarray(array)
