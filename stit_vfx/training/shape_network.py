"""Train the shape network: `python -m stit_vfx.training.shape_network --source FACEKIT --out
shape.safetensors`.

Minutes on two cores. Prints the error in millimetres on random faces, which is what the model card quotes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from stit_vfx.shape.chart import HOLES, signed_distance
from stit_vfx.shape.network import IDENTITY, ShapeNetwork, evaluate, load_network, save_network
from stit_vfx.training.shape_chart import Unfolded, unfold
from stit_vfx.training.source import FaceSource

Array = np.ndarray
log = logging.getLogger(__name__)

_CHECKPOINT_EVERY = 1000
_NEUTRAL_WEIGHT, _EXPRESSION_WEIGHT = 2.0, 0.5  # identity modes weigh 1: one standard deviation each
_MARGIN_DEG = 3.0  # learn a little beyond the chart's edge, so that the edge itself is inside


@dataclass(frozen=True)
class Report:
    """Error in mm over the chart and random faces, and over the 68 landmarks."""

    mean_mm: float
    p95_mm: float
    landmarks_mean_mm: float
    landmarks_p95_mm: float


@dataclass(frozen=True)
class _Skin:
    """Chart points (N, 2), modes (N, M, 3) cm, triangles within the chart, and how often to draw each."""

    points: Tensor
    modes: Tensor
    triangles: Tensor
    chance: Tensor


def train(
    source: FaceSource, *, steps: int = 6000, seed: int = 0, batch: int = 1024, checkpoint: Path | None = None
) -> ShapeNetwork:
    """A network fitted to the source. Seeded; resumes from `checkpoint` if that is there."""
    torch.manual_seed(seed)
    flat = unfold(source)
    skin = _skin(source, flat)
    network = ShapeNetwork(source.names, seed=seed)
    network.scale.copy_(skin.modes.square().mean((0, 2)).sqrt())
    network.landmarks.data.copy_(torch.from_numpy(_landmark_points(source, flat)))
    _fit_skin(network, skin, steps=steps, seed=seed, batch=batch, checkpoint=checkpoint)
    _fit_landmarks(network, source)
    return network.eval()


def measure(network: ShapeNetwork, source: FaceSource, *, faces: int = 40, seed: int = 1) -> Report:
    """Random faces: identity N(0, 1), a fifth of the expressions at up to half strength.

    Points are drawn evenly over the chart: what cameras see of the nostrils' inside is a few square
    millimetres, yet it holds a tenth of the source's vertices.
    """
    points, modes = _even_points(_skin(source, unfold(source)), 4000, seed)
    rng = np.random.default_rng(seed)
    identity = rng.standard_normal((faces, IDENTITY))
    active = rng.random((faces, len(source.names))) < 0.2
    expression = rng.random(active.shape) * 0.5 * active
    codes = np.concatenate([np.ones((faces, 1)), identity, expression], 1).astype(np.float32)
    skin = _error_mm(codes, modes, evaluate(network, points))
    learned = network.landmarks.detach().numpy()
    marks = _error_mm(codes, _modes(source, source.landmarks), evaluate(network, learned))
    return Report(skin.mean(), np.percentile(skin, 95), marks.mean(), np.percentile(marks, 95))


def _error_mm(codes: Array, wanted: Array, got: Array) -> Array:
    return 10 * np.linalg.norm(np.tensordot(codes, wanted.transpose(1, 0, 2) - got, 1), axis=2)


def _modes(source: FaceSource, ids: Array) -> Array:
    """(N, 1 + 40 + E, 3) cm."""
    rows = [source.neutral[None, ids], source.identity[:IDENTITY, ids], source.expression[:, ids]]
    return np.concatenate(rows).transpose(1, 0, 2)


def _skin(source: FaceSource, flat: Unfolded) -> _Skin:
    """Triangles are drawn by chart area, more often where people look: lids and lips."""
    centre = flat.points[flat.triangles].mean(1)
    inside = signed_distance(centre) > -_MARGIN_DEG
    triangles, centre = flat.triangles[inside], centre[inside]
    a, b, c = flat.points[triangles].transpose(1, 0, 2)
    area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    rim = np.min([np.abs(hole.distance(centre)) for hole in HOLES], 0)
    chance = (area + 0.05) * (1 + 5 * np.exp(-rim / 4.0))
    return _Skin(
        torch.from_numpy(flat.points.astype(np.float32)),
        torch.from_numpy(_modes(source, flat.ids)),
        torch.from_numpy(triangles),
        torch.from_numpy(chance / chance.sum()),
    )


def _even_points(skin: _Skin, count: int, seed: int) -> tuple[Array, Array]:
    """Points (N, 2) evenly over the chart, and their modes (N, M, 3)."""
    a, b, c = skin.points[skin.triangles].unbind(1)
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs()
    points, modes = next(_batches(replace(skin, chance=area / area.sum()), count, seed, 0))
    keep = signed_distance(points.numpy()) > 0
    return points.numpy()[keep], modes.numpy()[keep]


def _batches(skin: _Skin, count: int, seed: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Random points of the skin with their modes; batch k is a function of the seed and k alone."""
    step = first
    while True:
        draw = torch.Generator().manual_seed(seed * 1_000_003 + step)
        corner = skin.triangles[torch.multinomial(skin.chance, count, True, generator=draw)]
        weight = -torch.rand(count, 3, generator=draw).clamp_min(1e-6).log()
        weight /= weight.sum(1, keepdim=True)
        yield (
            torch.einsum("nk,nkc->nc", weight, skin.points[corner]),
            torch.einsum("nk,nkmc->nmc", weight, skin.modes[corner]),
        )
        step += 1


def _fit_skin(
    network: ShapeNetwork, skin: _Skin, *, steps: int, seed: int, batch: int, checkpoint: Path | None
) -> None:
    weight = torch.ones(skin.modes.shape[1])
    weight[0], weight[1 + IDENTITY :] = _NEUTRAL_WEIGHT, _EXPRESSION_WEIGHT
    adam = torch.optim.Adam(network.body.parameters(), 2e-3, betas=(0.9, 0.99))
    first = _resume(network, adam, checkpoint)
    for step, (points, modes) in zip(range(first, steps), _batches(skin, batch, seed, first), strict=False):
        for group in adam.param_groups:
            group["lr"] = 2e-3 * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-5
        loss = ((network(points) - modes) / network.scale[:, None].sqrt()).square().sum(2)
        loss = (loss * weight).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        if (step + 1) % _CHECKPOINT_EVERY == 0:
            log.info("step %d loss %.5f", step + 1, loss.item())
            _save(network, adam, step + 1, checkpoint)


def _save(network: ShapeNetwork, adam: torch.optim.Adam, step: int, path: Path | None) -> None:
    if path is not None:
        torch.save({"network": network.state_dict(), "adam": adam.state_dict(), "step": step}, path)


def _resume(network: ShapeNetwork, adam: torch.optim.Adam, path: Path | None) -> int:
    if path is None or not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    adam.load_state_dict(state["adam"])
    return int(state["step"])


def _landmark_points(source: FaceSource, flat: Unfolded) -> Array:
    place = {int(i): k for k, i in enumerate(flat.ids)}
    return flat.points[[place[int(i)] for i in source.landmarks]].astype(np.float32)


def _fit_landmarks(network: ShapeNetwork, source: FaceSource, *, steps: int = 300) -> None:
    """Slide the landmarks on the chart until the surface there moves as the source's landmarks do."""
    wanted = torch.from_numpy(_modes(source, source.landmarks))
    weight = torch.ones(wanted.shape[1], 1)
    weight[0], weight[1 + IDENTITY :] = _NEUTRAL_WEIGHT, _EXPRESSION_WEIGHT
    adam = torch.optim.Adam([network.landmarks], 0.02)
    for _ in range(steps):
        loss = (weight * (network(network.landmarks) - wanted).square()).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()


@click.command()
@click.option("--source", type=click.Path(path_type=Path), required=True, help=".npz or ICT-FaceKit checkout")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--seed", default=0)
@click.option("--steps", default=6000)
@click.option("--checkpoint", type=click.Path(path_type=Path), default=None)
def main(source: Path, out: Path, seed: int, steps: int, checkpoint: Path | None) -> None:
    """Train, save in half precision, read back and report the error in mm."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    faces = FaceSource.load(source)
    save_network(train(faces, steps=steps, seed=seed, checkpoint=checkpoint), out)
    click.echo(measure(load_network(out), faces))


if __name__ == "__main__":
    main()
