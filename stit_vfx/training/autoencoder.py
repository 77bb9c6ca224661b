"""Trains the generator and the encoder together: crop to rows of w to the same crop, with the geometry given.

`python -m stit_vfx.training.autoencoder --data DIR --out RUN --steps N`. A run goes on from its checkpoint,
to the same bits as one that was never cut off where the number of threads is the same.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from torch import Tensor, nn

from stit_vfx.errors import PackDamagedError, PackFormatError
from stit_vfx.gan.geometry import GeometryConfig, GeometryEncoder, GeometrySynthesis
from stit_vfx.shape.maps import COVER, NORMAL
from stit_vfx.training.batches import Batch, FaceBatches
from stit_vfx.training.critic import Contest
from stit_vfx.training.loss import picture_loss, pixel_weights, psnr

Say = Callable[[str], None]


@dataclass(frozen=True)
class Phase:
    """Steps up to `last`. Rates fall from their peaks along a cosine that reaches the floor at step `end`.

    `critic`: how hard the critic pulls at the pictures, as a share of what the loss of the picture does.
    """

    last: int
    encoder: float
    generator: float
    end: int
    critic: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """What a training run depends on, beside the faces. The penalties keep w small and its rows alike."""

    phases: tuple[Phase, ...]
    batch: int = 4
    warm_up: int = 100
    floor: float = 0.02
    w_weight: float = 1e-3
    delta_weight: float = 5e-3
    clip: float = 1.0
    average: float = 0.999
    seed: int = 0

    @classmethod
    def plain(cls, steps: int, *, batch: int = 4, seed: int = 0) -> Recipe:
        """One phase. The generator's weights are equalised, of unit size, and want ten times the rate."""
        return cls((Phase(steps, encoder=5e-4, generator=5e-3, end=steps),), batch=batch, seed=seed)

    @classmethod
    def growing(cls, steps: int, sharpening: int, *, batch: int = 4, seed: int = 0) -> Recipe:
        """For networks that were grown: all of them, then the generator alone against a critic."""
        last = steps + sharpening
        grown = Phase(steps, encoder=1e-4, generator=2.5e-3, end=steps)
        return cls((grown, Phase(last, 0.0, 1e-3, end=last, critic=0.25)), batch=batch, seed=seed)

    @property
    def steps(self) -> int:
        return self.phases[-1].last

    def phase_at(self, step: int) -> tuple[Phase, int]:
        """The phase of a step, and the step that it begins with."""
        starts = [0, *(phase.last for phase in self.phases)]
        number = next((k for k, phase in enumerate(self.phases) if step < phase.last), len(self.phases) - 1)
        return self.phases[number], starts[number]

    def rates_at(self, step: int) -> tuple[float, float]:
        """Of encoder and generator; the first steps of all are a linear warm-up."""
        phase, start = self.phase_at(step)
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - start) / (phase.end - start)))
        share = min(1.0, (step + 1) / self.warm_up) * (self.floor + (1 - self.floor) * cosine)
        return phase.encoder * share, phase.generator * share


class AutoEncoder(nn.Module):
    """Encoder and generator in series."""

    def __init__(self, config: GeometryConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = GeometryEncoder(config)
        self.generator = GeometrySynthesis(config)

    def forward(self, crop: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Picture, w (N, w_dim), offsets (N, num_ws, w_dim). Noise is left out: it would only blur."""
        base, deltas = self.encoder.split(crop, maps)
        return self.generator(base[:, None] + deltas, maps, noise="none"), base, deltas

    def grown(self, config: GeometryConfig) -> AutoEncoder:
        """Networks with more blocks that at first paint what these do, doubled; they train.

        The encoder looks at the same pixels as before; the new rows of w start as the last one was. Karras et
        al., "Progressive Growing of GANs", 2018.
        """
        large = AutoEncoder(config)
        state = self.state_dict()
        more = config.num_ws - self.config.num_ws
        for key in ("encoder.deltas.weight", "encoder.deltas.bias"):
            rows = state[key].unflatten(0, (self.config.num_ws, -1))
            state[key] = torch.cat([rows, *[rows[-1:]] * more]).flatten(0, 1)
        large.load_state_dict(large.state_dict() | state)
        for block in large.generator.blocks()[len(self.generator.blocks()) :]:
            nn.init.zeros_(block.torgb.weight)
        return large


@dataclass
class Run:
    """A training run at a step: networks, their running average, the optimiser, the contest with a critic."""

    recipe: Recipe
    networks: AutoEncoder
    average: AutoEncoder
    adam: torch.optim.AdamW
    contest: Contest
    step: int = 0

    @classmethod
    def start(cls, recipe: Recipe, config: GeometryConfig, small: AutoEncoder | None = None) -> Run:
        """With new networks, or with those of a lower resolution, grown."""
        torch.manual_seed(recipe.seed)
        networks = AutoEncoder(config) if small is None else small.grown(config)
        networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = [{"params": list(part.parameters())} for part in (networks.encoder, networks.generator)]
        adam = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.0)
        average = copy.deepcopy(networks).requires_grad_(False)
        return cls(recipe, networks, average, adam, Contest(networks.config.maps))

    def advance(self, batch: Batch) -> float:
        """One step; returns the loss of the picture."""
        for group, rate in zip(self.adam.param_groups, self.recipe.rates_at(self.step), strict=True):
            group["lr"] = rate
        crop, target, maps = (
            x.contiguous(memory_format=torch.channels_last) for x in (batch.crop, batch.target, batch.maps)
        )
        picture, base, deltas = self.networks(crop, maps)
        loss = picture_loss(picture, target, pixel_weights(maps))
        penalty = (
            self.recipe.w_weight * base.square().mean() + self.recipe.delta_weight * deltas.square().mean()
        )
        self.adam.zero_grad(set_to_none=True)
        share = self.recipe.phase_at(self.step)[0].critic
        if share:
            pull = self.contest.pull(picture, maps, loss, share=share)
            torch.autograd.backward([picture, penalty], [pull, None])
        else:
            (loss + penalty).backward()
        nn.utils.clip_grad_norm_(self.networks.parameters(), self.recipe.clip)
        self.adam.step()
        if share:
            self.contest.learn(picture.detach(), target, maps, self.step)
        self.step += 1
        self._follow()
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average; at the start it forgets faster, so that it is of use early."""
        keep = min(self.recipe.average, self.step / (self.step + 20))
        ours: list[Tensor] = list(self.networks.parameters())
        torch._foreach_lerp_(list(self.average.parameters()), ours, 1 - keep)

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        state = {
            "recipe": asdict(self.recipe),
            "config": self.networks.config.as_dict(),
            "networks": self.networks.state_dict(),
            "average": self.average.state_dict(),
            "adam": self.adam.state_dict(),
            "contest": self.contest.state_dict(),
            "step": self.step,
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Raises PackDamagedError where the file is not a checkpoint."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError) as error:
        raise PackDamagedError(f"not a checkpoint: {error}", where=path) from error
    return state


def resume(recipe: Recipe, config: GeometryConfig, path: Path, small: AutoEncoder | None = None) -> Run:
    """The run of a checkpoint, or a new one. A checkpoint of another recipe is refused."""
    run = Run.start(recipe, config, small)
    if not path.exists():
        return run
    state = read_checkpoint(path)
    if state["recipe"] != asdict(recipe) or state["config"] != config.as_dict():
        raise PackFormatError("the checkpoint is of another recipe", where=path, hint="Give another --out")
    run.networks.load_state_dict(state["networks"])
    run.average.load_state_dict(state["average"])
    run.adam.load_state_dict(state["adam"])
    run.contest.load_state_dict(state["contest"])
    run.step = state["step"]
    return run


def trained(run: Path) -> tuple[AutoEncoder, int]:
    """The averaged networks of a run, and the step they are from."""
    state = read_checkpoint(run / "checkpoint.pt")
    networks = AutoEncoder(GeometryConfig(**state["config"]))
    networks.load_state_dict(state["average"])
    return networks.eval().requires_grad_(False), int(state["step"])


@dataclass(frozen=True)
class Score:
    """Decibels on held-out faces: whole picture, the face, eyes and mouth."""

    whole: float
    face: float
    features: float

    def __str__(self) -> str:
        return f"PSNR whole {self.whole:.2f} face {self.face:.2f} eyes and mouth {self.features:.2f} dB"


@torch.no_grad()
def evaluate(networks: AutoEncoder, faces: FaceBatches, count: int = 64) -> Score:
    """On held-out faces, clipped to the range that pictures have."""
    held = faces.held(count)
    ours = torch.cat([networks(c, m)[0] for c, m in zip(held.crop.split(8), held.maps.split(8), strict=True)])
    ours = ours.clamp(-1, 1)
    weights = pixel_weights(held.maps)
    cover = held.maps[:, COVER : COVER + 1]
    masks = (torch.ones_like(cover), cover, (weights > 2).float())
    return Score(*(psnr(ours, held.target, mask) for mask in masks))


@torch.no_grad()
def write_sheet(networks: AutoEncoder, faces: FaceBatches, path: Path, count: int = 20) -> None:
    """PNG: rows of ten: as drawn, as generated, normals."""
    held = faces.held(count)
    ours = torch.cat([networks(c, m)[0] for c, m in zip(held.crop.split(8), held.maps.split(8), strict=True)])
    rows = []
    for k in range(0, len(ours), 10):
        rows += [torch.cat(list(x[k : k + 10]), 2) for x in (held.target, ours, held.maps[:, NORMAL])]
    sheet = torch.cat([row for row in rows if row.shape[2] == rows[0].shape[2]], 1).clamp(-1, 1)
    pixels = np.rint((sheet.permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
    cv2.imwrite(str(path), pixels[..., ::-1])


def train(
    faces: FaceBatches,
    recipe: Recipe,
    folder: Path,
    *,
    config: GeometryConfig | None = None,
    small: AutoEncoder | None = None,
    minutes_between: float = 3.0,
    say: Say = print,
) -> Run:
    """Train to the recipe's last step; `folder` receives checkpoint.pt and sheet.png every few minutes.

    `small`: networks of a lower resolution to grow from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = resume(recipe, config or GeometryConfig(), folder / "checkpoint.pt", small)
    started, saved, loss = time.monotonic(), time.monotonic(), float("nan")
    first = run.step
    while run.step < recipe.steps:
        loss = run.advance(faces.training(run.step, recipe.batch))
        if time.monotonic() - saved > 60 * minutes_between or run.step == recipe.steps:
            run.save(folder / "checkpoint.pt")
            write_sheet(run.average, faces, folder / "sheet.png")
            each = (time.monotonic() - started) / (run.step - first)
            say(f"step {run.step} loss {loss:.4f} {evaluate(run.average, faces)} {each:.3f} s/step")
            saved = time.monotonic()
    return run


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="folder of faces and maps")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="folder of the run")
@click.option("--size", default=128, show_default=True, help="of the pictures, in pixels")
@click.option("--steps", default=6000, show_default=True)
@click.option("--grow", type=click.Path(path_type=Path), help="a run at half the size to go on from")
@click.option("--sharpen", default=700, show_default=True, help="last steps against a critic, with --grow")
@click.option("--held-out", default=128, show_default=True, help="faces that are not trained on")
@click.option("--batch", default=4, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(
    data: Path,
    out: Path,
    size: int,
    steps: int,
    grow: Path | None,
    sharpen: int,
    held_out: int,
    batch: int,
    seed: int,
    threads: int,
) -> None:
    """Train generator and encoder on synthetic faces."""
    torch.set_num_threads(threads)
    faces = FaceBatches.load(data, size=size, held_out=held_out, seed=seed)
    if grow is None:
        small, recipe = None, Recipe.plain(steps, batch=batch, seed=seed)
    else:
        small, recipe = trained(grow)[0], Recipe.growing(steps, sharpen, batch=batch, seed=seed)
    config = GeometryConfig(size)
    train(faces, recipe, out, config=config, small=small, say=lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
