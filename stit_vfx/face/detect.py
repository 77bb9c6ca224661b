"""What a face finder is, and how one is chosen.

A finder looks at one 8-bit sRGB frame at a time. Which one is used, and under which licence, is shown to the
user and written into the record: landmark models are trained on data with terms of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from stit_vfx.errors import DeviceError

Box = tuple[float, float, float, float]

# dlib's detector box around a face, told by its landmarks 17..67: the side is 3.158 times their rms radius,
# the centre lies (0.056, 0.157) radii from their mean. Mean over 40 shifted frames of one frontal face.
_SIDE_PER_RADIUS = 3.158
_CENTRE_IN_RADII = np.array([0.056, 0.157])
# Wider frames are searched at this width; the landmarks always come from the frame itself.
_SEARCH_PX = 1600


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One face in one frame. `box` is (x0, y0, x1, y1), `landmarks` (68, 2) float64 in iBUG order, both in
    pixels of the frame with centres at integers; `descriptor` (128,) float32, one person's < 0.6 apart."""

    box: Box
    score: float
    landmarks: np.ndarray
    descriptor: np.ndarray | None = None


class FaceFinder(Protocol):
    """Finds faces in a frame, (H, W, 3) uint8 sRGB. Keeps no memory: a frame always gives the same result."""

    name: str
    licence: str
    commercial_use: Literal["yes", "no", "unknown"]

    @property
    def sha256(self) -> Mapping[str, str]:
        """Of every weight file that landmarks depend on, by file name. Hashed once in a process."""
        ...

    def find(self, image8: np.ndarray, *, describe: bool = True) -> list[Detection]:
        """Every face, largest first. `describe=False` leaves out the descriptor, which doubles the time."""

    def follow(self, image8: np.ndarray, landmarks: np.ndarray) -> Detection | None:
        """The face near where `landmarks` were a frame ago, without a search of the whole frame, or None."""

    def describe(self, image8: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
        """Who the face is, (128,) float32, or None where this finder cannot tell."""


@dataclass(frozen=True)
class Square:
    """A square around a face: centre (x, y) and side in pixels, roll in radians (positive is clockwise on
    screen). The side is that of the box dlib's detector draws: from above the brows to the chin."""

    centre: tuple[float, float]
    side: float
    roll: float = 0.0

    @property
    def box(self) -> Box:
        """The upright box of the same centre and side."""
        (x, y), h = self.centre, self.side / 2
        return (x - h, y - h, x + h, y + h)


def square_of(landmarks: np.ndarray) -> Square:
    """The square that belongs to 68 landmarks; it moves, turns and scales exactly as they do."""
    inner = landmarks[17:]
    mean = inner.mean(axis=0)
    radius = math.sqrt(((inner - mean) ** 2).sum(axis=1).mean())
    across = landmarks[42:48].mean(axis=0) - landmarks[36:42].mean(axis=0)
    roll = math.atan2(across[1], across[0])
    cos, sin = math.cos(roll), math.sin(roll)
    centre = mean + radius * np.array([[cos, -sin], [sin, cos]]) @ _CENTRE_IN_RADII
    return Square((float(centre[0]), float(centre[1])), _SIDE_PER_RADIUS * radius, roll)


def make_finder(kind: str = "auto", device: str = "cpu") -> FaceFinder:
    """The finder called `kind`: "builtin", "dlib", "fan", "fan-3d", or "auto": fan if its weights are on this
    machine, else builtin.

    Never downloads. Raises MissingPartError if a library or weight file is absent.
    """
    from stit_vfx.face.builtin_backend import BuiltinFinder
    from stit_vfx.face.dlib_backend import DlibFinder
    from stit_vfx.face.fan_backend import FanFinder
    from stit_vfx.face.fan_weights import missing

    if kind == "auto":
        kind = "builtin" if missing("fan") else "fan"
    if kind == "builtin":
        return BuiltinFinder(device)
    if kind == "dlib":
        return DlibFinder()
    if kind == "fan":
        return FanFinder(device, "fan")
    if kind == "fan-3d":
        return FanFinder(device, "fan-3d")
    raise DeviceError(
        f"there is no face finder called {kind!r}", hint="Use auto, builtin, dlib, fan or fan-3d"
    )


def for_search(image8: np.ndarray) -> tuple[np.ndarray, float]:
    """A copy at most 1600 px wide, and the factor from its pixels to the image's."""
    height, width = image8.shape[:2]
    longest = max(height, width)
    if longest <= _SEARCH_PX:
        return image8, 1.0
    import cv2

    scale = longest / _SEARCH_PX
    size = (round(width / scale), round(height / scale))
    return cv2.resize(image8, size, interpolation=cv2.INTER_AREA), scale


def enlarged(box: Box, scale: float) -> Box:
    """A box that was found in the copy `for_search` makes, in pixels of the image."""
    x0, y0, x1, y1 = ((v + 0.5) * scale - 0.5 for v in box)
    return (x0, y0, x1, y1)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def without_doubles(found: list[Detection], limit: float = 0.4) -> list[Detection]:
    """Largest first; of two that overlap by more than `limit` only the better scored one stays."""
    kept: list[Detection] = []
    for one in sorted(found, key=lambda d: -d.score):
        if all(overlap(one.box, other.box) <= limit for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda d: d.box[0] - d.box[2])
