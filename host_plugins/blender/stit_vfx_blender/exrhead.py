"""Whether an EXR says what its colours mean. Reads a header with the standard library alone."""

from __future__ import annotations

import struct
from typing import BinaryIO, Iterator, Tuple

MAGIC = 20000630
MAX_ATTRIBUTE_BYTES = 1 << 24
COLOUR_TAGS = frozenset(("chromaticities", "colorInteropID"))


def says_its_colour(path: str) -> bool:
    """True if the first part's header names its colours; False if not, or if this is no readable EXR.

    A file that cannot be read is the engine's to complain about, with the frame's name.
    """
    try:
        with open(path, "rb") as file:
            return any(name in COLOUR_TAGS for name, _kind in _attributes(file))
    except (OSError, ValueError, struct.error):
        return False


def _attributes(file: BinaryIO) -> Iterator[Tuple[str, str]]:
    """Name and type of each attribute. OpenEXR, "Technical Introduction": name 0 type 0 size value."""
    magic, _version = struct.unpack("<ii", file.read(8))
    if magic != MAGIC:
        raise ValueError("not an EXR")
    while True:
        name = _text(file)
        if not name:
            return
        kind = _text(file)
        (size,) = struct.unpack("<i", file.read(4))
        if not 0 <= size <= MAX_ATTRIBUTE_BYTES:
            raise ValueError("a damaged header")
        yield name, kind
        file.seek(size, 1)


def _text(file: BinaryIO) -> str:
    letters = bytearray()
    while True:
        letter = file.read(1)
        if not letter or len(letters) > 255:
            raise ValueError("a damaged header")
        if letter == b"\0":
            return letters.decode("utf-8", "replace")
        letters += letter
