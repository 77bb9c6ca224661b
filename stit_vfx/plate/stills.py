"""PNG, TIFF, DPX and JPEG frames, read through OpenImageIO."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stit_vfx.errors import PlateDamagedError, PlateMissingError, PlateSizeError, PlateUnsupportedError
from stit_vfx.plate.limits import max_pixels


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it is stored: `pixels` (H, W, 3 or 4) float32, nominal 0..1, alpha not multiplied in.

    `bits` of a sample in the file.
    """

    pixels: np.ndarray
    bits: int


@dataclass(frozen=True)
class StillInfo:
    """What the header says: (H, W) px, the colour tag if there is one, whether samples are floats."""

    shape: tuple[int, int]
    tag: str | None
    is_float: bool
    pixel_aspect: float


def still_info(path: Path, frame: int | None = None) -> StillInfo:
    """Size and colour tag from the header alone. Raises as `read_still` does."""
    opened = _open(path, frame)
    spec = opened.spec()
    opened.close()
    shape = (spec.width, spec.height) if _turned(spec) >= 5 else (spec.height, spec.width)
    tag = spec.getattribute("oiio:ColorSpace")
    return StillInfo(shape, tag or None, str(spec.format) in ("half", "float", "double"), _aspect(spec))


def read_still(path: Path, frame: int | None = None) -> Picture:
    """The whole picture, upright.

    Raises PlateMissingError, PlateDamagedError, PlateUnsupportedError or PlateSizeError with path and frame.
    """
    import OpenImageIO as oiio

    opened = _open(path, frame)
    spec = opened.spec()
    pixels = opened.read_image(0, 0, 0, spec.nchannels, oiio.FLOAT)
    reason = _said(opened) if pixels is None else ""
    opened.close()
    if pixels is None:
        raise PlateDamagedError(
            f"it is damaged or cut short: {reason}", where=path, frame=frame, hint="Copy it again"
        )
    pixels = pixels.reshape(spec.height, spec.width, spec.nchannels)
    if spec.nchannels < 3:
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, axis=-1), pixels[..., 1:]], axis=-1)
    return Picture(np.ascontiguousarray(_upright(pixels[..., :4], _turned(spec))), _bits(spec))


def _open(path: Path, frame: int | None) -> Any:
    """An open file that is safe to read: deep images would give memory that nobody wrote."""
    import OpenImageIO as oiio

    if not path.is_file():
        raise PlateMissingError("there is no such file", where=path, frame=frame)
    if path.stat().st_size == 0:
        raise PlateDamagedError("the file is empty", where=path, frame=frame, hint="Copy it again")
    wishes = oiio.ImageSpec()
    # Otherwise alpha is multiplied into encoded values, which no linear light can undo.
    wishes.attribute("oiio:UnassociatedAlpha", 1)
    opened = oiio.ImageInput.open(str(path), wishes)
    if opened is None:
        raise PlateDamagedError(
            f"it cannot be opened: {_said(oiio)}", where=path, frame=frame, hint="Copy it again"
        )
    spec = opened.spec()
    if spec.deep or spec.depth > 1:
        raise PlateUnsupportedError("deep and volume pictures cannot be edited", where=path, frame=frame)
    if spec.width * spec.height > max_pixels():
        raise PlateSizeError(
            f"{spec.width}x{spec.height} pixels are more than {max_pixels()}",
            where=path,
            frame=frame,
            hint="Set STIT_MAX_PIXELS higher if this is meant",
        )
    return opened


def _said(speaker: Any) -> str:
    """The library's reason. For damaged files it may not be text."""
    try:
        return " ".join(str(speaker.geterror()).split())[:160] or "no reason given"
    except UnicodeDecodeError:
        return "no reason given"


def _bits(spec: Any) -> int:
    stored = int(spec.get_int_attribute("oiio:BitsPerSample", 0))
    return stored or {"uint8": 8, "uint16": 16, "half": 16}.get(str(spec.format), 32)


def _aspect(spec: Any) -> float:
    return float(spec.get_float_attribute("PixelAspectRatio", 1.0)) or 1.0


def _turned(spec: Any) -> int:
    """EXIF orientation 1..8; cameras lay portrait pictures on their side."""
    return int(spec.get_int_attribute("Orientation", 1))


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
