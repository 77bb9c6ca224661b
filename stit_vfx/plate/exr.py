"""The one EXR reader and the one EXR writer.

What is read is kept as it is: every part, every channel in its own pixel type, every attribute. What is
written comes into being whole or not at all. The library's traps, each with a guard here and a test: strides
are ignored when writing; parts that do not decompress are dropped in silence; dictionaries handed over are
changed; rewritten mip maps are unreadable.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR

from stit_vfx.atomic import atomic_write
from stit_vfx.errors import PlateDamagedError, PlateUnsupportedError, PlateWriteError, StorageError
from stit_vfx.plate.exr_scan import Box, Scan, scan_exr

HALF_MAX = 65504.0

# Lossy codecs work on blocks, so an edit would change pixels beside the matte, and so would a mere rewrite.
LOSSY = frozenset({"DWAA", "DWAB", "B44", "B44A", "LJ2K"})
COMPRESSIONS = ("auto", "none", "rle", "zips", "zip", "piz")

# Without a name in front, or under these; then any layer whose last name is one of them (Blender's passes).
_RGB_LAYERS = ("rgba", "rgb", "beauty", "combined", "color", "colour")
_RGB_SPELLINGS = (("R", "G", "B"), ("r", "g", "b"), ("red", "green", "blue"))

_THREADS = min(4, os.cpu_count() or 1)
_TO_MATTE = (
    "displayWindow",
    "pixelAspectRatio",
    "screenWindowCenter",
    "screenWindowWidth",
    "framesPerSecond",
    "timeCode",
)


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a file. `header` without `channels`; arrays (h, w) in the file's own types, same window.

    `gamma_like` are the channels marked pLinear, a mark that is kept and has no other meaning here.
    """

    name: str
    header: dict[str, Any]
    channels: dict[str, np.ndarray]
    gamma_like: frozenset[str] = frozenset()

    @property
    def data_window(self) -> Box:
        return _box(self.header["dataWindow"])


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a plate: all parts of the file, of which one holds the RGB that is edited.

    Nothing changes in place; the `with_...` methods share every array that they do not replace. `lost` names
    what the file had and a written copy will not.
    """

    path: Path | None
    frame: int | None
    parts: tuple[Part, ...]
    lost: tuple[str, ...] = ()

    @property
    def rgb_place(self) -> tuple[int, tuple[str, str, str]]:
        """Number of the part that is edited and its three channels: the default layer, of the first view.

        Raises PlateUnsupportedError if there is none.
        """
        for layer_of in (_bare, _named, _ends_named):
            for number, part in enumerate(self.parts):
                if (names := layer_of(part.channels)) is not None:
                    return number, names
        listed = ", ".join(sorted(self.channels)[:8])
        raise PlateUnsupportedError(
            f"no R, G, B to edit; the channels are {listed}", where=self.path, frame=self.frame
        )

    @property
    def main(self) -> Part:
        """The part that is edited; the first one if the file has no RGB."""
        try:
            return self.parts[self.rgb_place[0]]
        except PlateUnsupportedError:
            return self.parts[0]

    @property
    def rgb_names(self) -> tuple[str, str, str]:
        return self.rgb_place[1]

    @property
    def header(self) -> dict[str, Any]:
        """Attributes of the part that is edited."""
        return self.main.header

    @property
    def channels(self) -> dict[str, np.ndarray]:
        """Every channel of every part; in files of several parts as `part/channel`."""
        if len(self.parts) == 1:
            return dict(self.parts[0].channels)
        return {
            f"{part.name}/{name}": pixels for part in self.parts for name, pixels in part.channels.items()
        }

    @property
    def data_window(self) -> Box:
        """Of the part that is edited."""
        return self.main.data_window

    @property
    def display_window(self) -> Box:
        return _box(self.header["displayWindow"])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the arrays that are edited, px: the data window."""
        height, width = next(iter(self.main.channels.values())).shape
        return int(height), int(width)

    @property
    def lossy(self) -> bool:
        """Whether the source's compression loses something, so that a copy is written lossless (W306)."""
        return any(_codec(part.header) in LOSSY for part in self.parts)

    def rgb(self, roi: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """A copy of the pixels that are edited, (H, W, 3) float32, as the plate stores them.

        roi  x0, y0, and x1, y1 behind the last pixel: that region alone
        """
        _, names = self.rgb_place
        channels = self.main.channels
        if any(channels[name].dtype.kind != "f" for name in names):
            raise PlateUnsupportedError("R, G, B hold whole numbers", where=self.path, frame=self.frame)
        part = np.s_[:] if roi is None else np.s_[roi[1] : roi[3], roi[0] : roi[2]]
        return np.stack([channels[name][part].astype(np.float32) for name in names], axis=-1)

    def grey(self) -> np.ndarray:
        """The file as a matte, (H, W) float32: R of its RGB, else Y, else A, else its first channel."""
        channels = self.main.channels
        try:
            name = self.rgb_names[0]
        except PlateUnsupportedError:
            name = next((each for each in ("Y", "A") if each in channels), next(iter(channels)))
        return channels[name].astype(np.float32)

    def with_rgb(self, mask: np.ndarray, rgb: np.ndarray) -> Frame:
        """A frame in which the pixels of `mask` (H, W) bool hold `rgb` (H, W, 3), and no other bit differs.

        Half floats are limited to +-65504. Values must be finite under the mask.
        """
        number, names = self.rgb_place
        channels = dict(self.parts[number].channels)
        for index, name in enumerate(names):
            pixels = channels[name].copy()
            pixels[mask] = _as_type(rgb[..., index][mask], pixels.dtype)
            channels[name] = pixels
        return self._with_main(replace(self.parts[number], channels=channels))

    def with_layers(self, layers: Mapping[str, np.ndarray]) -> Frame:
        """A frame with more channels beside its RGB: full channel name to (H, W) float16, float32 or uint32.

        Names such as `stit_matte.A`: a layer, a dot, a component. Nuke and Blender read one dot alike.
        """
        for name, pixels in layers.items():
            if pixels.shape != self.shape or str(pixels.dtype) not in ("float16", "float32", "uint32"):
                raise ValueError(f"layer {name}: {pixels.dtype} {pixels.shape} does not fit {self.shape}")
        return self._with_main(replace(self.main, channels={**self.main.channels, **layers}))

    def with_attributes(self, attributes: Mapping[str, Any]) -> Frame:
        """A frame with more attributes beside its RGB's; text, numbers and lists of text."""
        return self._with_main(replace(self.main, header={**self.header, **attributes}))

    def _with_main(self, part: Part) -> Frame:
        number = next(n for n, each in enumerate(self.parts) if each is self.main)
        return replace(self, parts=(*self.parts[:number], part, *self.parts[number + 1 :]))


# reading ----------------------------------------------------------------------------------------------------


def read_header(path: str | Path, frame: int | None = None) -> Frame:
    """A frame without pixels: headers of all parts, and arrays of the right type that hold nothing.

    Takes a millisecond, and finds what is missing, cut short, too large or cannot be edited. The arrays are
    broadcast zeros: their shapes and types are true.
    """
    path = Path(path)
    scan = scan_exr(path, frame=frame)
    with _opened(path, scan, frame, pixels=False) as loaded:
        headers = [_header(part, scan, number) for number, part in enumerate(loaded)]
    parts = [
        Part(part.name, header, {each.name: _nothing(each.dtype, part.shape) for each in part.channels})
        for part, header in zip(scan.parts, headers, strict=True)
    ]
    return Frame(path, frame, tuple(parts), scan.lost)


def read_exr(path: str | Path, frame: int | None = None) -> Frame:
    """Read a frame, every part and channel bit for bit.

    Raises PlateMissingError, PlateDamagedError, PlateUnsupportedError or PlateSizeError with path and frame.
    EXR has no checksums: changed bytes in an uncompressed file read well.
    """
    path = Path(path)
    scan = scan_exr(path, frame=frame)
    with _opened(path, scan, frame, pixels=True) as loaded:
        parts = tuple(_part(part, scan, number) for number, part in enumerate(loaded))
    # The library prints a line and leaves out what it cannot decompress.
    if len(parts) != len(scan.parts) or any(
        set(part.channels) != {each.name for each in said.channels}
        for part, said in zip(parts, scan.parts, strict=True)
    ):
        raise PlateDamagedError(
            f"{len(scan.parts) - len(parts) or 1} of {len(scan.parts)} parts do not decompress",
            where=path,
            frame=frame,
            hint="Copy the frame again, or run with --on-frame-error plate",
        )
    return Frame(path, frame, parts, scan.lost)


@contextmanager
def _opened(path: Path, scan: Scan, frame: int | None, *, pixels: bool) -> Iterator[list[Any]]:
    """The library's parts. Patched bytes go in through memory; the file is never touched."""
    source: str | io.BytesIO = str(path)
    if scan.patches:
        data = bytearray(path.read_bytes())
        for offset, patch in scan.patches.items():
            data[offset : offset + len(patch)] = patch
        source = io.BytesIO(data)
    try:
        # The library prints what it leaves out; standard output belongs to results.
        with redirect_stdout(sys.stderr):
            file = OpenEXR.File(source, separate_channels=True, header_only=not pixels, num_threads=_THREADS)
        with file:
            yield file.parts
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        raise PlateDamagedError(
            f"it cannot be opened: {_first_line(error)}", where=path, frame=frame
        ) from error


def _nothing(dtype: str, shape: tuple[int, int]) -> np.ndarray:
    return np.broadcast_to(np.zeros((), dtype), shape)


def _part(part: Any, scan: Scan, number: int) -> Part:
    channels = {name: channel.pixels for name, channel in part.channels.items()}
    gamma_like = frozenset(name for name, channel in part.channels.items() if channel.pLinear)
    return Part(part.name(), _header(part, scan, number), channels, gamma_like)


def _header(part: Any, scan: Scan, number: int) -> dict[str, Any]:
    header = {name: value for name, value in part.header.items() if name not in ("channels", "chunkCount")}
    for (where, name), text in scan.restored.items():
        if where == number and text is None:
            header.pop(name, None)
        elif where == number and text is not None:
            header[name] = text.rstrip("\0")
    if scan.parts[number].mip_mapped:
        tiles = OpenEXR.TileDescription()
        tiles.xSize, tiles.ySize = header["tiles"].xSize, header["tiles"].ySize
        tiles.mode = OpenEXR.ONE_LEVEL
        header["tiles"] = tiles
    return header


def _bare(channels: Mapping[str, Any]) -> tuple[str, str, str] | None:
    return next((names for names in _RGB_SPELLINGS if set(names) <= set(channels)), None)


def _named(channels: Mapping[str, Any]) -> tuple[str, str, str] | None:
    return _of_layer(channels, (name for name in channels if name.count(".") == 1))


def _ends_named(channels: Mapping[str, Any]) -> tuple[str, str, str] | None:
    return _of_layer(channels, (name for name in channels if name.count(".") > 1))


def _of_layer(channels: Mapping[str, Any], among: Iterable[str]) -> tuple[str, str, str] | None:
    """R, G, B of the best known layer; `among` limits the search to channels of one depth."""
    layers = {name.rpartition(".")[0] for name in among}
    for known in _RGB_LAYERS:
        for layer in sorted(layers):
            if layer.rpartition(".")[2].lower() != known:
                continue
            for r, g, b in _RGB_SPELLINGS:
                names = (f"{layer}.{r}", f"{layer}.{g}", f"{layer}.{b}")
                if set(names) <= set(channels):
                    return names
    return None


# writing ----------------------------------------------------------------------------------------------------


def write_exr(path: str | Path, frame: Frame, *, compression: str = "auto") -> None:
    """Write a frame: whole, readable, under its name; or not at all.

    compression  "auto" keeps each part's own, and ZIP in place of a lossy one; or one of COMPRESSIONS
    Raises DiskFullError, ReadOnlyError, StorageError, or PlateWriteError for a frame that EXR cannot hold.
    """
    if compression not in COMPRESSIONS:
        raise ValueError(f"compression {compression!r} is not one of {', '.join(COMPRESSIONS)}")
    atomic_write(path, lambda temporary: _write(temporary, frame, compression, Path(path)), suffix=".exr")


def write_matte(path: str | Path, matte: np.ndarray, like: Frame) -> None:
    """Write a matte (H, W) 0..1 as half R, G and B with the windows, rate and timecode of a frame."""
    half = np.ascontiguousarray(np.clip(matte, 0, 1), np.float16)
    header = {name: like.header[name] for name in _TO_MATTE if name in like.header}
    header |= {"dataWindow": like.header["dataWindow"], "type": OpenEXR.scanlineimage}
    header["compression"] = OpenEXR.ZIP_COMPRESSION
    part = Part("", header, dict.fromkeys("RGB", half))
    write_exr(path, Frame(None, like.frame, (part,)))


def _write(temporary: Path, frame: Frame, compression: str, path: Path) -> None:
    several = len(frame.parts) > 1
    try:
        parts = [_library_part(part, compression, several=several) for part in frame.parts]
        with OpenEXR.File(parts, num_threads=_THREADS) as file:
            file.write(str(temporary))
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise _write_error(error, path, frame) from error
    _check_written(temporary, frame, path)


def _library_part(part: Part, compression: str, *, several: bool) -> Any:
    """The library's part, in dictionaries and arrays of its own: it changes what it is given."""
    header = {name: value for name, value in part.header.items() if name != "name" or several}
    header["compression"] = _compression(part.header, compression)
    channels = {
        # The library ignores strides: a slice of an (H, W, 3) array would be written as other pixels.
        name: OpenEXR.Channel(name, np.ascontiguousarray(pixels), 1, 1, name in part.gamma_like)
        for name, pixels in part.channels.items()
    }
    return OpenEXR.Part(header, channels, part.name) if several else OpenEXR.Part(header, channels)


def _compression(header: Mapping[str, Any], asked: str) -> Any:
    if asked != "auto":
        return getattr(OpenEXR, "NO_COMPRESSION" if asked == "none" else f"{asked.upper()}_COMPRESSION")
    if "compression" not in header or _codec(header) in LOSSY:
        return OpenEXR.ZIP_COMPRESSION
    return header["compression"]


def _check_written(temporary: Path, frame: Frame, path: Path) -> None:
    """Look at the file again: a share that lies about a full disk is found here, not by the compositor."""
    try:
        found = [
            ({each.name for each in part.channels}, part.data_window) for part in scan_exr(temporary).parts
        ]
    except Exception as error:
        raise StorageError("what was written cannot be read again", where=path, frame=frame.frame) from error
    if found != [(set(part.channels), part.data_window) for part in frame.parts]:
        raise StorageError("what was written is not what is read again", where=path, frame=frame.frame)


def _write_error(error: Exception, path: Path, frame: Frame) -> Exception:
    """The library gives the system's reason as text only."""
    if isinstance(error, OSError):
        return error
    said = str(error)
    for number in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
    ):
        if os.strerror(number) in said:
            return OSError(number, os.strerror(number), str(path))
    return PlateWriteError(f"it cannot be written: {_first_line(error)}", where=path, frame=frame.frame)


def _as_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.float16:
        return np.clip(values, -HALF_MAX, HALF_MAX).astype(np.float16)
    return values.astype(dtype)


def _codec(header: Mapping[str, Any]) -> str:
    """The compression's name, such as "ZIP" or "DWAA"."""
    return re.sub(r"_COMPRESSION$", "", getattr(header.get("compression"), "name", ""))


def _box(window: Any) -> Box:
    (x0, y0), (x1, y1) = window
    return int(x0), int(y0), int(x1), int(y1)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
