"""The lips' landmarks as a camera sees them: in profile the near half of a mouth hides the far one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stit_vfx.shape.code import ShapeCode
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.ramp import ramp

Array = np.ndarray

_BEHIND_CM = 0.15  # a mark so far behind its neighbour, along the lips, is out of sight
# Rows of inner lips, corner to corner, each mark seen past the one before it.
_UPPER, _LOWER, _CORNERS, _OUTER_CORNERS = (61, 62, 63), (67, 66, 65), (60, 64), (48, 54)


@dataclass(frozen=True)
class SeenLips:
    """`marks` (68, 2) px: where landmarks are seen; those of the inner lips, and the lips' corners, that are
    hidden behind the lips' nearer half stand where those go out of sight. `ends` (2, 2, 2) px: at the corner
    on the picture's left and on its right, where the upper and where the lower lip goes out of sight: one
    place, the corner's own, where that is seen.
    """

    marks: Array
    ends: Array

    @classmethod
    def of(cls, model: ShapeModel, code: ShapeCode) -> SeenLips:
        """Bit for bit the landmarks of a code in px where no such mark is hidden, as on any face that turns
        by less than some 35 degrees; and no jump in between.
        """
        points = code.project(model.marks(code))[:, :2].astype(np.float64)
        ends = np.stack([points[[corner, corner]] for corner in _CORNERS])
        way = points[_CORNERS[1]] - points[_CORNERS[0]]
        length = float(np.linalg.norm(way))
        if length < 1e-6:
            return cls(points, ends)
        along, marks = way / length, points.copy()
        reach = _BEHIND_CM * code.scale
        for side, outwards in enumerate((-along, along)):
            corner = points[_CORNERS[side]]
            shares = np.zeros(2)
            for lip, whole in enumerate((_UPPER, _LOWER)):
                row = whole if side else whole[::-1]
                for nearer, mark in pairwise(row):
                    step = marks[nearer] - marks[mark]
                    marks[mark] += _hidden(step, outwards, reach) * step
                step = marks[row[-1]] - corner
                shares[lip] = _hidden(step, outwards, reach)
                ends[side, lip] = corner + shares[lip] * step
            if shares.any():
                last = shares**2 @ ends[side] / (shares**2).sum()
                marks[_CORNERS[side]] = last
                marks[_OUTER_CORNERS[side]] += shares.max() * (last - marks[_OUTER_CORNERS[side]])
        return cls(marks, ends)


def _hidden(step: Array, outwards: Array, reach_px: float) -> float:
    """0..1: how far a mark is behind a neighbour that lies `step` (2,) px from it."""
    return float(ramp(step @ outwards / reach_px, 0.0, 1.0))
