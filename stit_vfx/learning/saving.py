"""A learned direction into a pack: killed at any moment, the pack is the old one or the new one, and whole.

The tensors go into a file of a name of their own, which the old pack.json does not know; then pack.json is
replaced by a rename. Nothing that a pack.json names is ever written over.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stit_vfx.atomic import atomic_bytes, atomic_write
from stit_vfx.cache import children_of
from stit_vfx.errors import JobFieldError, OutputError
from stit_vfx.learning.learn import Learned
from stit_vfx.packs.model import Direction
from stit_vfx.packs.registry import HERE, check_files, own_folder
from stit_vfx.packs.schema import FILE, PackSpec, parse_spec, read_spec

Commercial = Literal["yes", "no", "unknown"]
OWN, SOURCE = "user's own", "stit directions learn"
# From free to strict: a pack is no freer than its strictest part.
_STRICTER: tuple[Commercial, ...] = ("yes", "unknown", "no")


@dataclass(frozen=True)
class Terms:
    """Under which licence a direction is saved."""

    licence: str = OWN
    commercial_use: Commercial = "unknown"


def save_direction(folder: Path, learned: Learned, *, terms: Terms = Terms(), replace: bool = False) -> Path:
    """Add a direction to the user's own pack; returns its pack.json.

    Raises OutputError for packs that came with the engine, and for a name that is taken, unless `replace`.
    """
    refuse_installed(folder)
    spec = read_spec(folder)
    check_files(folder, spec)
    name = learned.direction.name
    if name in spec.directions and not replace:
        raise OutputError(
            f"already has a direction {name}", where=folder, hint="Choose another name, or add --replace"
        )
    data = json.loads((folder / FILE).read_bytes())
    _write(folder, data, learned, terms)
    _drop_old(folder, spec, name)
    return folder / FILE


def save_as_new_pack(
    source: Path, target: Path, learned: Learned, *, terms: Terms = Terms(), replace: bool = False
) -> Path:
    """A copy of a pack with the direction in it; returns its pack.json, which is written last.

    Begun and killed, the folder is no pack yet, and the same call finishes it. Raises OutputError if the
    folder holds a pack already.
    """
    if (target / FILE).exists():
        raise OutputError("there is a pack already", where=target, hint="Save to it with --save-to")
    spec = read_spec(source)
    check_files(source, spec)
    if learned.direction.name in spec.directions and not replace:
        raise OutputError(
            f"the pack already has a direction {learned.direction.name}",
            hint="Choose another name, or add --replace",
        )
    # Texts of licences travel along; weights that pack.json does not name are left-overs.
    beside = (path for path in children_of(source) if path.is_file() and path.suffix != ".safetensors")
    texts = {path.name for path in beside} - {FILE}
    for file in sorted({*spec.sha256, *texts}):
        atomic_write(target / file, partial(shutil.copyfile, source / file))
    data = json.loads((source / FILE).read_bytes())
    _write(target, {**data, "name": target.name}, learned, terms)
    _drop_old(target, spec, learned.direction.name)
    return target / FILE


def new_pack_folder(name: str) -> Path:
    """Where a new pack goes: a path as it is, a plain name into the user's own packs."""
    path = Path(name).expanduser()
    folder = path if "/" in name or os.sep in name else own_folder() / name
    try:
        parse_name(path.name)
    except ValueError:
        raise JobFieldError(
            f"--new-pack {name}: is no name for a pack", hint="Letters, digits, dot, dash and underscore"
        ) from None
    return folder


def parse_name(name: str) -> str:
    """A name that pack.json takes. Raises ValueError."""
    from pydantic import TypeAdapter

    from stit_vfx.packs.schema import Name

    checked: str = TypeAdapter(Name).validate_python(name)
    return checked


def refuse_installed(folder: Path) -> None:
    """Raise OutputError for a pack that belongs to the engine or to its Python."""
    place = folder.resolve()
    for root in (HERE.resolve(), Path(sys.prefix).resolve()):
        if place.is_relative_to(root):
            raise OutputError(
                "came with the engine and is never changed", where=folder, hint="Use --new-pack NAME"
            )


def _write(folder: Path, data: dict[str, Any], learned: Learned, terms: Terms) -> None:
    """The tensor file, then pack.json, checked before it is written."""
    from safetensors.numpy import save

    direction = learned.direction
    tensors = save({name: np.ascontiguousarray(each) for name, each in tensors_of(direction).items()})
    digest = sha256(tensors).hexdigest()
    file = f"direction.{direction.name}.{digest[:12]}.safetensors"
    directions = {**data.get("directions", {}), direction.name: _described(learned, file)}
    named = {each["file"] for each in directions.values() if "file" in each}
    before = {each["file"] for each in data.get("directions", {}).values() if "file" in each}
    sums = {name: each for name, each in data["sha256"].items() if name in named or name not in before}
    licence = {"licence": terms.licence, "commercial_use": terms.commercial_use, "source": SOURCE}
    data = {
        **data,
        "directions": directions,
        "licences": {**data.get("licences", {}), f"directions.{direction.name}": licence},
        "commercial_use": max(data["commercial_use"], terms.commercial_use, key=_STRICTER.index),
        "sha256": {**sums, file: digest},
    }
    text = (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()
    parse_spec(text, where=folder / FILE)
    atomic_bytes(folder / file, tensors)
    atomic_bytes(folder / FILE, text)


def _drop_old(folder: Path, before: PackSpec, name: str) -> None:
    """Remove the tensors of a direction that was replaced, where nothing else of the pack uses them."""
    old = before.directions[name].file if name in before.directions else None
    if old is not None and old not in read_spec(folder).files():
        (folder / old).unlink(missing_ok=True)


def tensors_of(direction: Direction) -> Mapping[str, np.ndarray]:
    """The direction as tensors under its key."""
    if direction.transformer is None:
        assert direction.vector is not None
        return {direction.key: np.asarray(direction.vector, np.float32)}
    names = ("weight",) if len(direction.transformer.factors) == 1 else ("up", "down")
    parts = dict(zip(names, direction.transformer.factors, strict=True))
    return {
        f"{direction.key}.{name}": np.asarray(each, np.float32)
        for name, each in {**parts, "bias": direction.transformer.bias}.items()
    }


def _described(learned: Learned, file: str) -> dict[str, Any]:
    direction = learned.direction
    return {
        "title": direction.title,
        "kind": "linear" if direction.transformer is None else "transformer",
        "space": direction.space,
        "file": file,
        "key": direction.key,
        "scale": direction.scale,
        "range": list(direction.range),
        **({"layers": list(direction.layers)} if direction.layers is not None else {}),
        "measured": {**learned.measured, "warnings": list(learned.warnings)},
    }
