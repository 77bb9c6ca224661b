"""Rows of w for a crop by optimisation, for packs that have no encoder.

From the average w, one w for all rows is brought down first, shaken by noise that fades out (Karras et al.,
"Analyzing and Improving the Image Quality of StyleGAN", 2020, appendix D; the first inversion of Roich et
al., "Pivotal Tuning", 2022), then each row on its own (Abdal et al., "Image2StyleGAN", 2019). Noise maps stay
as they are: later steps use the generator's own. Rows are kept together a little, since codes far from a
common w edit badly (Tov et al. 2021).

Within a shot a frame starts where the one before ended, and is held there where the picture does not say
otherwise: left alone, Adam would carry each frame's unseen directions off another way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from stit_vfx.errors import PackError
from stit_vfx.gan.stylegan2 import Generator
from stit_vfx.packs.model import Code
from stit_vfx.steps.image import resize, to_network
from stit_vfx.steps.losses import PERCEPTUAL_PX, seen_by

if TYPE_CHECKING:
    from stit_vfx.packs.model import FaceModel, Perceptual

# Of the learning rate, for frames that start near their end: a five times larger one moves them twice as far.
FOLLOWING_RATE = 0.2
# w drawn to learn how far it spreads; its error is about 1 %.
DRAWN = 10_000


@dataclass(frozen=True)
class ProjectSettings:
    """`steps` are updates for the first frame of a stretch, half of them for one w; `following` for others.

    `lr` and `noise` are in spreads of w (root mean square over its numbers), so that one number does for
    generators of any scale. `together` weighs the rows' distance from their mean, `steady` that from the
    frame before, both in squared spreads.
    """

    steps: int = 400
    following: int = 100
    lr: float = 0.1
    noise: float = 0.2
    together: float = 1e-4
    steady: float = 1e-2
    perceptual: float = 1.0
    perceptual_px: int | None = PERCEPTUAL_PX
    seed: int = 0

    @classmethod
    def of(cls, schedule: Mapping[str, Any], *, seed: int = 0) -> ProjectSettings:
        """With the pack's own `project_steps` and `project_lr`, where it says."""
        steps = int(schedule.get("project_steps", cls.steps))
        following = max(steps * cls.following // cls.steps, 1)
        return cls(steps=steps, following=following, lr=schedule.get("project_lr", cls.lr), seed=seed)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Target:
    """crop (1, 3, R, R); valid (R, R), 1 where the plate has pixels, and the `share` of those."""

    crop: Tensor
    valid: Tensor
    share: Tensor
    seen: tuple[Tensor, ...] | None


class Projector:
    """Finds the rows whose image is a given crop. The same crop and start give the same bits."""

    def __init__(
        self,
        model: FaceModel,
        settings: ProjectSettings | None = None,
        *,
        perceptual: Perceptual | None = None,
    ) -> None:
        """Raises PackError for packs whose generator does not start from z."""
        if not isinstance(model.network, Generator):
            raise PackError(
                "the rows of this pack's generator are found by its encoder", hint="Use pack.model.encode"
            )
        self.model, self.settings, self.perceptual = model, settings or ProjectSettings(), perceptual
        self.average = model.network.mapping.w_avg.detach()[None, None]
        self.spread = _spread(model.network)

    def total(self, *, following: bool) -> int:
        """Updates for one frame."""
        return self.settings.following if following else self.settings.steps

    def project(
        self,
        crop: Tensor,
        *,
        valid: Tensor | None = None,
        start: Tensor | None = None,
        on_step: Callable[[int], None] = lambda done: None,
    ) -> Tensor:
        """A crop (1, 3, R, R) in [-1, 1] to rows (1, num_ws, w_dim).

        valid    (R, R), 0 where the crop shows nothing of the plate; default: all of it counts
        start    rows (1, num_ws, w_dim) of the frame before
        on_step  called with the updates done, after each
        """
        target = self._target(crop, valid)
        if start is not None:
            start = start.to(self.average.device)
            return self._descend(target, start, self.settings.following, follow=True, on_step=on_step)
        first = self.settings.steps // 2
        w = self._descend(target, self.average, first, noise=self.settings.noise, on_step=on_step)
        rows = w.repeat(1, self.model.num_ws, 1)
        return self._descend(target, rows, self.settings.steps - first, on_step=lambda n: on_step(first + n))

    def _target(self, crop: Tensor, valid: Tensor | None) -> _Target:
        crop = crop.to(self.average.device)
        valid = torch.ones_like(crop[0, 0]) if valid is None else valid.to(crop)
        seen = None
        if self.perceptual is not None and self.settings.perceptual:
            with torch.no_grad():
                seen = seen_by(self.perceptual, crop, self.settings.perceptual_px)
        return _Target(crop, valid, valid.mean().clamp_min(1e-3), seen)

    def _descend(
        self,
        target: _Target,
        start: Tensor,
        steps: int,
        *,
        noise: float = 0.0,
        follow: bool = False,
        on_step: Callable[[int], None],
    ) -> Tensor:
        """Rows (1, K, w_dim) after so many updates; K is 1 for one w, or num_ws. `follow`: held there."""
        moved = torch.zeros_like(start, requires_grad=True)
        rate = self.settings.lr * (FOLLOWING_RATE if follow else 1.0)
        adam = torch.optim.Adam([moved], lr=rate)
        random = torch.Generator().manual_seed(self.settings.seed)
        with torch.enable_grad():
            for step in range(steps):
                adam.param_groups[0]["lr"] = rate * _ramp(step / steps)
                rows = start + self.spread * moved
                if shake := noise * max(0.0, 1 - step / steps / 0.75) ** 2:
                    drawn = torch.randn(rows.shape, generator=random).to(rows.device)
                    rows = rows + shake * self.spread * drawn
                adam.zero_grad()
                self._loss(target, rows, start if follow else None).backward()
                adam.step()
                on_step(step + 1)
        return (start + self.spread * moved).detach()

    def _loss(self, target: _Target, rows: Tensor, anchor: Tensor | None) -> Tensor:
        image = self.model.synthesize(rows.expand(-1, self.model.num_ws, -1), None)
        difference = (image - target.crop) * target.valid
        loss = difference.square().mean() / target.share
        if target.seen is not None and self.perceptual is not None:
            # What the plate does not have is taken as met.
            ours = seen_by(self.perceptual, target.crop + difference, self.settings.perceptual_px)
            loss = loss + self.settings.perceptual * self.perceptual.compare(ours, target.seen).mean()
        loss = loss + self.settings.together * self._apart(rows, rows.mean(1, keepdim=True))
        if anchor is not None:
            loss = loss + self.settings.steady * self._apart(rows, anchor)
        return loss

    def _apart(self, rows: Tensor, others: Tensor) -> Tensor:
        return ((rows - others) / self.spread).square().mean()


def project_shot(
    projector: Projector,
    *,
    frames: Sequence[int],
    cuts: Sequence[int],
    crop: Callable[[int], tuple[np.ndarray, np.ndarray]],
    known: Mapping[int, Code] | None = None,
    on_step: Callable[[int, int, int], None] = lambda done, total, frame: None,
    keep: Callable[[Mapping[int, Code]], None] = lambda codes: None,
) -> dict[int, Code]:
    """Codes by frame; each frame starts from the one before, except at `cuts`, the rows of new stretches.

    crop     gives a frame's crop (S, S, 3) code, and (S, S), 0 where the plate has no pixels
    known    codes of the first frames, from an interrupted run; the rest comes out as it would have
    on_step  called with (updates done, of how many, frame), after each
    keep     called with all codes so far, after each frame
    """
    codes = dict(known or {})
    firsts = {0, *cuts}
    sizes = [projector.total(following=row not in firsts) for row in range(len(frames))]
    for row, frame in enumerate(frames):
        if frame in codes:
            continue
        told = partial(_tell, on_step, before=sum(sizes[:row]), total=sum(sizes), frame=frame)
        start = None if row in firsts else torch.from_numpy(codes[frames[row - 1]].ws)[None]
        size = projector.model.resolution
        picture, valid = crop(frame)
        ws = projector.project(
            to_network(picture, size),
            valid=torch.from_numpy(resize(valid, size)),
            start=start,
            on_step=told,
        )
        codes[frame] = Code(ws=ws[0].float().cpu().numpy())
        keep(codes)
    return codes


def _tell(
    on_step: Callable[[int, int, int], None], done: int, *, before: int, total: int, frame: int
) -> None:
    on_step(before + done, total, frame)


@torch.no_grad()
def _spread(network: Generator) -> float:
    """How far w lies from its average: root mean square over its numbers."""
    mapping = network.mapping
    z = torch.randn(DRAWN, network.config.z_dim, generator=torch.Generator().manual_seed(0))
    w = mapping(z.to(mapping.w_avg.device))[:, 0]
    return max(float((w - mapping.w_avg).square().mean().sqrt()), 1e-6)


def _ramp(share: float) -> float:
    """Of the learning rate: up over the first 5 %, a half cosine down to nothing over the last 25 %."""
    down = 0.5 - 0.5 * np.cos(np.pi * min(1.0, (1 - share) / 0.25))
    return float(down * min(1.0, share / 0.05 + 0.05))
