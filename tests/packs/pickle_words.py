"""Pieces of pickles and archives, put together by hand, for files that no program writes. Not a test."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from stit_vfx.errors import PackUnsafeError
from stit_vfx.packs.reading import read_model_file

PROTO = b"\x80\x04"


def text(word: str) -> bytes:
    return b"\x8c" + bytes([len(word)]) + word.encode()


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def blob(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def whole(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def zipped(path: Path, index: bytes, members: dict[str, bytes], **more: Any) -> Path:
    with zipfile.ZipFile(path, "w", **more) as archive:
        archive.writestr("a/data.pkl", index)
        for name, data in members.items():
            archive.writestr(name, data)
    return path


PLAIN = PROTO + b"}."


def stored(key: str = "0", numel: int = 4) -> bytes:
    """A tensor of 4 numbers in the archive's storage `key`."""
    pid = (
        b"("
        + text("storage")
        + named("torch", "FloatStorage")
        + text(key)
        + text("cpu")
        + whole(numel)
        + b"tQ"
    )
    rebuild = named("torch._utils", "_rebuild_tensor_v2")
    return PROTO + rebuild + b"(" + pid + b"K\x00K\x04\x85K\x01\x85\x89}tR."


def refused(path: Path, said: str) -> None:
    """The file is refused for this, with its path and code."""
    with pytest.raises(PackUnsafeError, match=said) as caught:
        read_model_file(path)
    assert str(path) in str(caught.value)
    assert caught.value.code == "STIT-E205"
