"""What the networks train on: pictures, their conditioning maps, and changes of light and backdrop.

Batch k is a function of the seed and k alone: a run that goes on from a checkpoint sees what it would have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stit_vfx.errors import PackMissingError
from stit_vfx.shape.maps import CHANNELS
from stit_vfx.training.conditioning import maps_path
from stit_vfx.training.dataset import load_shard, shards
from stit_vfx.training.faces.props import backdrop

Array = np.ndarray
Rng = np.random.Generator

BACKDROPS = 384
_MIRRORED = [CHANNELS.index(name) for name in ("x", "normal_x")]
_GREY = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True)
class Batch:
    """`crop`: what the encoder sees; `target`: what shall be made of it; both (N, 3, R, R) in [-1, 1]."""

    crop: Tensor
    target: Tensor
    maps: Tensor


@dataclass(frozen=True)
class Rows:
    """The rows of several arrays as if they were one; those of files are read when they are asked for."""

    parts: tuple[Array, ...]

    def __getitem__(self, rows: Array) -> Array:
        """(n, ...) the rows of these numbers (n,)."""
        ends = np.cumsum([len(part) for part in self.parts])
        which = np.searchsorted(ends, rows, side="right")
        return np.stack([self.parts[k][row - ends[k]] for k, row in zip(which, rows, strict=True)])


@dataclass(frozen=True)
class FaceBatches:
    """Pictures (M, S, S, 3) uint8 and covers (M, S, S) uint8 in memory, maps (M, C, S, S) float16 in files.

    The last `held_out` faces are never trained on. `backdrops` (B, S, S, 3) uint8 at times replace the drawn.
    """

    images: Array
    covers: Array
    maps: Rows
    backdrops: Array
    held_out: int
    seed: int

    @classmethod
    def load(cls, folder: Path, *, size: int = 128, held_out: int = 64, seed: int = 0) -> FaceBatches:
        """Every shard with maps `size` px wide, and pictures at that size.

        Raises PackMissingError where there are too few faces.
        """
        found = [path for path in shards(folder) if maps_path(path, size).exists()]
        parts = [load_shard(path) for path in found]
        if sum(map(len, parts)) <= held_out:
            raise PackMissingError(
                "too few faces with maps", where=folder, hint="Draw the maps, or more faces"
            )
        return cls(
            images=np.concatenate([_shrunk(part.image, size) for part in parts]),
            covers=np.concatenate([_shrunk(part.cover, size) for part in parts]),
            maps=Rows(tuple(np.load(maps_path(path, size), mmap_mode="r") for path in found)),
            backdrops=_backdrops(size),
            held_out=held_out,
            seed=seed,
        )

    def training(self, step: int, count: int) -> Batch:
        """Batch of a step, augmented."""
        rng = np.random.default_rng([self.seed, step])
        rows = rng.integers(0, len(self.images) - self.held_out, count)
        image, cover, maps = self._read(rows)
        image = _replace_backdrop(image, cover, self.backdrops, rng)
        image = relight(image, rng)
        turned = torch.from_numpy(rng.random(count) < 0.5)
        image, maps = mirror(image, maps, turned)
        crop = image + _normal(rng, image.shape) * _column(rng.uniform(0, 0.03, count))
        return Batch(_network_range(crop), _network_range(image), maps)

    def held(self, count: int) -> Batch:
        """The first of the held-out faces, as drawn."""
        first = len(self.images) - self.held_out
        image, _, maps = self._read(np.arange(first, first + min(count, self.held_out)))
        return Batch(_network_range(image), _network_range(image), maps)

    def _read(self, rows: Array) -> tuple[Tensor, Tensor, Tensor]:
        """Images 0..1 (N, 3, S, S), covers 0..1 (N, 1, S, S), maps."""
        image = torch.from_numpy(self.images[rows]).permute(0, 3, 1, 2).float() / 255
        cover = torch.from_numpy(self.covers[rows])[:, None].float() / 255
        return image, cover, torch.from_numpy(self.maps[rows].astype(np.float32))


def _shrunk(pictures: Array, size: int) -> Array:
    """(n, size, size, ...) of larger pictures (n, S, S, ...) by averaging."""
    if pictures.shape[1] == size:
        return pictures
    return np.stack([cv2.resize(each, (size, size), interpolation=cv2.INTER_AREA) for each in pictures])


def mirror(image: Tensor, maps: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right swapped where `turned` (N,) is true; what points to a side changes sign."""
    sign = torch.ones(maps.shape[1])
    sign[_MIRRORED] = -1
    choose = turned[:, None, None, None]
    flipped = maps.flip(3) * sign[:, None, None]
    return torch.where(choose, image.flip(3), image), torch.where(choose, flipped, maps)


def relight(image: Tensor, rng: Rng) -> Tensor:
    """Other exposure, gamma, colour and a soft change of light across the picture; sRGB-coded 0..1."""
    count = len(image)
    image = image.clamp_min(1e-4) ** _column(np.exp(rng.normal(0, 0.18, count)))
    gain = np.exp(rng.normal(0, 0.15, (count, 1)) + rng.normal(0, 0.05, (count, 3)))
    image = image * torch.from_numpy(gain).float()[:, :, None, None]
    slope = _normal(rng, (count, 1, 4, 4)) * _column(rng.uniform(0, 0.16, count))
    image = image * F.interpolate(slope, image.shape[2:], mode="bicubic", align_corners=False).exp()
    grey = (image * torch.tensor(_GREY)[:, None, None]).sum(1, keepdim=True)
    return (grey + (image - grey) * _column(rng.uniform(0.5, 1.3, count))).clamp(0, 1)


def _replace_backdrop(image: Tensor, cover: Tensor, backdrops: Array, rng: Rng) -> Tensor:
    """Half of the pictures get another backdrop."""
    other = torch.from_numpy(backdrops[rng.integers(0, len(backdrops), len(image))])
    other = other.permute(0, 3, 1, 2).float() / 255
    keep = torch.maximum(cover, _column((rng.random(len(image)) < 0.5).astype(np.float64)))
    return image * keep + other * (1 - keep)


def _backdrops(size: int) -> Array:
    pictures = [backdrop(900_000 + k, size).clip(0, 1) ** (1 / 2.2) for k in range(BACKDROPS)]
    return np.rint(np.stack(pictures) * 255).astype(np.uint8)


def _network_range(image: Tensor) -> Tensor:
    return image * 2 - 1


def _normal(rng: Rng, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape, np.float32))


def _column(values: Array) -> Tensor:
    """(N, 1, 1, 1) float32."""
    return torch.from_numpy(np.asarray(values, np.float32))[:, None, None, None]
