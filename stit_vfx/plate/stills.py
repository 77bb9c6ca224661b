"""PNG, TIFF, DPX and JPEG frames, read through OpenImageIO."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stit_vfx.errors import PlateDamagedError, PlateMissingError, PlateUnsupportedError

if TYPE_CHECKING:
    from stit_vfx.plate.source import Picture


@dataclass(frozen=True)
class StillInfo:
    """(H, W), and the colour space that the file is tagged with, if it is."""

    shape: tuple[int, int]
    space: str | None


def still_info(path: Path, frame: int | None = None) -> StillInfo:
    """Size and colour tag from the header. Raises PlateMissing-, PlateDamaged- or PlateUnsupportedError."""
    opened = _open(path, frame)
    spec = opened.spec()
    opened.close()
    return StillInfo((spec.height, spec.width), "lin_rec709" if spec.format == "float" else None)


def read_still(path: Path, frame: int | None = None) -> Picture:
    """The whole picture as float32 0..1, RGB or RGBA with alpha unassociated as stored."""
    import OpenImageIO as oiio

    from stit_vfx.plate.source import Picture

    opened = _open(path, frame)
    spec = opened.spec()
    pixels = opened.read_image(0, 0, 0, spec.nchannels, oiio.FLOAT)
    if pixels is None:
        raise PlateDamagedError(
            f"is damaged or cut short ({_said(opened)})", where=path, frame=frame, hint="Copy it again"
        )
    opened.close()
    if spec.nchannels < 3:
        pixels = np.repeat(pixels[..., :1], 3, axis=-1)
    return Picture(np.ascontiguousarray(pixels[..., :4]), _bits(spec))


def _open(path: Path, frame: int | None) -> Any:
    import OpenImageIO as oiio

    if not path.is_file():
        raise PlateMissingError("no such file", where=path, frame=frame, hint="Check the plate's path")
    if path.stat().st_size == 0:
        raise PlateDamagedError("is empty (0 bytes)", where=path, frame=frame, hint="Copy it again")
    opened = oiio.ImageInput.open(str(path))
    if opened is None:
        raise PlateDamagedError(
            f"cannot be opened ({_said(oiio)})", where=path, frame=frame, hint="Copy it again"
        )
    if opened.spec().deep:
        raise PlateUnsupportedError("is a deep image", where=path, frame=frame, hint="Flatten it")
    return opened


def _said(speaker: Any) -> str:
    # The library's own words may not be UTF-8 for a damaged file.
    try:
        return " ".join(str(speaker.geterror()).split())[:120]
    except UnicodeDecodeError:
        return "no reason given"


def _bits(spec: Any) -> int:
    stored = spec.get_int_attribute("oiio:BitsPerSample", 0)
    return stored or {"uint8": 8, "uint16": 16, "half": 10}.get(str(spec.format), 32)
