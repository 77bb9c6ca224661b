"""A plate, whatever it is stored as: EXR, PNG, TIFF, DPX or JPEG frames, or a movie.

After reading, all are alike: a `Frame` of scene-linear light. EXR frames are as they are on disk. Everything
else is read only, taken to the config's scene-linear space, and written as EXR: half where the source has at
most 10 bits, float otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stit_vfx.cache import file_sha256
from stit_vfx.errors import ColourSpaceError, PlateMissingError, PlateSizeError
from stit_vfx.plate.colour import (
    Conversion,
    PlateColour,
    conversion,
    interop_id,
    is_data,
    known_space,
    load_config,
    resolve_space,
    stored_space,
)
from stit_vfx.plate.exr import HALF_MAX, Frame, Part, read_exr, read_header
from stit_vfx.plate.sequence import Sequence, format_frames

if TYPE_CHECKING:
    from stit_vfx.plate.stills import Picture

# What files without a word on their colour are taken for: pictures made for a display.
DISPLAY_SPACE = "srgb_tx"
MOVIES = (".mov", ".mp4", ".mxf", ".mkv", ".m4v", ".avi")


@dataclass(frozen=True)
class Decoder:
    """How frames that are not EXR are read: encoded pictures by number, and how they become light."""

    picture: Callable[[int], Picture]
    stored_bytes: Callable[[int], bytes] | None
    to_linear: Conversion = field(repr=False)
    header: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Plate:
    """A sequence that can be read frame by frame. `shape` is (H, W) of the data window, px."""

    sequence: Sequence
    frames: tuple[int, ...]
    colour: PlateColour
    shape: tuple[int, int]
    fps: float | None = None
    decoder: Decoder | None = None

    @property
    def name(self) -> str:
        """Folder and pattern, for messages."""
        return self.sequence.name

    @property
    def is_movie(self) -> bool:
        return self.decoder is not None and self.decoder.stored_bytes is not None

    def path(self, frame: int) -> Path | None:
        """The frame's own file; None in a movie."""
        return None if self.is_movie else self.sequence.path(frame)

    def read(self, frame: int) -> Frame:
        """One frame of light. Raises PlateMissingError, PlateDamagedError and their like."""
        if frame not in self.frames:
            raise PlateMissingError("there is no such frame", where=self.name, frame=frame)
        if self.decoder is None:
            return read_exr(self.sequence.path(frame), frame)
        return self._lit(self.decoder, frame)

    def _lit(self, decoder: Decoder, frame: int) -> Frame:
        picture = decoder.picture(frame)
        light = decoder.to_linear.apply(picture.pixels[..., :3])
        if picture.pixels.shape[-1] == 4:
            # EXR holds light that is already multiplied by coverage.
            alpha = picture.pixels[..., 3:].astype(np.float64)
            light = np.concatenate([light * alpha, alpha], axis=-1)
        half = picture.bits <= 10
        values = np.clip(light, -HALF_MAX, HALF_MAX).astype(np.float16) if half else light.astype(np.float32)
        planes = np.ascontiguousarray(np.moveaxis(values, -1, 0))
        channels = dict(zip("RGBA", planes, strict=False))
        height, width = light.shape[:2]
        window = (np.array([0, 0], np.int32), np.array([width - 1, height - 1], np.int32))
        header = {**decoder.header, "dataWindow": window, "displayWindow": window}
        return Frame(self.path(frame) or self.sequence.path(frame), frame, (Part("", header, channels),))

    def fingerprint(self, frame: int) -> str:
        """sha256 of the frame's file, or of its decoded pixels in a movie."""
        if self.decoder is not None and self.decoder.stored_bytes is not None:
            return sha256(self.decoder.stored_bytes(frame)).hexdigest()
        return file_sha256(self.sequence.path(frame))

    def check(self, frames: Items[int]) -> None:
        """Raise for frames that are not there, are cut short, or differ in size.

        Headers only: about a millisecond per EXR frame.
        """
        if missing := sorted(set(frames) - set(self.frames)):
            raise PlateMissingError(
                f"frames {format_frames(missing)} are not there",
                where=self.name,
                hint="Deliver them, or leave them out of the job's frames",
            )
        if self.is_movie or not frames:
            return
        first = self._window(frames[0])
        for frame in frames[1:]:
            if (other := self._window(frame)) != first:
                raise PlateSizeError(
                    f"its windows are {_size(other)}, those of frame {frames[0]} {_size(first)}",
                    where=self.sequence.path(frame),
                    frame=frame,
                    hint="Deliver one size, or split the shot",
                )

    def _window(self, frame: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Data and display window of a frame, from its header."""
        path = self.sequence.path(frame)
        if self.decoder is None:
            head = read_header(path, frame)
            return head.data_window, head.display_window
        from stit_vfx.plate.stills import still_info

        height, width = still_info(path, frame).shape
        return (0, 0, width - 1, height - 1), (0, 0, width - 1, height - 1)


def _size(windows: tuple[tuple[int, ...], tuple[int, ...]]) -> str:
    (x0, y0, x1, y1), (dx0, dy0, dx1, dy1) = windows
    return f"{x1 - x0 + 1}x{y1 - y0 + 1}{x0:+}{y0:+} in {dx1 - dx0 + 1}x{dy1 - dy0 + 1}"


def open_plate(pattern: str | Path, *, colourspace: str | None = None, config: str | None = None) -> Plate:
    """Open a plate: a pattern, one file of a sequence, a folder, or a movie.

    colourspace  what the plate is in; None: what its header says, and a guess (W302) where it says nothing.
                 A data space, such as "data", reads mattes, which need no RGB
    config       an OCIO config file or `ocio://` name; None: $OCIO, then the built-in one
    Raises PlateMissingError, ColourSpaceError, and what the first frame's header calls for.
    """
    ocio = load_config(config)
    path = Path(pattern).expanduser()
    if path.suffix.lower() in MOVIES:
        # Movies with numbers are not frames of a sequence.
        return _movie(Sequence(path.name, path.parent, (1,)), colourspace, ocio)
    sequence = Sequence.find(path)
    first = sequence.path(sequence.frames[0])
    if first.suffix.lower() == ".exr":
        return _exr(sequence, colourspace, ocio)
    return _stills(sequence, colourspace, ocio)


def _exr(sequence: Sequence, colourspace: str | None, ocio: Any) -> Plate:
    first = sequence.frames[0]
    head = read_header(sequence.path(first), first)
    colour = resolve_space(head.header, str(head.path), override=colourspace, config=ocio)
    if not is_data(ocio, colour.space):
        head.rgb_place  # noqa: B018  refuses a plate without R, G, B
    rate = head.header.get("framesPerSecond")
    return Plate(sequence, sequence.frames, colour, head.shape, float(rate) if rate else None)


def _stills(sequence: Sequence, colourspace: str | None, ocio: Any) -> Plate:
    from stit_vfx.plate.stills import read_still, still_info

    first = sequence.frames[0]
    info = still_info(sequence.path(first), first)
    untagged = "scene_linear" if info.is_float else DISPLAY_SPACE
    light, to_linear, header = _encoded(colourspace, info.tag, untagged, ocio, sequence.name)
    header["pixelAspectRatio"] = info.pixel_aspect
    decoder = Decoder(lambda frame: read_still(sequence.path(frame), frame), None, to_linear, header)
    return Plate(sequence, sequence.frames, light, info.shape, decoder=decoder)


def _movie(sequence: Sequence, colourspace: str | None, ocio: Any) -> Plate:
    from stit_vfx.plate.movie import MovieReader

    reader = MovieReader(sequence.path(1))
    light, to_linear, header = _encoded(colourspace, reader.tag, DISPLAY_SPACE, ocio, sequence.name)
    if reader.rate:
        header["framesPerSecond"] = Fraction(reader.rate)
    decoder = Decoder(reader.read, reader.stored_bytes, to_linear, header)
    fps = float(reader.rate) if reader.rate else None
    return Plate(sequence, tuple(range(1, reader.count + 1)), light, reader.shape, fps, decoder)


def _encoded(
    colourspace: str | None, tag: str | None, untagged: str, ocio: Any, name: str
) -> tuple[PlateColour, Conversion, dict[str, Any]]:
    """The space that frames come in, the way there from how they are stored, and attributes that say so."""
    linear = known_space(ocio, "scene_linear")
    if colourspace is not None and is_data(ocio, known_space(ocio, colourspace)):
        data = known_space(ocio, colourspace)
        return PlateColour(data, "as asked for", False, ocio), conversion(ocio, data, data), {}
    stored = stored_space(ocio, colourspace or tag or untagged)
    if stored is None:
        raise ColourSpaceError(
            f"it is stored as {tag!r}, which the OCIO config does not know",
            where=name,
            hint="Name its colour space with --colourspace",
        )
    config, space = stored
    why = "as asked for" if colourspace else "as tagged" if tag else "a guess: the file does not say"
    light = PlateColour(linear, f"stored as {space}, {why}", not (colourspace or tag), ocio)
    known = interop_id(ocio, linear)
    header = {"colorInteropID": known} if known else {}
    return light, conversion(config, space, linear, ocio), header
