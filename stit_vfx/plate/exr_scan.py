"""A look at an EXR file before a library reads its pixels.

Three things that the library does not do: say how large the picture is before memory is taken for it; see
that a file was cut short, which it reads as "no parts" after printing to the terminal; and open headers whose
text is not UTF-8. Layout: https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stit_vfx.errors import PlateDamagedError, PlateMissingError, PlateSizeError, PlateUnsupportedError
from stit_vfx.plate.limits import MAX_CHANNELS, max_pixels

Box = tuple[int, int, int, int]
"""A window as EXR keeps it: x of the first and y of the first pixel, x and y of the last."""

MAGIC = 20000630
TILED, DEEP, MULTIPART = 0x200, 0x800, 0x1000
PIXEL_TYPES = ("uint32", "float16", "float32")
UNOPENABLE = ("deepImageState",)
# No honest header comes near; a length field out of order does.
MAX_HEADER_BYTES = 64 << 20
LINES_PER_CHUNK = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256, 10: 256, 11: 32}


@dataclass(frozen=True)
class Channel:
    """One channel as the header declares it; `dtype` is numpy's name, samplings count pixels."""

    name: str
    dtype: str
    x_sampling: int
    y_sampling: int


@dataclass(frozen=True)
class Attribute:
    """One attribute: EXR's name for its type, its bytes, and where in the file they begin."""

    type: str
    value: bytes
    offset: int


@dataclass(frozen=True)
class PartScan:
    """What one part's header says."""

    attributes: dict[str, Attribute]
    channels: tuple[Channel, ...]
    data_window: Box
    display_window: Box

    @property
    def name(self) -> str:
        return _text(self.attributes.get("name"))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the data window, px."""
        x0, y0, x1, y1 = self.data_window
        return y1 - y0 + 1, x1 - x0 + 1

    @property
    def mip_mapped(self) -> bool:
        tiles = self.attributes.get("tiles")
        return tiles is not None and len(tiles.value) == 9 and tiles.value[8] & 0xF != 0


@dataclass(frozen=True)
class Scan:
    """All parts, and what has to be changed in the header's bytes before the library can open it.

    `patches` maps file offsets to bytes of the same length; `restored` gives, by part and attribute, the text
    as it was meant, or None for what has no meaning; `lost` names what no reader here can carry.
    """

    parts: tuple[PartScan, ...]
    patches: dict[int, bytes] = field(default_factory=dict)
    restored: dict[tuple[int, str], str | None] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def scan_exr(path: Path, *, frame: int | None = None) -> Scan:
    """Read the header and the table of chunks, and refuse what cannot be edited or is not whole.

    Raises PlateMissingError, PlateDamagedError (not EXR, cut short), PlateUnsupportedError (deep, subsampled,
    too many channels) or PlateSizeError (above STIT_MAX_PIXELS), with path and frame.
    """
    try:
        with open(path, "rb") as file:
            return _scan(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError as error:
        raise PlateMissingError("there is no such file", where=path, frame=frame) from error
    except OSError as error:
        from stit_vfx.atomic import storage_error

        raise storage_error(error, where=path) from error
    except (struct.error, IndexError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise _Damaged("its header cannot be understood").at(path, frame) from error
    except _Refusal as refusal:
        raise refusal.at(path, frame) from None


class _Refusal(Exception):
    """A refusal that does not know the file's name yet."""

    kind: Callable[..., Exception] = PlateUnsupportedError
    hint: str | None = None

    def at(self, path: Path, frame: int | None) -> Exception:
        return self.kind(str(self), where=path, frame=frame, hint=self.hint)


class _Damaged(_Refusal):
    kind = PlateDamagedError
    hint = "Copy the frame again, or run with --on-frame-error plate"


class _TooLarge(_Refusal):
    kind = PlateSizeError
    hint = "Set STIT_MAX_PIXELS higher if this is meant"


def _scan(file: BinaryIO, size: int) -> Scan:
    if size == 0:
        raise _Damaged("the file is empty")
    reader = _Reader(file)
    magic, version = struct.unpack("<iI", reader.take(8))
    if magic != MAGIC:
        raise _Damaged("this is not an EXR file, whatever its name")
    headers = list(_headers(reader, multipart=bool(version & MULTIPART)))
    parts = tuple(_part(attributes) for attributes in headers)
    for part in parts:
        _check(part, deep=bool(version & DEEP))
    for part, count in [(part, _chunk_count(part, tiled=bool(version & TILED))) for part in parts]:
        _check_chunks(
            reader, part, count, size=size, multipart=bool(version & MULTIPART), flat_tiled=version & TILED
        )
    return _mended(parts)


class _Reader:
    """A file that is read in order and never beyond its end."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def take(self, length: int) -> bytes:
        if not 0 <= length <= MAX_HEADER_BYTES:
            raise _Damaged("its header cannot be understood")
        data = self.file.read(length)
        if len(data) < length:
            raise _Damaged("the file was cut short inside its header")
        return data

    def word(self) -> bytes:
        """Bytes up to a zero byte."""
        found = bytearray()
        while (byte := self.take(1)) != b"\0":
            found += byte
            if len(found) > 255:
                raise _Damaged("its header cannot be understood")
        return bytes(found)


def _headers(reader: _Reader, *, multipart: bool) -> Iterator[dict[str, Attribute]]:
    while attributes := dict(_attributes(reader)):
        yield attributes
        if not multipart:
            return


def _attributes(reader: _Reader) -> Iterator[tuple[str, Attribute]]:
    while name := reader.word():
        kind = reader.word().decode()
        (length,) = struct.unpack("<i", reader.take(4))
        offset = reader.file.tell()
        yield name.decode("utf-8", "surrogateescape"), Attribute(kind, reader.take(length), offset)


def _part(attributes: dict[str, Attribute]) -> PartScan:
    try:
        windows = [struct.unpack("<4i", attributes[name].value) for name in ("dataWindow", "displayWindow")]
        channels = tuple(_channels(attributes["channels"].value))
    except KeyError as error:
        raise _Damaged(f"its header has no {error.args[0]}") from None
    return PartScan(attributes, channels, windows[0], windows[1])


def _channels(value: bytes) -> Iterator[Channel]:
    position = 0
    while value[position] != 0:
        end = value.index(b"\0", position)
        name = value[position:end].decode("utf-8", "surrogateescape")
        kind, _, xs, ys = struct.unpack("<iB3x2i", value[end + 1 : end + 17])
        if not 0 <= kind < len(PIXEL_TYPES):
            raise _Damaged(f"channel {name} has no known pixel type")
        yield Channel(name, PIXEL_TYPES[kind], xs, ys)
        position = end + 17


def _check(part: PartScan, *, deep: bool) -> None:
    if deep or _text(part.attributes.get("type")).startswith("deep"):
        raise _Refusal("deep pixels cannot be edited")
    if odd := [each.name for each in part.channels if (each.x_sampling, each.y_sampling) != (1, 1)]:
        raise _Refusal(f"channels {', '.join(odd)} have fewer pixels than the picture (subsampled)")
    if len(part.channels) > MAX_CHANNELS:
        raise _Refusal(f"{len(part.channels)} channels in one part are more than {MAX_CHANNELS}")
    if not part.channels:
        raise _Refusal("a part has no channels")
    height, width = part.shape
    if height < 1 or width < 1:
        raise _Damaged("its data window is empty")
    if height * width > max_pixels():
        raise _TooLarge(f"{width}x{height} pixels are more than {max_pixels()}")
    if any("\udc80" <= letter <= "\udcff" for each in part.channels for letter in each.name):
        raise _Refusal("a channel's name is not UTF-8")


def _chunk_count(part: PartScan, *, tiled: bool) -> int | None:
    """How many chunks the part has, or None where only the library knows."""
    if (count := part.attributes.get("chunkCount")) is not None:
        return int(struct.unpack("<i", count.value)[0])
    compression = part.attributes.get("compression")
    lines = LINES_PER_CHUNK.get(compression.value[0]) if compression else None
    height, width = part.shape
    if not tiled:
        return None if lines is None else -(-height // lines)
    tile = part.attributes.get("tiles")
    if tile is None or part.mip_mapped:
        return None
    tile_width, tile_height = struct.unpack("<2I", tile.value[:8])
    return -(-width // tile_width) * -(-height // tile_height) if tile_width and tile_height else None


def _check_chunks(
    reader: _Reader, part: PartScan, count: int | None, *, size: int, multipart: bool, flat_tiled: int
) -> None:
    """Every chunk that the table names lies inside the file. Pixels are not decompressed here."""
    if count is None:
        return
    if not 0 < count <= size // 8:
        raise _Damaged("the file was cut short")
    offsets = np.frombuffer(reader.take(8 * count), "<u8")
    if (offsets == 0).any() or int(offsets.max()) >= size:
        raise _Damaged("the file was cut short: some of its lines are not there")
    here = reader.file.tell()
    tiled = flat_tiled or _text(part.attributes.get("type")) == "tiledimage"
    words = 2 + bool(multipart) + 3 * bool(tiled)
    reader.file.seek(int(offsets.max()))
    leader = reader.file.read(4 * words)
    if len(leader) < 4 * words or reader.file.tell() + struct.unpack("<i", leader[-4:])[0] > size:
        raise _Damaged("the file was cut short: some of its lines are not there")
    reader.file.seek(here)


def _mended(parts: tuple[PartScan, ...]) -> Scan:
    """Find the attributes that stop the library from opening a file that is otherwise good."""
    patches: dict[int, bytes] = {}
    restored: dict[tuple[int, str], str | None] = {}
    lost: list[str] = []
    for number, part in enumerate(parts):
        for name, attribute in part.attributes.items():
            if attribute.type == "string" and not _is_utf8(attribute.value):
                patches[attribute.offset] = bytes(
                    each if each < 128 else ord("?") for each in attribute.value
                )
                restored[number, name] = attribute.value.decode("latin-1")
                lost.append(f"{name}: its text was Latin-1 and is written as UTF-8")
            if attribute.type == "rational" and attribute.value[4:] == bytes(4):
                patches[attribute.offset] = attribute.value[:4] + b"\1\0\0\0"
                restored[number, name] = None
                lost.append(f"{name}: a fraction over zero")
            if attribute.type in UNOPENABLE:
                # The library opens types that it has never heard of, but not this one that it has.
                patches[attribute.offset - 5 - len(attribute.type)] = b"_"
                restored[number, name] = None
                lost.append(f"{name}: an attribute of type {attribute.type}")
        if part.mip_mapped:
            lost.append("the smaller levels of a mip map")
    return Scan(parts, patches, restored, tuple(lost))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(attribute: Attribute | None) -> str:
    return "" if attribute is None else attribute.value.decode("latin-1")
