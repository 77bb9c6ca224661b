"""Teeth that the plate shows keep their size and place while lips slide over them.

The upper row belongs to the skull, and what is below it goes over into the lower lip and the jaw. A lip that
closes in covers what is beside it; where one draws back, a strip beside it (roots of teeth, the dark) is
stretched to reach it, and nothing else.

Crops stand upright with the face, so that a mouth is a row of columns, each between an upper and a lower lip.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stit_vfx.shape.ramp import smoothstep

Array = np.ndarray

_SPREAD = 2.5  # a strip that is stretched is so many times as wide as the lip moves
_HALF = 0.5  # of a mouth's height or width: no strip is wider
_CALM = 0.02  # of the mouth's width: over so much its edges are smoothed
_KNOWN_PX = 0.5  # no edge is known better
_WIDE = 0.12  # of its width: over so much columns are at one
_FEWEST_PX = 4
_NO_ROW = 0.35  # of the mouth's height belongs to the skull where no upper teeth show
_ROOM = 2.2  # what is stretched by a smooth step has to be so many times as wide
_CROWN = 0.3  # of their height: by so much more the upper teeth may be bared
_LEFT = 0.15  # of a mouth's height shows what was there, even if both lips pass it
_TIPS = 0.2  # of the upper teeth's height may be stretched with what is below them


@dataclass(frozen=True)
class _Columns:
    """The columns of a mouth: `left`, `right` px, its first and last one, and `top`, `bottom` (W,) px of all,
    as the nearest column of the mouth has them. Pixels' outer edges.
    """

    left: float
    right: float
    top: Array
    bottom: Array

    @classmethod
    def of(cls, mouth: Array) -> _Columns | None:
        """From (S, S) bool. None for less than a few columns."""
        there = np.flatnonzero(mouth.any(0))
        if len(there) < _FEWEST_PX:
            return None
        low, high = mouth.argmax(0)[there] - 0.5, len(mouth) - 0.5 - mouth[::-1].argmax(0)[there]
        every = np.arange(mouth.shape[1])
        sigma = max(0.7, _CALM * len(there))
        curves = (cv2.GaussianBlur(np.interp(every, there, v)[None], (0, 0), sigma)[0] for v in (low, high))
        return cls(float(there[0]) - 0.5, float(there[-1]) + 0.5, *curves)


@dataclass(frozen=True)
class Kept:
    """Flows (S, S, 2) px of what is between the lips: of all of it, and of the `upper` teeth, continued.
    `here` (S, S) bool: where that is. `strain` (W,) px: by how much more the lower lip drops in a column than
    what is beside it can be stretched.
    """

    flow: Array
    upper: Array
    here: Array
    strain: Array


def kept(along_lips: Array, mouth: Array, row: Array, skull: Array) -> Kept | None:
    """None where nothing is between the lips.

    along_lips   (S, S, 2) the lips' flow, continued between them
    mouth, row   (S, S) bool: what the plate shows between the lips, and which of it is upper teeth
    skull        (S, S, 2) the flow of the upper teeth, continued
    """
    here = _largest(at_source(mouth, along_lips) > 0.5)
    old, new = _Columns.of(_largest(mouth)), _Columns.of(here)
    if old is None or new is None:
        return None
    y, x = np.mgrid[: len(here), : here.shape[1]].astype(np.float64)
    source_x = _towards_corners(x, x + skull[..., 0], new, old)
    top, bottom = (np.interp(source_x, x[0], edge) for edge in (old.top, old.bottom))
    height = np.maximum(new.bottom - new.top, 1.0)
    ends = np.interp(source_x, x[0], _row_end(row & mouth, old))
    source_y = y + skull[..., 1]
    source_y = source_y + _yielding(new, source_y - y, top, bottom, _CROWN * (ends - top))
    up = np.maximum(top - (source_y - y + new.top) - _KNOWN_PX, 0)
    source_y = source_y + up * (1 - smoothstep((y - new.top) / np.clip(_SPREAD * up, 1e-3, _HALF * height)))
    upper = np.stack([source_x - x, source_y - y], -1).astype(np.float32)
    end = np.clip(ends - (source_y - y), new.top, new.bottom)
    down = new.bottom + (source_y - y) - bottom
    room, needed = new.bottom - end, _ROOM * np.maximum(down, 0)
    room = np.maximum(room, np.minimum(needed, room + _TIPS * (end - new.top)))
    source_y = source_y - down * smoothstep((y - new.bottom + room) / np.maximum(room, 1e-3))
    strain = (np.maximum(needed - room, 0) * here).sum(0) / np.maximum(here.sum(0), 1) / _ROOM
    columns = np.flatnonzero(here.any(0))
    strain = np.interp(x[0], columns, strain[columns])
    strain = cv2.GaussianBlur(strain[None], (0, 0), max(1.0, _WIDE * len(columns)))[0]
    return Kept(np.stack([source_x - x, source_y - y], -1).astype(np.float32), upper, here, strain)


def _towards_corners(x: Array, there: Array, new: _Columns, old: _Columns) -> Array:
    """(S, S) the columns that pixels come from: `there`, but for strips beside corners that draw apart."""
    wide = _HALF * (new.right - new.left)
    by = float(np.maximum(old.left - new.left - (there - x).mean(), 0))
    there = there + by * (1 - smoothstep((x - new.left) / np.clip(_SPREAD * by, 1e-3, wide)))
    by = float(np.maximum(new.right + (there - x).mean() - old.right, 0))
    return np.asarray(there - by * (1 - smoothstep((new.right - x) / np.clip(_SPREAD * by, 1e-3, wide))))


def _yielding(new: _Columns, teeth: Array, top: Array, bottom: Array, most: Array) -> Array:
    """(S, S) px by which teeth follow the lips after all: where the upper one would draw back by more than
    `most` (S, S), and at corners, where both lips may pass all that was between them.
    """
    high, low = new.top + teeth, new.bottom + teeth
    left = _LEFT * np.minimum(bottom - top, low - high)
    least = np.maximum(top - high - most, top + left - low)
    by = np.clip(0, least, np.maximum(bottom - left - high, least))
    return cv2.GaussianBlur(by, (0, 0), sigmaX=max(1.0, _CALM * (new.right - new.left)), sigmaY=1e-3)


def _row_end(row: Array, columns: _Columns) -> Array:
    """(W,) px: how far down the upper teeth reach in the plate."""
    there = np.flatnonzero(row.any(0))
    if len(there) < _FEWEST_PX:
        return columns.top + _NO_ROW * (columns.bottom - columns.top)
    last = len(row) - 0.5 - row[::-1].argmax(0)[there]
    end = np.interp(np.arange(len(columns.top)), there, last)
    end = cv2.GaussianBlur(end[None], (0, 0), max(0.7, _CALM * len(there)))[0]
    return np.asarray(np.clip(end, columns.top, columns.bottom))


def _largest(mask: Array) -> Array:
    """(S, S) bool: the largest of the mask's parts."""
    count, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return mask
    return np.asarray(label == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())


def at_source(image: Array, flow: Array) -> Array:
    """(S, S) float32: an image (S, S) taken from p + flow, linearly, nothing beyond its edge."""
    y, x = np.mgrid[: len(flow), : flow.shape[1]].astype(np.float32)
    place = x + flow[..., 0].astype(np.float32), y + flow[..., 1].astype(np.float32)
    return cv2.remap(image.astype(np.float32), *place, cv2.INTER_LINEAR)
