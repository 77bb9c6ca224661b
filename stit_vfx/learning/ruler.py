"""What a direction does to pictures, by landmarks: render, find the face again, measure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from stit_vfx.gan.stylegan2 import Generator
from stit_vfx.learning.drawing import as_8bit
from stit_vfx.learning.measures import MEASURES, find_landmarks
from stit_vfx.packs.model import Code, Direction, FaceModel
from stit_vfx.steps.image import to_code

if TYPE_CHECKING:
    from stit_vfx.face.detect import FaceFinder

FACES = 24
# Fewer faces than this, seen at both strengths, say nothing.
LEAST_FACES = 6
# One rendering may change the scale by so much; more would be guessing.
_MOST = 4.0


@dataclass(frozen=True, eq=False)
class Ruler:
    """Measures what directions do to samples. `landmarks` (N, 68, 2): of the samples as they are."""

    model: FaceModel
    ws: np.ndarray
    landmarks: np.ndarray
    finder: FaceFinder

    def moved_sd(self, direction: Direction) -> dict[str, float]:
        """By how much strength 1 moves each measure, mean of both ways, in the samples' standard deviations.

        Empty where too few faces were found again, or the generator needs more than a code.
        """
        if not isinstance(self.model.network, Generator):
            return {}
        seen = np.flatnonzero(np.isfinite(self.landmarks).all((1, 2)))
        chosen = seen[np.unique(np.linspace(0, len(seen) - 1, min(FACES, len(seen))).round().astype(int))]
        pairs = np.stack([np.stack([self._at(row, direction, s) for s in (-1, 1)]) for row in chosen])
        whole = np.isfinite(pairs).all((1, 2, 3))
        if whole.sum() < LEAST_FACES:
            return {}
        return {name: self._change(name, pairs[whole]) for name in MEASURES}

    def _change(self, name: str, pairs: np.ndarray) -> float:
        """Pairs (N, 2, 68, 2) at strengths -1 and 1 to half their mean difference."""
        spread = float(np.nanstd(MEASURES[name](self.landmarks)))
        less, more = MEASURES[name](pairs).T
        return float((more - less).mean() / 2 / spread) if spread > 0 else 0.0

    def _at(self, row: int, direction: Direction, strength: float) -> np.ndarray:
        picture = render(self.model, self.ws[row], direction, strength)
        return find_landmarks(as_8bit(picture), self.finder)

    def calibrated(self, direction: Direction, measure: str, wanted_sd: float) -> Direction:
        """The direction with a scale at which strength 1 moves the measure as wanted, as far as rendering
        says; unchanged where it does not."""
        moved = self.moved_sd(direction).get(measure, 0.0)
        if moved <= wanted_sd / (2 * _MOST):
            return direction
        factor = float(np.clip(wanted_sd / moved, 1 / _MOST, _MOST))
        low, high = (edge / factor for edge in direction.range)
        return replace(direction, scale=direction.scale * factor, range=(low, high))


def render(model: FaceModel, ws: np.ndarray, direction: Direction, strength: float) -> np.ndarray:
    """(R, R, 3) code: rows (num_ws, w_dim) moved along a direction, through a plain generator."""
    code = model.move(Code(ws=ws.astype(np.float32)), [(direction, strength)])
    device = next(model.network.parameters()).device
    style = None if code.style is None else torch.from_numpy(code.style)[None].to(device)
    with torch.no_grad():
        return to_code(model.synthesize(torch.from_numpy(code.ws)[None].to(device), None, style=style))[0]
