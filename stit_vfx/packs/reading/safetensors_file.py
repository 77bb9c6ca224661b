"""safetensors: a table of names, types and places, then the numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from stit_vfx.errors import PackUnsafeError
from stit_vfx.packs.reading.machine import broken
from stit_vfx.packs.reading.values import Span, Storage, StoredTensor, check_shape, contiguous_stride, product

LONGEST_TABLE = 100_000_000
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "BOOL": torch.bool,
}


def is_safetensors(data: Span) -> bool:
    """Whether it begins with a table's length and the table."""
    head = bytes(data.part(0, min(data.size, 9)).view())
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_TABLE


def read_safetensors(path: Path, data: Span) -> dict[str, StoredTensor]:
    """The tensors by name, in the file's order."""
    length = int.from_bytes(data.part(0, 8).view(), "little")
    table = _table(bytes(data.part(8, length).view()))
    numbers = data.part(8 + length, data.size - 8 - length)
    table.pop("__metadata__", None)
    _check_apart(table, numbers.size)
    return {name: _tensor(name, said, path, numbers) for name, said in table.items()}


def _table(text: bytes) -> dict[str, Any]:
    try:
        table = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise broken("its table cannot be read") from None
    if not isinstance(table, dict) or not all(name.isprintable() for name in table):
        raise broken("its table is none, or has names of no letters")
    return table


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise PackUnsafeError("a table that names something twice")
    return made


def _check_apart(table: dict[str, Any], size: int) -> None:
    """Tensors follow each other without gaps, as the format asks; so none hides in another."""
    end = 0
    for first, last in sorted(_place(name, said) for name, said in table.items()):
        if first != end or last < first:
            raise broken("its tensors do not follow each other")
        end = last
    if end != size:
        raise broken(f"it has {size} bytes of numbers where {end} are announced")


def _place(name: str, said: Any) -> tuple[int, int]:
    place = said.get("data_offsets") if isinstance(said, dict) else None
    if not isinstance(place, list) or len(place) != 2 or not all(type(each) is int for each in place):
        raise broken(f"{ascii(name)[:80]} has no place")
    return place[0], place[1]


def _tensor(name: str, said: dict[str, Any], path: Path, numbers: Span) -> StoredTensor:
    dtype, shape, (first, last) = said.get("dtype"), said.get("shape"), said["data_offsets"]
    if (
        not isinstance(dtype, str)
        or dtype not in TYPES
        or not isinstance(shape, list)
        or not all(type(each) is int for each in shape)
    ):
        raise broken(f"{ascii(name)[:80]} has no type or no shape that is read")
    check_shape(tuple(shape))
    storage = Storage(name, TYPES[dtype], product(tuple(shape)), path).place(
        numbers.part(first, last - first)
    )
    return StoredTensor(TYPES[dtype], tuple(shape), contiguous_stride(tuple(shape)), 0, storage)
