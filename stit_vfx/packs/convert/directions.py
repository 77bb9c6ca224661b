"""Edits: directions in w, W+ and style space (InterFaceGAN's and alike), and latent transformers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.sizes import GeneratorSizes
from stit_vfx.packs.convert.states import State, is_tensor, states
from stit_vfx.packs.convert.weight import Weight
from stit_vfx.packs.reading import ModelFile

# The published pipeline adds half of its factor times the direction to w, and all of it in style space.
FACTOR = 10.0
W_SCALE, STYLE_SCALE = FACTOR / 2, FACTOR
MOST_ROWS = 20
SMALLEST = 8
RANGE = [-1.0, 1.0]
OWN_ROWS = "its rows differ and each moves its own way; the published code used row 0 for all"
# Alike, but for the last digits of an average.
ALIKE = 1e-6


def direction_parts(file: ModelFile) -> list[Part] | None:
    """Directions: one array, or a mapping of names to arrays of one width; None for anything else."""
    if is_tensor(file.root):
        vector = Weight.of(file.path.stem, file.root)
        return [_direction(file.path.stem, vector, file)] if _is_vector(vector) else None
    for state in states(file).values():
        widths = {weight.shape[-1] if _is_vector(weight) else 0 for weight in state.values()}
        if len(widths) == 1 and widths != {0} and "weight" not in {_leaf(name) for name in state}:
            single = len(state) == 1
            named = ((file.path.stem if single else name, weight) for name, weight in state.items())
            return [_direction(name, weight, file) for name, weight in named]
    return None


def _is_vector(weight: Weight) -> bool:
    shape = _squeezed(weight.shape)
    rows = shape[0] if len(shape) == 2 else 1
    return (
        len(shape) in (1, 2)
        and rows <= MOST_ROWS
        and shape[-1] >= SMALLEST
        and weight.dtype.is_floating_point
    )


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without leading axes of size 1."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _direction(name: str, stored: Weight, file: ModelFile) -> Part:
    array = stored.read().float().numpy()
    vector = array.reshape(_squeezed(array.shape))
    if not np.isfinite(vector).all() or not vector.any():
        problem = f"direction {name}: is all zero, or not finite"
        raise PackSourceError(problem, where=file.path, hint="Make the file again")
    alike = vector.ndim == 1 or bool(np.ptp(vector, axis=0).max() <= ALIKE * np.abs(vector).max())
    rows = vector[0] if vector.ndim == 2 and alike else vector
    return Part(
        f"directions.{plain_name(name)}",
        "direction",
        "direction, one for all rows" if alike else f"direction, {len(rows)} rows",
        {"": Weight.of(stored.label, rows.copy())},
        file.path,
        file.sha256,
        settings={"title": title_of(name), "space": "w" if alike else "w+", "scale": W_SCALE, "range": RANGE},
        notes=() if alike else (OWN_ROWS,),
    )


def transformer_parts(file: ModelFile) -> list[Part] | None:
    """Latent transformers: square `weight` and `bias`, or `up` and `down`; None for anything else."""
    for state in states(file).values():
        groups = _groups(state)
        if groups and all(_is_transformer(group) for group in groups.values()):
            single = len(groups) == 1
            named = ((file.path.stem if single else name, group) for name, group in groups.items())
            return [_transformer(name, group, file) for name, group in named]
    return None


def _groups(state: State) -> dict[str, State]:
    """Tensors by what comes before the last dot of their names."""
    groups: dict[str, State] = {}
    for name, weight in state.items():
        groups.setdefault(name.rpartition(".")[0], {})[_leaf(name)] = weight
    return groups


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _is_transformer(group: Mapping[str, Weight]) -> bool:
    size = transformer_size(group)
    if size < SMALLEST:
        return False
    if set(group) - {"bias"} == {"weight"}:
        return group["weight"].shape == (size, size)
    low = set(group) - {"bias"} == {"up", "down"}
    return low and len(group["up"].shape) == 2 and group["down"].shape == group["up"].shape[::-1]


def transformer_size(group: Mapping[str, Weight]) -> int:
    """D of a map of D numbers to D numbers; 0 where it is none."""
    first = group.get("weight") or group.get("up")
    return first.shape[0] if first is not None and len(first.shape) == 2 else 0


def _transformer(name: str, group: Mapping[str, Weight], file: ModelFile) -> Part:
    size = transformer_size(group)
    if "bias" in group and group["bias"].shape != (size,):
        told = f"bias of {name} is {group['bias'].shape} where ({size},) is expected"
        raise PackSourceError(told, where=file.path)
    return Part(
        f"directions.{plain_name(name)}",
        "transformer",
        f"latent transformer, {size} numbers",
        {f".{leaf}": weight for leaf, weight in group.items()},
        file.path,
        file.sha256,
        settings={"title": title_of(name), "kind": "transformer", "scale": 1.0, "range": RANGE},
    )


def fitted_settings(
    part: Part, *, w_dim: int, num_ws: int, sizes: GeneratorSizes | None, generator: str
) -> dict[str, Any]:
    """The direction's section of pack.json, for a generator of these sizes.

    sizes      of a StyleGAN2, which also has a style space; None for other generators
    generator  its file, for errors
    Raises PackSourceError naming both files where they do not go together.
    """
    settings = dict(part.settings)
    styles = 0 if sizes is None else sum(channels for _, channels in sizes.conv_inputs())
    fitting = dict(_spaces(part, w_dim, num_ws, styles))
    size = _size(part)
    if size not in fitting:
        told = "x".join(str(side) for side in size)
        raise PackSourceError(
            f"the edit is {told}, and the generator of {generator} has {num_ws} rows of {w_dim}",
            where=part.source,
            hint="The two were not made for each other",
        )
    settings["space"] = fitting[size]
    if settings["space"] == "style":
        settings["scale"] = STYLE_SCALE
    return settings


def _spaces(part: Part, w_dim: int, num_ws: int, styles: int) -> Iterator[tuple[tuple[int, ...], str]]:
    """Sizes that an edit may have, and the space that each belongs to; the likeliest last, since it wins."""
    if part.settings.get("kind") == "transformer":
        yield (num_ws * w_dim,), "w+"
    else:
        yield (styles,), "style"
        yield (num_ws, w_dim), "w+"
    yield (w_dim,), "w"


def _size(part: Part) -> tuple[int, ...]:
    if "" in part.weights:
        return part.weights[""].shape
    return (transformer_size({key.lstrip("."): weight for key, weight in part.weights.items()}),)


def plain_name(name: str) -> str:
    """A name that pack.json and the command line take."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(name).name).lstrip("._-")[:64]
    return plain or "direction"


def title_of(name: str) -> str:
    """The name as people write it."""
    words = re.sub(r"[._-]+", " ", name).strip()
    return words[:1].upper() + words[1:]
