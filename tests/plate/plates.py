"""Plates for tests: EXR files with everything that plates have, and files that go wrong in known ways."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR

from stit_vfx.plate.exr import Frame, Part

AP1 = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
BITS = {2: np.uint16, 4: np.uint32}


def bits(pixels: np.ndarray) -> np.ndarray:
    """The bits of an array, so that NaN equals NaN and -0 differs from 0."""
    return np.ascontiguousarray(pixels).view(BITS[pixels.dtype.itemsize])


def nasty_half(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Half floats as plates have them, and the others: NaN payloads, infinities, -0, denormals, +-65504."""
    rng = np.random.default_rng(seed)
    pixels = (rng.random((height, width)) * 2).astype(np.float16)
    odd = np.array([0x7C01, 0x7E55, 0xFC00, 0x7C00, 0x8000, 0x0001, 0x7BFF, 0xFBFF, 0x50B0], np.uint16)
    where = rng.integers(0, height * width, 4 * len(odd))
    pixels.reshape(-1)[where] = np.tile(odd, 4).view(np.float16)
    return pixels


def plain_channels(height: int, width: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """RGBA half with nasty values, float32 depth and Cryptomatte, uint32 ids."""
    rng = np.random.default_rng(seed + 100)
    whole = rng.integers(0, 2**32, (height, width), np.uint32)
    channels = {name: nasty_half(height, width, seed=seed + i) for i, name in enumerate("RGBA")}
    return channels | {
        "depth.Z": rng.normal(37.5, 1e4, (height, width)).astype(np.float32),
        "CryptoAsset00.r": whole.view(np.float32),
        "id": whole[::-1].copy(),
    }


RICH_HEADER: Mapping[str, Any] = {
    "type": OpenEXR.scanlineimage,
    "compression": OpenEXR.ZIP_COMPRESSION,
    "chromaticities": AP1,
    "framesPerSecond": Fraction(24000, 1001),
    "timeCode": OpenEXR.TimeCode(
        1, 2, 3, 4, False, False, False, False, False, False, 0, 0, 0, 0, 0, 0, 0, 0
    ),
    "owner": "a studio",
    "nuke/node_hash": "4f1d",
    "a name of more than thirty-one characters": 7,
    "pixelAspectRatio": 2.0,
    "worldToCamera": np.arange(16, dtype=np.float32).reshape(4, 4),
    "multiView": ["left", "right"],
}


def window(x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """A window from its first pixel and its size."""
    return np.array([x, y], np.int32), np.array([x + width - 1, y + height - 1], np.int32)


def write(path: Path, channels: Mapping[str, np.ndarray], **header: Any) -> Path:
    """A single-part file, straight through the library."""
    full = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, **header}
    with OpenEXR.File(full, {name: np.ascontiguousarray(each) for name, each in channels.items()}) as file:
        file.write(str(path))
    return path


def write_parts(path: Path, parts: Mapping[str, tuple[Mapping[str, Any], Mapping[str, np.ndarray]]]) -> Path:
    """A file of several parts: name to (header, channels)."""
    made = [
        OpenEXR.Part({"type": OpenEXR.scanlineimage, **header}, dict(channels), name)
        for name, (header, channels) in parts.items()
    ]
    with OpenEXR.File(made) as file:
        file.write(str(path))
    return path


def tiles(size: int, mode: Any = OpenEXR.ONE_LEVEL) -> Any:
    """A description of square tiles."""
    described = OpenEXR.TileDescription()
    described.xSize = described.ySize = size
    described.mode = mode
    return described


def rgb(height: int, width: int, *, seed: int = 0, dtype: Any = np.float16) -> dict[str, np.ndarray]:
    """Well-behaved R, G, B around mid grey."""
    rng = np.random.default_rng(seed)
    return {name: (0.1 + 0.4 * rng.random((height, width))).astype(dtype) for name in "RGB"}


def frame_of(picture: np.ndarray, **more: np.ndarray) -> Frame:
    """A frame in memory from (H, W, 3) pixels and more channels."""
    height, width = picture.shape[:2]
    channels = {name: np.ascontiguousarray(picture[..., i]) for i, name in enumerate("RGB")} | more
    header = {"dataWindow": window(0, 0, width, height), "displayWindow": window(0, 0, width, height)}
    return Frame(None, 1001, (Part("", header, channels),))


def nasty_files(folder: Path) -> dict[str, Path]:
    """One readable file of every kind that a plate may be."""
    height, width = 40, 50
    channels = plain_channels(height, width)
    right = {f"right.{name}": nasty_half(height, width, seed=9) for name in "RGB"}
    small = {"Z": np.full((4, 6), 37.5, np.float32)}
    one = {"displayWindow": window(0, 0, 50, 40)}
    return {
        "rich": write(folder / "rich.exr", channels, **RICH_HEADER),
        "overscan": write(
            folder / "overscan.exr",
            channels,
            dataWindow=window(-5, -3, width, height),
            displayWindow=window(0, 0, 40, 34),
        ),
        "tiled": write(folder / "tiled.exr", channels, type=OpenEXR.tiledimage, tiles=tiles(16)),
        "stereo": write(folder / "stereo.exr", channels | right, multiView=["left", "right"]),
        "uncompressed": write(folder / "uncompressed.exr", channels, compression=OpenEXR.NO_COMPRESSION),
        "piz": write(folder / "piz.exr", channels, compression=OpenEXR.PIZ_COMPRESSION),
        "multipart": write_parts(
            folder / "multipart.exr",
            {
                "matte": ({"dataWindow": window(3, 2, 6, 4), **one}, small),
                "beauty": ({"compression": OpenEXR.PIZ_COMPRESSION, **one}, channels),
                "right": ({"view": "right", **one}, rgb(height, width)),
            },
        ),
        "prefixed": write(folder / "prefixed.exr", {f"rgba.{name}": channels[name] for name in "RGBA"}),
    }


def patched(path: Path, old: bytes, new: bytes, *, to: str) -> Path:
    """A copy in which some bytes, found once, are others of the same length."""
    data = path.read_bytes()
    assert len(old) == len(new)
    assert data.count(old) == 1
    target = path.with_name(to)
    target.write_bytes(data.replace(old, new))
    return target


def with_attribute(path: Path, name: str, kind: str, value: bytes, *, to: str, chunks: int) -> Path:
    """A copy of a one-part file with one more attribute, of any type, and its table of chunks moved along."""
    data = path.read_bytes()
    extra = name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
    first_chunk = min(_table_candidates(data, chunks))
    table = first_chunk - 8 * chunks
    offsets = np.frombuffer(data[table:first_chunk], "<u8") + np.uint64(len(extra))
    target = path.with_name(to)
    target.write_bytes(
        data[:8] + extra + data[8:table] + offsets.astype("<u8").tobytes() + data[first_chunk:]
    )
    return target


def _table_candidates(data: bytes, chunks: int) -> list[int]:
    """Where chunks begin: the table's first entry points right behind the table."""
    return [
        place + 8 * chunks
        for place in range(8, min(len(data) - 8 * chunks, 4000))
        if struct.unpack_from("<Q", data, place)[0] == place + 8 * chunks
    ]
