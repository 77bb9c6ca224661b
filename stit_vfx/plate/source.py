"""A plate, whatever it is stored as: EXR, PNG, TIFF, DPX or JPEG frames, or a movie.

After reading, all are alike: a `Frame` of scene-linear light. EXR frames are as they are on disk. Everything
else is read only, taken to the config's scene-linear space, and written as EXR: half where the source has at
most 10 bits, float otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence as Items
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from stit_vfx.cache import file_sha256
from stit_vfx.errors import PlateMissingError, PlateSizeError
from stit_vfx.plate.colour import Conversion, PlateColour, known_space, load_config, processor, resolve_space
from stit_vfx.plate.exr import Frame, Part, read_exr, read_header
from stit_vfx.plate.sequence import Sequence

# What files without a word on their colour are taken for: pictures made for a display.
DISPLAY_SPACE = "srgb_tx"
MOVIES = (".mov", ".mp4", ".mxf", ".mkv", ".m4v", ".avi")


@dataclass(frozen=True)
class Picture:
    """An encoded picture (H, W, 3 or 4) float32, nominal 0..1, and the bits it was stored with."""

    pixels: np.ndarray
    bits: int


@dataclass
class Plate:
    """A sequence that can be read frame by frame. `shape` is (H, W) of its data window."""

    sequence: Sequence
    frames: tuple[int, ...]
    colour: PlateColour
    shape: tuple[int, int]
    fps: float | None = None
    _picture: Callable[[int], Picture] | None = None
    _to_linear: Conversion | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Folder and pattern, for messages."""
        return self.sequence.name

    @property
    def is_movie(self) -> bool:
        return Path(self.sequence.pattern).suffix.lower() in MOVIES

    def path(self, frame: int) -> Path | None:
        """The frame's own file; None in a movie."""
        return None if self.is_movie else self.sequence.path(frame)

    def read(self, frame: int) -> Frame:
        """One frame of light. Raises PlateMissingError, PlateDamagedError and their like."""
        if frame not in self.frames:
            raise PlateMissingError("has no such frame", where=self.name, frame=frame, hint="Check the range")
        if self._picture is None:
            return read_exr(self.sequence.path(frame), frame)
        return self._lit(self._picture(frame), frame)

    def _lit(self, picture: Picture, frame: int) -> Frame:
        assert self._to_linear is not None
        light = self._to_linear.apply(picture.pixels[..., :3])
        kind = np.float16 if picture.bits <= 10 else np.float32
        channels = {name: np.ascontiguousarray(light[..., i].astype(kind)) for i, name in enumerate("RGB")}
        if picture.pixels.shape[-1] == 4:
            channels["A"] = np.ascontiguousarray(picture.pixels[..., 3].astype(kind))
        path = self.path(frame) or self.sequence.path(frame)
        window = (np.array([0, 0], np.int32), np.array(self.shape[::-1], np.int32) - 1)
        header = {"dataWindow": window, "displayWindow": window}
        return Frame(path, frame, (Part("", header, channels),))

    def fingerprint(self, frame: int) -> str:
        """sha256 of the frame's file, or of its decoded pixels in a movie."""
        path = self.path(frame)
        if path is not None:
            return file_sha256(path)
        assert self._picture is not None
        return sha256(np.ascontiguousarray(self._picture(frame).pixels).tobytes()).hexdigest()

    def check(self, frames: Items[int]) -> None:
        """Raise for a frame that is not there or has other windows than the first; headers only."""
        from stit_vfx.plate.sequence import format_frames

        if missing := [frame for frame in frames if frame not in self.frames]:
            raise PlateMissingError(
                f"frames {format_frames(missing)} are not there", where=self.name, hint="Deliver them, or trim"
            )
        if self._picture is not None:
            return
        first = read_header(self.sequence.path(frames[0]), frames[0])
        for frame in frames[1:]:
            other = read_header(self.sequence.path(frame), frame)
            if _windows(other) != _windows(first):
                raise PlateSizeError(
                    f"is {_size(other)} or has another window than frame {frames[0]} ({_size(first)})",
                    where=self.sequence.path(frame),
                    frame=frame,
                    hint="Deliver one size, or split the shot",
                )


def _windows(frame: Frame) -> tuple[object, ...]:
    return frame.shape, frame.data_window, frame.display_window


def _size(frame: Frame) -> str:
    return f"{frame.shape[1]}x{frame.shape[0]}"


def open_plate(
    pattern: str | Path, *, colourspace: str | None = None, config: str | None = None
) -> Plate:
    """Open a plate. `config`: an OCIO config file or `ocio://` name; None: $OCIO, then the built-in one.

    Raises PlateMissingError, ColourSpaceError, and what the first frame's header calls for.
    """
    ocio = load_config(config)
    sequence = Sequence.find(pattern)
    first = sequence.path(sequence.frames[0])
    if first.suffix.lower() == ".exr":
        head = read_header(first, sequence.frames[0])
        colour = resolve_space(head.header, str(first), override=colourspace, config=ocio)
        return Plate(sequence, sequence.frames, colour, head.shape)
    if first.suffix.lower() in MOVIES:
        return _movie(sequence, colourspace, ocio)
    return _stills(sequence, colourspace, ocio)


def _stills(sequence: Sequence, colourspace: str | None, ocio: object) -> Plate:
    from stit_vfx.plate.stills import read_still, still_info

    info = still_info(sequence.path(sequence.frames[0]))
    light, to_linear = _encoded(colourspace, info.space, ocio)
    return Plate(
        **{"sequence": sequence, "frames": sequence.frames, "colour": light, "shape": info.shape},
        _picture=lambda frame: read_still(sequence.path(frame), frame),
        _to_linear=to_linear,
    )


def _movie(sequence: Sequence, colourspace: str | None, ocio: object) -> Plate:
    from stit_vfx.plate.movie import MovieReader

    reader = MovieReader(sequence.path(1))
    light, to_linear = _encoded(colourspace, reader.space, ocio)
    return Plate(
        **{"sequence": sequence, "frames": tuple(range(1, reader.count + 1)), "colour": light},
        shape=reader.shape,
        fps=reader.fps,
        _picture=reader.read,
        _to_linear=to_linear,
    )


def _encoded(colourspace: str | None, tagged: str | None, ocio: object) -> tuple[PlateColour, Conversion]:
    """The scene-linear space that frames come in, and the conversion from how they are stored."""
    stored = known_space(ocio, colourspace or tagged or DISPLAY_SPACE)
    linear = known_space(ocio, "scene_linear")
    why = "as asked for" if colourspace else "tagged" if tagged else "the file does not say"
    light = PlateColour(linear, f"stored as {stored}, {why}", not (colourspace or tagged), ocio)
    return light, Conversion(processor(ocio, stored, linear))
