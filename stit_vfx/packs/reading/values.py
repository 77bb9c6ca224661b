"""What a model file is made of once it is read: plain Python, arrays, tensors at rest, and strangers."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stit_vfx.errors import PackSourceError, PackUnsafeError

Container = Literal["pickle", "torch-zip", "torch-legacy", "torchscript", "safetensors", "npy", "npz"]
# A tensor may repeat numbers by a stride of 0. Beyond this many it would be a trap for memory.
MOST_REPEATED = 1 << 20
MOST_AXES = 16
MOST_ALONG_AXIS = 1 << 40
LONGEST_TENSOR_NAME = 1000
# Where torch's modules keep their parts, unless they were compiled.
LISTS = {"_parameters", "_buffers", "_modules"}
AGAIN = "Copy or download the file again"


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model file, read without running anything in it.

    root    dict, list, tuple, set, str, int, float, bool, None, bytes and, as leaves, StoredTensor, Stranger
            and np.ndarray. It contains no cycle, and walking it with all its sharing unfolded ends soon.
    sha256  of the whole file
    """

    path: Path
    container: Container
    root: Any = field(repr=False)
    sha256: str


@dataclass(frozen=True, eq=False)
class Stranger:
    """An inert stand-in for an instance of a class that a file names; nothing of that class is imported.

    For NVIDIA's persistent objects `module` is "torch_utils.persistence", `name` the class name and `state`
    the attributes; the source text that such files carry is dropped, its SHA-256 kept.
    """

    module: str
    name: str
    args: tuple[Any, ...] = ()
    state: Any = field(default=None, repr=False)
    source_sha256: str | None = None


@dataclass(frozen=True, eq=False)
class Span:
    """Some bytes of a mapped file, or of memory, that nobody has copied yet."""

    whole: memoryview
    start: int
    size: int

    @classmethod
    def of(cls, data: bytes | Span) -> Span:
        return data if isinstance(data, Span) else cls(memoryview(data), 0, len(data))

    def view(self) -> memoryview:
        return self.whole[self.start : self.start + self.size]

    def part(self, start: int, size: int) -> Span:
        """A stretch of this one. Raises PackSourceError if it reaches beyond the end."""
        if start < 0 or size < 0 or start + size > self.size:
            raise PackSourceError("ends early", hint=AGAIN)
        return Span(self.whole, self.start + start, size)

    def copied(self) -> Tensor:
        """The bytes as a tensor of its own. What was mapped for it is let go, so memory stays low."""
        tensor = torch.empty(self.size, dtype=torch.uint8)
        tensor.numpy()[:] = np.frombuffer(self.view(), np.uint8)
        self._let_go()
        return tensor

    def _let_go(self) -> None:
        mapped, advice = self.whole.obj, getattr(mmap, "MADV_DONTNEED", None)
        if advice is not None and isinstance(mapped, mmap.mmap) and self.size > mmap.PAGESIZE:
            first = self.start - self.start % mmap.PAGESIZE
            mapped.madvise(advice, first, self.start + self.size - first)


@dataclass(eq=False)
class Storage:
    """A run of numbers that tensors look into. Legacy files say only at their end where it lies."""

    label: str
    dtype: torch.dtype | None  # None: bytes, whose tensors say what they are
    numel: int
    path: Path
    span: Span | None = None
    crc: int | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return self.numel * (self.dtype.itemsize if self.dtype else 1)

    def place(self, span: Span, crc: int | None = None) -> Storage:
        """Say where the numbers are. Raises PackUnsafeError if the size is another."""
        if span.size != self.size:
            problem = f"storage {self.label} has {span.size} bytes where {self.size} are announced"
            raise PackUnsafeError(problem, hint=AGAIN)
        self.span, self.crc = span, crc
        return self

    def part(self, start: int, size: int) -> Span:
        """Some of its bytes, checked once against the checksum that the file records."""
        assert self.span is not None
        if self.crc is not None and zlib.crc32(self.span.view()) != self.crc:
            problem = f"is damaged: storage {self.label} is not what its checksum says"
            raise PackSourceError(problem, where=self.path, hint=AGAIN)
        self.crc = None
        return self.span.part(start, size)


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor that is still in its file. Its bounds were checked against its storage when it was made."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: Storage

    def __post_init__(self) -> None:
        held = self.storage.size // self.dtype.itemsize
        check_shape(self.shape)
        if len(self.stride) != len(self.shape) or self.offset < 0 or min(self.stride, default=0) < 0:
            raise PackUnsafeError(f"a tensor of shape {self.shape} has the strides {str(self.stride)[:80]}")
        if self.offset + self._reach > held:
            raise PackUnsafeError(f"a tensor of shape {self.shape} reaches beyond its {held} stored numbers")
        if self.numel > max(held, MOST_REPEATED):
            raise PackUnsafeError(f"a tensor of shape {self.shape} repeats {held} stored numbers")

    @property
    def numel(self) -> int:
        return product(self.shape)

    @property
    def _reach(self) -> int:
        """How many numbers of the storage lie from the tensor's first to its last."""
        if not self.numel:
            return 0
        return 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))

    def read(self) -> Tensor:
        """The numbers, contiguous, in memory of their own, in the type they are stored in.

        Raises PackSourceError if they are not what the file's checksum says.
        """
        width = self.dtype.itemsize
        flat = self.storage.part(self.offset * width, self._reach * width).copied()
        # Any byte but 0 and 1 would be a truth value that no library expects.
        typed = flat.ne(0) if self.dtype == torch.bool else flat.view(self.dtype)
        return typed.as_strided(self.shape, self.stride).contiguous()


def product(shape: tuple[int, ...]) -> int:
    """How many numbers an array of this shape has, without overflow."""
    total = 1
    for size in shape:
        total *= size
    return total


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise PackUnsafeError for shapes that no weights have."""
    sane = len(shape) <= MOST_AXES and all(0 <= size <= MOST_ALONG_AXIS for size in shape)
    if not sane or product(tuple(size for size in shape if size)) > MOST_ALONG_AXIS:
        raise PackUnsafeError(f"an array has the shape {str(shape)[:80]}")


def contiguous_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an array that is stored row by row."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def state_of(mapping: Mapping[Any, Any]) -> dict[str, StoredTensor]:
    """The named tensors of a mapping, in its order; entries of other kinds are left out."""
    return {
        name: value
        for name, value in mapping.items()
        if isinstance(name, str) and isinstance(value, StoredTensor)
    }


def module_tensors(module: Stranger) -> dict[str, StoredTensor]:
    """All tensors of a module and the modules in it, by dotted name.

    For NVIDIA's persistent modules: parameters and buffers, without the buffers that are not to be saved. For
    those of a TorchScript archive: every tensor among the attributes. Raises PackSourceError if two tensors
    have one name.
    """
    found: dict[str, StoredTensor] = {}
    pending = [("", module)]
    while pending:
        prefix, each = pending.pop()
        own, children = _members(each)
        for name, tensor in own.items():
            _check_tensor_name(prefix + name, found)
            found[prefix + name] = tensor
        pending += [(f"{prefix}{name}.", child) for name, child in reversed(children.items())]
        if len(prefix) > LONGEST_TENSOR_NAME:
            raise PackUnsafeError(f"modules deeper in each other than {LONGEST_TENSOR_NAME} letters")
    return found


def _check_tensor_name(name: str, found: Mapping[str, StoredTensor]) -> None:
    if len(name) > LONGEST_TENSOR_NAME:
        raise PackUnsafeError(f"a tensor with a name of {len(name)} letters")
    if name in found:
        raise PackSourceError(f"has two tensors of the name {name}")


def _members(module: Stranger) -> tuple[dict[str, StoredTensor], dict[str, Stranger]]:
    state = module.state if isinstance(module.state, Mapping) else {}
    if not LISTS & state.keys():
        return state_of(state), _strangers(state)
    parameters, buffers, children = (
        _mapping(state.get(key)) for key in ("_parameters", "_buffers", "_modules")
    )
    passing = state.get("_non_persistent_buffers_set")
    listed = passing if isinstance(passing, set | list | tuple) else ()
    dropped = {name for name in listed if isinstance(name, str)}
    kept = {name: value for name, value in state_of(buffers).items() if name not in dropped}
    return {**state_of(parameters), **kept}, _strangers(children)


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _strangers(mapping: Mapping[Any, Any]) -> dict[str, Stranger]:
    return {
        name: value
        for name, value in mapping.items()
        if isinstance(name, str) and isinstance(value, Stranger)
    }
