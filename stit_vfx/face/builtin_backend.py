"""Faces by dlib's detector and the built-in pack's own landmark network: nothing here that may not be sold.

The network has seen synthetic faces alone. It reads a square around the face as the align step would crop it;
so the first answer says where to look, and the next ones are read from better and better crops. Landmarks are
the mean over several crops that lie a little apart, which makes them steadier than one.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import Any, Literal

import numpy as np

from stit_vfx.errors import MissingPartError
from stit_vfx.face import steady
from stit_vfx.face.align import quad_axes
from stit_vfx.face.detect import Box, Detection, Square, enlarged, for_search, overlap, without_doubles
from stit_vfx.face.detect import square_of as face_square
from stit_vfx.face.dlib_backend import DlibDetector

Array = np.ndarray

# Where the detector is sure of nothing, what it half believes is read too: the network knows a face.
_UNSURE_SCORE = -0.3
# The crop around a face in a box of dlib's detector, in sides of that box.
_CROP_PER_BOX, _CROP_BELOW = 1.68, -0.16
_SETTLING = 3  # crops that are only looked at to find the next
_APART = 0.025  # of a crop's side: how far the averaged crops lie apart
_LOST = 0.045  # of a crop's side: a mean spread beyond this is no face; faces have 0.03, other things 0.06


class BuiltinFinder:
    """dlib's frontal detector; landmarks by the built-in pack's network, 3-D sense at the jaw (`fan-3d`).

    Finds faces from 40 px, turned by up to about 40 degrees; `follow` needs no detector, and goes along with
    a face that turns further.
    """

    name = "builtin"
    licence = (
        "dlib's detector: Boost Software License 1.0. Landmarks: the built-in pack's network, Apache-2.0,"
        " trained on synthetic faces alone."
    )
    commercial_use: Literal["yes", "no", "unknown"] = "yes"

    def __init__(self, device: str = "cpu") -> None:
        self._detector = DlibDetector()
        self._reader, self._spec = _reader(device)

    @property
    def sha256(self) -> dict[str, str]:
        assert self._spec.reader is not None
        file = self._spec.reader.file
        return {file: self._spec.sha256[file]}

    def find(self, image8: Array, *, describe: bool = True) -> list[Detection]:
        small, scale = for_search(image8)
        fitted = [
            self._fitted(image8, _crop_of_box(enlarged(box, scale)), score)
            for box, score in self._detector.search(small) or self._detector.boxes(small, 1, _UNSURE_SCORE)
        ]
        found = without_doubles([each for each in fitted if each is not None])
        if not describe:
            return found
        return [dataclasses.replace(d, descriptor=self.describe(image8, d.landmarks)) for d in found]

    def follow(self, image8: Array, landmarks: Array) -> Detection | None:
        height, width = image8.shape[:2]
        before = _crop_of(landmarks)
        (x, y), side = before.centre, before.side
        if not (0 <= x < width and 0 <= y < height and side > 16):
            return None
        found = self._fitted(image8, before, 0.0)
        if found is None or overlap(found.box, face_square(landmarks).box) < 0.3:
            return None
        return found

    def describe(self, image8: Array, landmarks: Array) -> Array | None:
        from stit_vfx.face.dlib_backend import descriptor

        try:
            return descriptor(image8, landmarks)
        except MissingPartError:
            return None

    def _fitted(self, image8: Array, crop: Square, score: float) -> Detection | None:
        """The face in a crop, or None where there is none to be read."""
        for _ in range(_SETTLING):
            landmarks, _ = self._read(image8, crop)
            crop = _crop_of(landmarks)
        readings = [self._read(image8, _beside(crop, *row)) for row in _PATTERN]
        landmarks = np.mean([marks for marks, _ in readings], axis=0)
        doubt = float(np.mean([spread for _, spread in readings]))
        if doubt > _LOST or not np.isfinite(landmarks).all():
            return None
        return Detection(
            box=face_square(landmarks).box, score=score or 1 - doubt / _LOST, landmarks=landmarks
        )

    def _read(self, image8: Array, crop: Square) -> tuple[Array, float]:
        """Landmarks in pixels of the image, and their mean spread in sides of the crop."""
        size = self._reader.size
        picture, matrix = steady.view(image8, crop, face_px=size, size_px=size)
        marks = self._reader.marks(picture / 255)
        return steady.back(marks.landmarks, matrix), float(marks.spread.mean()) / size


def _crop_of(landmarks: Array) -> Square:
    """The align step's crop around landmarks (68, 2)."""
    centre, across, _ = quad_axes(landmarks)
    x, y = (float(v) for v in centre)
    return Square((x, y), 2 * float(np.hypot(*across)), math.atan2(across[1], across[0]))


def _crop_of_box(box: Box) -> Square:
    side = box[2] - box[0]
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return Square((x, y + _CROP_BELOW * side), _CROP_PER_BOX * side)


def _beside(crop: Square, dx: float, dy: float, grow: float) -> Square:
    """The crop moved in its own axes by shares of its side, and larger by a share."""
    cos, sin = math.cos(crop.roll), math.sin(crop.roll)
    step = crop.side * (dx * cos - dy * sin), crop.side * (dx * sin + dy * cos)
    return Square((crop.centre[0] + step[0], crop.centre[1] + step[1]), crop.side * (1 + grow), crop.roll)


# Opposite pairs, so that what a move does to the answer cancels.
_PATTERN = tuple(
    (_APART * dx, _APART * dy, grow)
    for dx, dy, grow in ((0, 0, 0), (1, 0.4, 0.05), (-1, -0.4, -0.05), (-0.4, 1, 0.05), (0.4, -1, -0.05))
)


@cache
def _reader(device: str) -> tuple[Any, Any]:
    from stit_vfx.packs.reader import CropReader

    return CropReader.own(device)
