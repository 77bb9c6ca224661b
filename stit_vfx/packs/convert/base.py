"""The pack that a conversion adds to: what it has, as parts, so that old and new are checked alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stit_vfx.errors import PackDamagedError
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.weight import Weight
from stit_vfx.packs.registry import check_files, find_pack
from stit_vfx.packs.schema import FILE, PackSpec, StyleBasis, read_spec

SECTIONS = ("generator", "encoder", "parser", "perceptual", "identity", "text", "style_basis")


@dataclass(frozen=True)
class Base:
    """An existing pack, whole. `data` is its pack.json as it stands."""

    folder: Path
    spec: PackSpec
    data: Mapping[str, Any]

    @classmethod
    def open(cls, pack: str | Path, *, search: Sequence[Path] = ()) -> Base:
        """Find it, and compare every file with its sum. Raises PackError."""
        folder = find_pack(pack, search=search)
        spec = read_spec(folder)
        check_files(folder, spec)
        return cls(folder, spec, json.loads((folder / FILE).read_bytes()))

    def parts(self) -> list[Part]:
        """What depends on the generator: encoder, style basis, text network, directions with a tensor."""
        return [*self._networks(), *self._basis(), *self._directions()]

    def terms(self) -> dict[str, tuple[str, str]]:
        """Licence and commercial use of every part; the whole's for those that say nothing."""
        whole = (self.spec.licence, self.spec.commercial_use)
        said = {name: (each.licence, each.commercial_use) for name, each in self.spec.licences.items()}
        return {name: said.get(name, whole) for name in self.names()}

    def names(self) -> list[str]:
        """The parts that this pack has."""
        nets = [name for name in (*SECTIONS, "shape", "reader") if getattr(self.spec, name) is not None]
        return [*nets, *(f"directions.{name}" for name in self.spec.directions)]

    def _networks(self) -> Iterator[Part]:
        for name in ("encoder", "text"):
            section = getattr(self.spec, name)
            if section is not None:
                yield self._part(name, section.file, tensors(self.folder / section.file))

    def _basis(self) -> Iterator[Part]:
        if isinstance(section := self.spec.style_basis, StyleBasis):
            for key, weight in tensors(self.folder / section.file).items():
                yield self._part(f"style_basis.{key}", section.file, {key: weight})

    def _directions(self) -> Iterator[Part]:
        for name, each in self.spec.directions.items():
            if each.file is None:
                continue
            key = each.key or name
            stored = tensors(self.folder / each.file)
            own = {leaf.removeprefix(key): weight for leaf, weight in stored.items() if _is_of(leaf, key)}
            yield self._part(f"directions.{name}", each.file, own, {"kind": each.kind, "space": each.space})

    def _part(
        self, name: str, file: str, weights: Mapping[str, Weight], settings: Mapping[str, Any] | None = None
    ) -> Part:
        path = self.folder / file
        return Part(name, "", "", weights, path, self.spec.sha256[file], settings=settings or {})


def _is_of(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")


def tensors(path: Path) -> dict[str, Weight]:
    """A safetensors file's tensors, by its header; read when their turn comes."""
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
            kinds = {name: _KINDS.get(each.get_dtype(), torch.float32) for name, each in slices.items()}
    except (OSError, SafetensorError) as error:
        raise PackDamagedError(f"cannot be read: {error}", where=path, hint="Copy the pack again") from None
    return {name: Weight(name, shapes[name], kinds[name], partial(_read, path, name)) for name in shapes}


_KINDS = {"F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64, "I64": torch.int64}


def _read(path: Path, name: str) -> Tensor:
    with safe_open(path, "pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor
