"""Safetensors written tensor by tensor, and a folder that appears whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from stit_vfx.atomic import TEMP_PREFIX, host_name, storage_error
from stit_vfx.errors import OutputError, PackSourceError
from stit_vfx.packs.convert.weight import Weight

_NAMES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32", torch.int64: "I64"}


def write_tensors(path: Path, weights: Mapping[str, Weight], *, source: Path) -> str:
    """Write a safetensors file, one tensor in memory at a time; the same weights give the same bytes.

    Returns the file's sha256. Raises PackSourceError naming the tensor if one is not finite, and OSError.
    """
    # Wider numbers first: every tensor then starts at a multiple of its number's size.
    order = sorted(weights, key=lambda name: (-weights[name].stored_dtype.itemsize, name))
    digest = sha256()
    with path.open("xb") as file:
        _put(file, digest.update, _header({name: weights[name] for name in order}))
        for name in order:
            tensor = weights[name].read()
            _check(weights[name], tensor, source)
            _put(file, digest.update, tensor.reshape(-1).view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _put(file: IO[bytes], also: Callable[[bytes | memoryview], None], data: bytes | memoryview) -> None:
    file.write(data)
    also(data)


def _header(weights: Mapping[str, Weight]) -> bytes:
    described: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, weight in weights.items():
        end = start + weight.stored_dtype.itemsize * torch.Size(weight.shape).numel()
        described[name] = {
            "dtype": _NAMES[weight.stored_dtype],
            "shape": list(weight.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _check(weight: Weight, tensor: Tensor, source: Path) -> None:
    assert (tuple(tensor.shape), tensor.dtype) == (weight.shape, weight.stored_dtype), weight.label

    if tensor.dtype.is_floating_point and not bool(torch.isfinite(tensor).all()):
        problem = f"tensor {weight.label} has numbers that are not finite"
        raise PackSourceError(problem, where=source, hint="The file is damaged, or its training failed")


def make_folder(folder: Path, fill: Callable[[Path], None], *, replace: bool = False) -> None:
    """Let `fill(temporary)` make a folder's content, and give it its name when all of it is on the disk.

    Its name begins with a dot until then, so that no search finds a half-made pack. With `replace` an older
    folder makes way at the last moment. Raises OutputError if there is one without, and storage errors.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.parent / f"{TEMP_PREFIX}{host_name()}-{os.getpid()}-{os.urandom(6).hex()}"
        temporary.mkdir()
        try:
            fill(temporary)
            _rename(temporary, folder, replace=replace)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise storage_error(error, where=folder) from error


def _rename(temporary: Path, folder: Path, *, replace: bool) -> None:
    refuse_existing(folder, replace=replace)
    if not folder.exists():
        temporary.rename(folder)
        return
    # A folder cannot be renamed over a full one. Between the two renames neither is there under the name.
    aside = temporary.with_name(f"{temporary.name}-old")
    folder.rename(aside)
    try:
        temporary.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def refuse_existing(folder: Path, *, replace: bool) -> None:
    """Raise OutputError if there is something at the place already, unless it is to be replaced."""
    if not replace and (folder.exists() or folder.is_symlink()):
        raise OutputError(
            "is there already", where=folder, hint="Choose another --name, or add to that pack with --into"
        )


def link_or_copy(source: Path, target: Path) -> None:
    """The same bytes at a second place; as one file with two names where the storage can."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
