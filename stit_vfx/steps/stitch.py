"""Step 5, stitch: per frame, tune on until the edit meets its surroundings.

"Stitch it in Time" (Tzaban et al. 2022), stitching tuning: in a ring around the face the generator is driven
to the surroundings, inside it to the edit as it was before. Where the change is carried to the plate's own
pixels (put-back `detail` and `delta`), the surroundings are the generator's own reconstruction, so that the
change vanishes in the ring; in `replace` they are the plate, as published.

Every frame starts from the tuned weights, restored in place, so results do not depend on which frames came
before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from stit_vfx.packs.model import Code, FaceModel
from stit_vfx.steps.image import to_code
from stit_vfx.steps.losses import masked_distance
from stit_vfx.steps.masks import masks

if TYPE_CHECKING:
    from stit_vfx.job import Job

Losses = list[tuple[float, float]]
# Squared distance in the units of `masked_distance` below which a border is not seen: the threshold that the
# published code advises for demanding backgrounds.
INVISIBLE = 0.002


@dataclass(frozen=True)
class StitchSettings:
    """Numbers of the loop. `outer` and `inner` are in pixels of a 1024 crop.

    threshold  the loop ends before the update where the border's loss is below it; 0 never
    patience   it also ends when that many updates have not lowered the whole loss by a hundredth; 0 never
    surroundings  what the ring is driven to: the generator's reconstruction, or the plate
    """

    steps: int = 30
    lr: float = 3e-4
    content: float = 0.01
    threshold: float = INVISIBLE / 10
    patience: int = 8
    l1: bool = False
    whole_image_border: bool = False
    outer: int = 50
    inner: int = 0
    surroundings: Literal["recon", "plate"] = "recon"

    @classmethod
    def paper(cls, **changes: float | bool | str) -> StitchSettings:
        """The published numbers."""
        published = cls(steps=100, lr=3e-4, content=0.01, threshold=0.0, patience=0, surroundings="plate")
        return replace(published, **changes)  # type: ignore[arg-type]

    @classmethod
    def of(cls, job: Job, model: FaceModel) -> StitchSettings:
        """What a job asks for, with the pack's own `stitch_steps` and `stitch_lr` where it asks for nothing.

        A draft takes a third of the steps; disabled, the loop takes none.
        """
        own = {
            name: model.schedule[f"stitch_{name}"]
            for name in ("steps", "lr")
            if f"stitch_{name}" in model.schedule
        }
        settings = cls.paper() if job.tune.schedule == "paper" else replace(cls(), **own)
        asked = {name: getattr(job.stitch, name) for name in ("lr", "content", "threshold")}
        settings = replace(settings, **{name: value for name, value in asked.items() if value is not None})
        steps = settings.steps if job.stitch.steps is None else job.stitch.steps
        if job.quality == "draft" and job.stitch.steps is None:
            steps = max(steps // 3, 1)
        return replace(
            settings,
            steps=steps if job.stitch.enabled else 0,
            l1=job.stitch.l1,
            whole_image_border=job.stitch.whole_image_border,
            outer=job.stitch.outer,
            inner=job.stitch.inner,
            surroundings="plate" if job.putback == "replace" else "recon",
        )

    def decide(self) -> dict[str, Any]:
        """The numbers that decide the result, for content keys: none but that, where nothing is stitched."""
        return asdict(self) if self.steps else {"steps": 0}


@dataclass(frozen=True)
class StitchFrame:
    """One frame at the generator's size.

    target (3, R, R) in [-1, 1] is the plate's crop; maps (1, C, R, R) for geometry-aware packs; foreground
    (R, R) in 0..1.
    """

    frame: int
    target: Tensor
    before: Code
    after: Code
    maps_before: Tensor | None
    maps_after: Tensor | None
    foreground: np.ndarray


@dataclass(frozen=True)
class StitchResult:
    """`recon` and `edited` are (R, R, 3) float32 code, unclamped; `losses`: what the loop did."""

    recon: np.ndarray
    edited: np.ndarray
    losses: dict[str, float]


class Stitcher:
    """Stitches frames of one shot with one tuned model, in any order.

    network  the tuned one; a copy of it for each stitcher lets several work side by side
    """

    def __init__(
        self, model: FaceModel, settings: StitchSettings, *, network: nn.Module | None = None
    ) -> None:
        self.model, self.settings = model, settings
        self.network = model.network if network is None else network
        self.parameters = dict(self.network.named_parameters())
        self.tuned = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self.device = next(iter(self.tuned.values())).device

    def stitch(self, frame: StitchFrame) -> StitchResult:
        """The frame's reconstruction, and its edit tuned to it. Leaves the model as it found it."""
        recon = self._picture(frame.before, frame.maps_before)
        start = self._picture(frame.after, frame.maps_after)
        ring = masks(
            frame.foreground,
            outer=self.settings.outer,
            inner=self.settings.inner,
            whole_image_border=self.settings.whole_image_border,
        )
        border, content = (
            torch.from_numpy(m)[None, None].to(self.device) for m in (ring.border, ring.content)
        )
        surroundings = recon if self.settings.surroundings == "recon" else frame.target[None].to(self.device)
        try:
            losses = meet(
                lambda: self._render(frame.after, frame.maps_after),
                self._trained(frame.after),
                surroundings=surroundings,
                edit=start,
                border=border,
                content=content,
                settings=self.settings,
            )
            edited = self._picture(frame.after, frame.maps_after) if losses else start
        finally:
            self._restore()
        after = float(masked_distance(edited, surroundings, border, l1=self.settings.l1))
        return StitchResult(to_code(recon)[0], to_code(edited)[0], _told(losses, after))

    def _render(self, code: Code, maps: Tensor | None) -> Tensor:
        ws = torch.from_numpy(np.asarray(code.ws, np.float32))[None].to(self.device)
        maps = None if maps is None else maps.to(self.device)
        if code.style is None:
            return self.model.synthesize(ws, maps, network=self.network)
        style = torch.from_numpy(np.asarray(code.style, np.float32))[None].to(self.device)
        return self.model.synthesize(ws, maps, style=style, network=self.network)

    @torch.no_grad()
    def _picture(self, code: Code, maps: Tensor | None) -> Tensor:
        return self._render(code, maps).detach()

    def _trained(self, code: Code) -> list[nn.Parameter]:
        """All parameters; for style-space edits not the layers between rows and styles, as published."""
        return trained_for(self.parameters.items(), style=code.style is not None)

    @torch.no_grad()
    def _restore(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(False)
            parameter.grad = None
            parameter.copy_(self.tuned[name])


def trained_for(parameters: Iterable[tuple[str, nn.Parameter]], *, style: bool) -> list[nn.Parameter]:
    """The parameters that a frame's loop may move."""
    return [parameter for name, parameter in parameters if not (style and ".affine." in f".{name}")]


def meet(
    render: Callable[[], Tensor],
    parameters: list[nn.Parameter],
    *,
    surroundings: Tensor,
    edit: Tensor,
    border: Tensor,
    content: Tensor,
    settings: StitchSettings,
) -> Losses:
    """The loop: moves `parameters` until what `render` gives meets its surroundings.

    Images (1, 3, R, R), masks (1, 1, R, R). Returns the border's and the content's loss at every step that
    was looked at; the last of them may have had no update.
    """
    for parameter in parameters:
        parameter.requires_grad_(True)
    adam = torch.optim.Adam(parameters, lr=settings.lr)
    losses: Losses = []
    while len(losses) < settings.steps:
        image = render()
        at_border = masked_distance(image, surroundings, border, l1=settings.l1)
        inside = masked_distance(image, edit, content, l1=settings.l1)
        losses.append((at_border.item(), inside.item()))
        if _enough(losses, settings):
            break
        adam.zero_grad()
        (at_border + settings.content * inside).backward()
        adam.step()
    return losses


def _enough(losses: Losses, settings: StitchSettings) -> bool:
    if settings.threshold and losses[-1][0] < settings.threshold:
        return True
    if not settings.patience or len(losses) <= settings.patience:
        return False
    whole = [border + settings.content * content for border, content in losses]
    return min(whole[-settings.patience :]) > 0.99 * min(whole[: -settings.patience])


def _told(losses: Losses, after: float) -> dict[str, float]:
    if not losses:
        return {"steps": 0, "border_before": after, "border_after": after}
    return {
        "steps": len(losses),
        "border_before": losses[0][0],
        "border_after": after,
        "content_after": losses[-1][1],
    }
