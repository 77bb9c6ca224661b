"""Safetensors files as the pack room reads them: what is in them, and every way in which one can lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from stit_vfx.errors import PackDamagedError
from stit_vfx.packs.weights import read_tensors, stored_shapes


def write(path: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(start: int, end: int, *shape: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def test_every_kind_of_number_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32)
    kinds += (torch.int16, torch.int8, torch.uint8, torch.bool)
    tensors = {str(kind): (torch.arange(12).reshape(3, 4) % 2).to(kind) for kind in kinds}
    tensors |= {"scalar": torch.tensor(2.5), "none": torch.zeros(0, 3)}
    save_file(tensors, tmp_path / "all.safetensors", metadata={"format": "pt"})
    found = read_tensors(tmp_path / "all.safetensors")
    assert stored_shapes(tmp_path / "all.safetensors") == {n: tuple(t.shape) for n, t in tensors.items()}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert all(found[name].dtype == tensor.dtype for name, tensor in tensors.items())


def test_tensors_that_begin_at_odd_bytes_are_read(tmp_path: Path) -> None:
    number = torch.tensor([1.5, -2.0])
    header = {"a": entry(0, 1, 1, dtype="U8"), "b": entry(1, 9, 2)}
    path = write(tmp_path / "odd.safetensors", header, b"\x07" + number.numpy().tobytes())
    found = read_tensors(path)
    assert found["a"].tolist() == [7]
    assert torch.equal(found["b"], number)


EIGHT = b"\0" * 8


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        (b"", b"", "no safetensors header"),
        (b"{", EIGHT, "no safetensors header"),
        (b"[1]", EIGHT, "no safetensors header"),
        (b"\xff\xfe", EIGHT, "no safetensors header"),
        (b"[" * 60_000, EIGHT, "no safetensors header"),
        ({"a": entry(0, 8, 2, dtype="F31")}, EIGHT, "no safetensors header"),
        ({"a": {"dtype": "F32", "shape": [2]}}, EIGHT, "no safetensors header"),
        ({"a": entry(0, 8, 3)}, EIGHT, "no safetensors header"),
        ({"a": entry(0, 8, -1, -2)}, EIGHT, "no safetensors header"),
        ({"a": entry(-8, 0, 2)}, EIGHT, "no safetensors header"),
        ({"a": entry(0, 2**70, 2**68)}, EIGHT, "take .* bytes and it has 8"),
        ({"a": entry(0, 8, 2), "b": entry(4, 12, 2)}, EIGHT + b"\0" * 4, "overlap or leave gaps"),
        ({"a": entry(0, 4, 1), "b": entry(8, 12, 1)}, EIGHT + b"\0" * 4, "overlap or leave gaps"),
        ({"a": entry(0, 8, 2)}, EIGHT[:-1], "take 8 bytes and it has 7"),
        ({"a": entry(0, 8, 2)}, EIGHT + b"x", "take 8 bytes and it has 9"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any, data: bytes, words: str) -> None:
    path = write(tmp_path / "bad.safetensors", header, data)
    for read in (read_tensors, stored_shapes):
        with pytest.raises(PackDamagedError, match=words):
            read(path)


@pytest.mark.parametrize("length", [2**63, 10**9, 200])
def test_a_header_longer_than_the_file_is_refused(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "bad.safetensors", b"{}", length=length)
    for read in (read_tensors, stored_shapes):
        with pytest.raises(PackDamagedError, match="no header"):
            read(path)


@pytest.mark.parametrize("size", [0, 3, 7])
def test_a_file_too_short_for_anything_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "short.safetensors"
    path.write_bytes(b"\1" * size)
    for read in (read_tensors, stored_shapes):
        with pytest.raises(PackDamagedError, match="no header"):
            read(path)


def test_a_file_that_is_away_is_damage(tmp_path: Path) -> None:
    for read in (read_tensors, stored_shapes):
        with pytest.raises(PackDamagedError, match=r"away\.safetensors: cannot be read"):
            read(tmp_path / "away.safetensors")


def test_the_sum_is_of_the_very_bytes_that_are_used(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", {"a": entry(0, 8, 2)}, EIGHT)
    with pytest.raises(PackDamagedError, match=r"a\.safetensors is not the file that was recorded"):
        read_tensors(path, sha256="0" * 64)
