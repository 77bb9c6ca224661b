"""From safetensors to networks: every byte as recorded, every tensor there, of the right shape.

A file is read once, into memory of our own, and what was read is what is hashed and used: nobody can change
it in between, and a share that goes away cannot take the process with it, as it could with a mapped file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from stit_vfx.errors import PackDamagedError, PackFormatError
from stit_vfx.packs.registry import not_recorded

Network = TypeVar("Network", bound=nn.Module)
Shape = tuple[int, ...]

MAX_HEADER_BYTES = 100_000_000
_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies: bytes `start` to `end`, counted from the end of the header."""

    dtype: torch.dtype
    shape: Shape
    start: int
    end: int


def read_tensors(path: Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """All tensors of a file, as stored. They are views of one block, which goes when the last of them goes.

    sha256  what the file's bytes must sum to
    Raises PackDamagedError if it cannot be read, is no safetensors file, or has another sum.
    """
    whole = _read(path)
    raw = whole.numpy().data
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise PackDamagedError(
            not_recorded(path.name), where=path.parent, hint="Copy or convert the pack again"
        )
    end = _header_end(raw[:8].tobytes(), len(raw), path)
    places = _places(raw[8:end].tobytes(), len(raw) - end, path)
    return {name: _tensor(whole[end + each.start : end + each.end], each) for name, each in places.items()}


def stored_shapes(path: Path) -> dict[str, Shape]:
    """Names and shapes of a file's tensors, from its header alone. Raises PackDamagedError."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            end = _header_end(file.read(8), size, path)
            text = file.read(end - 8)
    except OSError as error:
        raise _damaged(str(error), path) from None
    return {name: each.shape for name, each in _places(text, size - end, path).items()}


def fill(
    network: Network, path: Path, *, device: str | torch.device = "cpu", sha256: str | None = None
) -> Network:
    """The network with a file's weights, in single precision, to evaluate and without gradients.

    It may have been made on the `meta` device, which saves drawing millions of numbers to throw away.
    `sha256` as for `read_tensors`. Raises PackFormatError naming the first tensor that is missing, left over
    or of another shape.
    """
    stored, wanted = read_tensors(path, sha256=sha256), network.state_dict()
    _check_fit({name: tuple(tensor.shape) for name, tensor in stored.items()}, wanted, path)
    network.load_state_dict({name: t.to(wanted[name].dtype) for name, t in stored.items()}, assign=True)
    return network.to(device).eval().requires_grad_(False)


class Lazy(Generic[Network]):
    """A network that is loaded when it is first asked for, and may be let go of.

    `of` a file: the file's names and shapes are compared with the network's at once, by its header.
    """

    def __init__(self, load: Callable[[], Network]) -> None:
        self._load = load
        self._network: Network | None = None

    @classmethod
    def of(
        cls, make: Callable[[], Network], path: Path, *, device: str | torch.device, sha256: str
    ) -> Lazy[Network]:
        """The network that `make` builds, with the file's weights. Raises what `fill` raises."""

        def empty() -> Network:
            with torch.device("meta"):
                return make()

        _check_fit(stored_shapes(path), empty().state_dict(), path)
        return cls(lambda: fill(empty(), path, device=device, sha256=sha256))

    def __call__(self) -> Network:
        if self._network is None:
            self._network = self._load()
        return self._network

    @property
    def loaded(self) -> bool:
        return self._network is not None

    def free(self) -> None:
        """Let go of the weights; they are read and checked again when they are asked for again."""
        self._network = None


def _check_fit(stored: Mapping[str, Shape], wanted: Mapping[str, Tensor], path: Path) -> None:
    if missing := sorted(set(wanted) - set(stored)):
        raise PackFormatError(f"has no tensor {missing[0]}{_and_more(missing)}", where=path)
    if unknown := sorted(set(stored) - set(wanted)):
        raise PackFormatError(f"has a tensor that nothing uses, {unknown[0]}{_and_more(unknown)}", where=path)
    for name, shape in stored.items():
        if shape != wanted[name].shape:
            shapes = f"{shape} where {tuple(wanted[name].shape)} is expected"
            raise PackFormatError(f"tensor {name} is {shapes}", where=path)


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


# the file ---------------------------------------------------------------------------------------------------


def _read(path: Path) -> Tensor:
    """The file's bytes, (size,) uint8."""
    try:
        with path.open("rb", buffering=0) as file:
            whole = torch.empty(path.stat().st_size, dtype=torch.uint8)
            left = whole.numpy().data
            while left:
                # One call reads at most 2 GB on Linux.
                if (count := file.readinto(left)) == 0:
                    raise _damaged("it ends early", path)
                left = left[count:]
    except OSError as error:
        raise _damaged(str(error), path) from None
    return whole


def _header_end(first: bytes, size: int, path: Path) -> int:
    """Where the tensors begin: the header's length is in the file's first 8 bytes."""
    length = int.from_bytes(first, "little")
    if len(first) < 8 or length > min(size - 8, MAX_HEADER_BYTES):
        raise _damaged("it has no header", path)
    return 8 + length


def _places(header: bytes, size: int, path: Path) -> dict[str, _Place]:
    """Where each tensor lies; together they fill the `size` bytes after the header, none twice."""
    try:
        described = json.loads(header)
        places = {name: _place(each) for name, each in described.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged("its header is no safetensors header", path) from None
    at = 0
    for place in sorted(places.values(), key=lambda each: (each.start, each.end)):
        if place.start != at:
            raise _damaged(f"its tensors overlap or leave gaps at byte {at}", path)
        at = place.end
    if at != size:
        raise _damaged(f"its tensors take {at} bytes and it has {size}", path)
    return places


def _place(described: Mapping[str, Any]) -> _Place:
    dtype = _DTYPES[described["dtype"]]
    shape = tuple(int(side) for side in described["shape"])
    start, end = (int(offset) for offset in described["data_offsets"])
    if min((start, *shape)) < 0 or end - start != prod(shape) * dtype.itemsize:
        raise ValueError("sizes do not agree")
    return _Place(dtype, shape, start, end)


def _tensor(piece: Tensor, place: _Place) -> Tensor:
    if piece.data_ptr() % place.dtype.itemsize or piece.storage_offset() % place.dtype.itemsize:
        piece = piece.clone()
    return piece.view(place.dtype).view(place.shape)


def _damaged(what: str, path: Path) -> PackDamagedError:
    return PackDamagedError(f"cannot be read: {what}", where=path, hint="Copy the pack again")
