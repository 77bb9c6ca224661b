"""Trains the network that reads crops, on synthetic faces alone: strong changes of light, frame and lens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stit_vfx.gan.face_reader import FaceReader, ReaderConfig, places
from stit_vfx.shape.parts import LABELS
from stit_vfx.training.autoencoder import read_checkpoint
from stit_vfx.training.dataset import load_shard, shards

Array = np.ndarray
Rng = np.random.Generator
Say = Callable[[str], None]

KEEP_EVERY = 500  # steps from one checkpoint to the next
_IGNORE = 255
_UNDER_CLOTH = [LABELS.index(name) for name in ("background", "neck", "cloth")]
# Seldom seen, and small: they count more.
_WEIGHT = {
    "brow": 2.0,
    "eye": 3.0,
    "lips": 2.5,
    "mouth": 3.0,
    "glasses": 3.0,
    "hand": 2.0,
    "thing": 2.0,
    "hat": 1.5,
}


@dataclass(frozen=True)
class Recipe:
    """`steps` of `batch` crops of `size` px; rate by a half cosine; `average` of the weights is kept."""

    steps: int = 5500
    batch: int = 16
    size: int = 128
    rate: float = 2e-3
    average: float = 0.998
    seed: int = 0


@dataclass(frozen=True)
class Samples:
    """All pictures in memory: image (n, S, S, 3) uint8, label (n, S, S) uint8, landmarks (n, 68, 2) px."""

    image: Array
    label: Array
    landmarks: Array

    @classmethod
    def load(cls, folder: Path, limit: int | None = None) -> Samples:
        found = [load_shard(path) for path in shards(folder)[:limit]]
        return cls(*(np.concatenate([getattr(s, n) for s in found]) for n in ("image", "label", "landmarks")))


def seen_otherwise(
    rng: Rng, image: Array, label: Array, marks: Array, size: int
) -> tuple[Array, Array, Array]:
    """Another frame, light and lens: image (size, size, 3) 0..1, label (size/2, size/2), marks in sides."""
    matrix = _frame(rng, len(image), size)
    picture = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    half = matrix * 0.5
    half[:, 2] += 0.5 * 0.5 - 0.5
    kinds = cv2.warpAffine(
        label,
        half,
        (size // 2, size // 2),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_IGNORE,
    )
    placed = (marks @ matrix[:, :2].T + matrix[:, 2] + 0.5) / size - 0.5
    seen = picture.astype(np.float32) / 255
    if rng.random() < 0.5:
        seen, kinds = _heavy_browed(rng, seen, kinds, placed)
    if rng.random() < 0.6:
        seen = _over_clutter(rng, seen, kinds)
    if rng.random() < 0.6:
        seen, kinds = _dressed(rng, seen, kinds, placed)
    picture = _lens(rng, _light(rng, seen))
    if rng.random() < 0.12:
        picture, kinds = _covered(rng, picture, kinds)
    return picture, kinds, placed


def _frame(rng: Rng, source: int, size: int) -> Array:
    """(2, 3) affine matrix from the source's pixels to the crop's."""
    zoom = np.exp(rng.normal(0.05, 0.16)) * size / source
    turn = rng.normal(0, 0.22)
    cosine, sine = np.cos(turn) * zoom, np.sin(turn) * zoom
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
    centre = np.full(2, source / 2 - 0.5)
    matrix[:, 2] = size / 2 - 0.5 + rng.normal(0, 0.05, 2) * size - matrix[:, :2] @ centre
    return matrix


def _light(rng: Rng, picture: Array) -> Array:
    linear = picture**2.2
    y, x = np.mgrid[-1 : 1 : picture.shape[0] * 1j, -1 : 1 : picture.shape[1] * 1j]
    slope = rng.normal(0, 0.35, 2) * (rng.random() < 0.5)
    wave = (
        0.4
        * rng.random()
        * np.sin(rng.normal(0, 2, 2) @ np.stack([x.ravel(), y.ravel()]) + rng.uniform(0, 6))
    )
    gain = np.exp(
        slope[0] * x + slope[1] * y + wave.reshape(x.shape) * (rng.random() < 0.3) + rng.normal(0, 0.35)
    )
    tint = np.exp(rng.normal(0, 0.08, 3))
    linear = linear * (gain[..., None] * tint)
    if rng.random() < 0.08:
        linear = np.repeat(linear.mean(-1, keepdims=True), 3, -1)
    coded = np.clip(linear, 0, 1) ** (1 / 2.2)
    return (0.5 + (coded - 0.5) * rng.uniform(0.7, 1.25)).astype(np.float32)


def _lens(rng: Rng, picture: Array) -> Array:
    if rng.random() < 0.35:
        small = int(picture.shape[0] * rng.uniform(0.3, 0.8))
        low = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        picture = cv2.resize(low, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.6))
    noise = rng.standard_normal(picture.shape, np.float32) * abs(rng.normal(0, 0.025))
    if rng.random() < 0.4:
        noise = cv2.GaussianBlur(noise, (0, 0), 0.8) * 1.6
    return np.clip(picture + noise, 0, 1)


def _clutter(rng: Rng, size: int) -> Array:
    """(size, size, 3) 0..1: a busy backdrop: blotches, bars and blobs, sharp or out of focus."""
    coarse = rng.random((int(rng.integers(2, 9)),) * 2 + (3,)).astype(np.float32)
    picture = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    grey = rng.uniform(0, 0.8)
    picture = picture + grey * (picture.mean(-1, keepdims=True) - picture)
    if rng.random() < 0.4:
        across = rng.normal(0, 1, 2) @ np.mgrid[:size, :size].reshape(2, -1).astype(np.float32)
        bars = np.sin(across.reshape(size, size) * rng.uniform(0.05, 0.8)) > rng.uniform(-0.6, 0.6)
        picture = np.where(bars[..., None], rng.random(3, np.float32), picture)
    for _ in range(int(rng.integers(0, 14))):
        centre, extent = rng.uniform(0, size, 2), rng.uniform(0.02, 0.3, 2) * size
        box = cv2.boxPoints((tuple(centre), tuple(extent), float(rng.uniform(0, 180))))
        colour = tuple(float(v) for v in rng.random(3))
        if rng.random() < 0.5:
            cv2.fillConvexPoly(picture, np.rint(box).astype(np.int32), colour, cv2.LINE_AA)
        else:
            cv2.ellipse(picture, (tuple(centre), tuple(extent), float(rng.uniform(0, 180))), colour, -1)
    if rng.random() < 0.6:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 6))
    return np.clip(picture, 0, 1)


def _over_clutter(rng: Rng, picture: Array, kinds: Array) -> Array:
    """The same person before another backdrop; strands at its edge keep a little of the old one."""
    person = (kinds != LABELS.index("background")).astype(np.float32)
    person = cv2.resize(person, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    keep = cv2.GaussianBlur(person, (0, 0), 0.7)[..., None]
    return picture * keep + _clutter(rng, len(picture)) * (1 - keep)


def _heavy_browed(rng: Rng, picture: Array, kinds: Array, marks: Array) -> tuple[Array, Array]:
    """Thicker, darker brows, and shadow in the sockets, which neither is glasses."""
    size, brow = len(picture), LABELS.index("brow")
    wide = cv2.dilate((kinds == brow).astype(np.uint8), np.ones((int(rng.integers(1, 4)), 3), np.uint8))
    kinds = np.where((wide > 0) & (kinds == LABELS.index("skin")), brow, kinds).astype(np.uint8)
    large = cv2.resize((kinds == brow).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    dark = cv2.GaussianBlur(large, (0, 0), 0.8) * rng.uniform(0.2, 0.95)
    colour = picture[large > 0.5].mean(0) * rng.uniform(0.1, 0.7) if (large > 0.5).any() else np.zeros(3)
    picture = picture + dark[..., None] * (colour - picture)
    if rng.random() < 0.6:
        y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
        across = np.linalg.norm(marks[45] - marks[36])
        depth, low = rng.uniform(0.0, 0.6), rng.uniform(-0.12, 0.06)
        for eye in (marks[36:42].mean(0), marks[42:48].mean(0)):
            away = ((x - eye[0]) / (0.27 * across)) ** 2 + (
                (y - eye[1] - low * across) / (0.16 * across)
            ) ** 2
            picture = picture * (1 - depth * np.exp(-(away**1.5)))[..., None]
    return picture.astype(np.float32), kinds


def _dressed(rng: Rng, picture: Array, kinds: Array, marks: Array) -> tuple[Array, Array]:
    """A collar or neckline below the chin, over neck and backdrop; hair and hands stay before it."""
    size = len(picture)
    chin, across = marks[8] + 0.5, np.linalg.norm(marks[45] - marks[36])
    top = chin[1] + across * rng.uniform(0.12, 1.0)
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    away = np.abs(x - chin[0] - rng.normal(0, 0.03))
    rise = rng.uniform(-0.2, 1.4) * np.minimum(away, rng.uniform(0.1, 0.4))
    shoulder = rng.uniform(0.0, 0.8) * np.maximum(away - across * rng.uniform(0.6, 1.1), 0)
    cloth = cv2.GaussianBlur((y > top - rise + shoulder).astype(np.float32), (0, 0), 0.6)
    large = cv2.resize(kinds, (size, size), interpolation=cv2.INTER_NEAREST)
    cloth[~np.isin(large, _UNDER_CLOTH)] = 0
    plain = np.broadcast_to(rng.random(3, np.float32) ** 1.5, picture.shape)
    fabric = _clutter(rng, size) if rng.random() < 0.35 else plain
    fabric = fabric * np.exp(0.25 * rng.standard_normal() * np.sin(x * rng.uniform(3, 40) + y * 9))[..., None]
    picture = picture * (1 - cloth[..., None]) + fabric * cloth[..., None]
    kinds = np.where(cloth[::2, ::2] > 0.5, LABELS.index("cloth"), kinds).astype(np.uint8)
    return picture.astype(np.float32), kinds


def _covered(rng: Rng, picture: Array, kinds: Array) -> tuple[Array, Array]:
    """A plain shape over a part of the crop; what is under it is nothing to learn from."""
    size = len(picture)
    corner, extent = rng.uniform(-0.1, 0.9, 2) * size, rng.uniform(0.08, 0.4, 2) * size
    mask = np.zeros((size, size), np.uint8)
    ends = tuple(int(v) for v in corner), tuple(int(v) for v in corner + extent)
    cv2.rectangle(mask, *ends, 1, -1)
    covered = np.where(mask[..., None] > 0, rng.random(3).astype(np.float32), picture)
    kinds = np.where(mask[::2, ::2] > 0, LABELS.index("thing"), kinds).astype(np.uint8)
    return covered, kinds


def batch_at(samples: Samples, recipe: Recipe, step: int, held_out: int) -> tuple[Tensor, Tensor, Tensor]:
    """Crops in [-1, 1], labels and marks of a step; a function of seed and step alone."""
    rng = np.random.default_rng([recipe.seed, 77, step])
    rows = rng.integers(held_out, len(samples.image), recipe.batch)
    parts = [
        seen_otherwise(rng, samples.image[i], samples.label[i], samples.landmarks[i], recipe.size)
        for i in rows
    ]
    image, label, marks = (np.stack(part) for part in zip(*parts, strict=True))
    crops = torch.from_numpy(image).permute(0, 3, 1, 2) * 2 - 1
    return crops, torch.from_numpy(label).long(), torch.from_numpy(marks).float()


def losses(
    network: FaceReader, crops: Tensor, label: Tensor, marks: Tensor, weight: Tensor
) -> dict[str, Tensor]:
    heat, scores = network(crops)
    found, spread = places(heat)
    inside = (marks.abs() < 0.49).all(-1).float()
    away = (found - marks).norm(dim=-1) * inside
    return {
        "marks": 20 * away.sum() / inside.sum(),
        "spread": 40 * ((spread - 4e-4).clamp_min(0) * inside).mean(),
        "labels": F.cross_entropy(scores.float(), label, weight, ignore_index=_IGNORE),
    }


def train(folder: Path, out: Path, recipe: Recipe, *, held_out: int = 128, say: Say = print) -> FaceReader:
    """Train or go on; `out`/reader.pt is the checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    samples = Samples.load(folder)
    torch.manual_seed(recipe.seed)
    network = FaceReader(ReaderConfig(len(LABELS)))
    average = FaceReader(ReaderConfig(len(LABELS)))
    average.load_state_dict(network.state_dict())
    adam = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=1e-3)
    step, path = 0, out / "reader.pt"
    if path.exists():
        kept = read_checkpoint(path)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        adam.load_state_dict(kept["adam"])
        step = kept["step"]
    weight = torch.tensor([_WEIGHT.get(name, 1.0) for name in LABELS])
    while step < recipe.steps:
        for group in adam.param_groups:
            warm = min(1.0, (step + 1) / 200)
            group["lr"] = float(recipe.rate * warm * (0.505 + 0.495 * np.cos(np.pi * step / recipe.steps)))
        found = losses(network.train(), *batch_at(samples, recipe, step, held_out), weight)
        adam.zero_grad()
        sum(found.values()).backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
        step += 1
        _follow(average, network, min(recipe.average, step / (step + 20)))
        if step % 100 == 0 or step == recipe.steps:
            say(
                f"{step}: " + " ".join(f"{name} {float(value.detach()):.4f}" for name, value in found.items())
            )
        if step % KEEP_EVERY == 0 or step == recipe.steps:
            state = {"network": network.state_dict(), "average": average.state_dict()}
            more = {"adam": adam.state_dict(), "step": step, "size": recipe.size}
            torch.save({**state, **more}, out / "reader.part")
            (out / "reader.part").replace(path)
            say(judge(average, samples, recipe, held_out))
    return average


def trained(run: Path) -> tuple[FaceReader, dict[str, int]]:
    """The averaged network of a run, and how it was made."""
    state = read_checkpoint(run / "reader.pt")
    network = FaceReader(ReaderConfig(len(LABELS)))
    network.load_state_dict(state["average"])
    made_by = {"steps": int(state["step"]), "size": int(state.get("size", Recipe.size))}
    return network.eval().requires_grad_(False), made_by


@torch.no_grad()
def _follow(average: FaceReader, network: FaceReader, keep: float) -> None:
    for ours, theirs in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if ours.dtype.is_floating_point:
            ours.lerp_(theirs, 1 - keep)
        else:
            ours.copy_(theirs)


@torch.no_grad()
def judge(network: FaceReader, samples: Samples, recipe: Recipe, held_out: int) -> str:
    """Landmark error over the distance of the eyes' centres, and share of right labels, on held-out faces."""
    rng = np.random.default_rng(5)
    parts = [
        seen_otherwise(rng, samples.image[i], samples.label[i], samples.landmarks[i], recipe.size)
        for i in range(held_out)
    ]
    image, label, marks = (np.stack(part) for part in zip(*parts, strict=True))
    network.eval()
    heat, scores = network(torch.from_numpy(image).permute(0, 3, 1, 2) * 2 - 1)
    found = places(heat)[0].numpy()
    eyes = np.linalg.norm(marks[:, 36:42].mean(1) - marks[:, 42:48].mean(1), axis=-1)
    error = np.linalg.norm(found - marks, axis=-1).mean(1) / np.maximum(eyes, 0.08)
    kinds = scores.argmax(1).numpy()
    known = label != _IGNORE
    overlap = [
        ((kinds == k) & (label == k)).sum() / max((((kinds == k) | (label == k)) & known).sum(), 1)
        for k in range(len(LABELS))
    ]
    shown = " ".join(f"{name} {value:.2f}" for name, value in zip(LABELS, overlap, strict=True))
    return f"   held out: landmarks {np.median(error):.4f} (median) {error.mean():.4f}; overlap {shown}"


@click.command()
@click.option("--faces", type=click.Path(path_type=Path), required=True, help="folder of shards")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=Recipe.steps)
@click.option("--size", default=Recipe.size)
@click.option("--threads", default=1)
def main(faces: Path, out: Path, steps: int, size: int, threads: int) -> None:
    """Train the reader of crops."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    train(faces, out, Recipe(steps=steps, size=size), say=lambda text: click.echo(text))


if __name__ == "__main__":
    main()
