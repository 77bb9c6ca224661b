"""Synthetic faces on disk: shards of pictures with the shape codes they were drawn from.

`python -m stit_vfx.training.dataset --source PATH --out DIR --images 8000`. Shard k holds images
k*250 to k*250+249 of the seed; a shard that is there is not drawn again, so that a run that was cut off goes
on where it was, and several processes may share the work (`--worker 0/2`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO

import click
import cv2
import numpy as np

from stit_vfx.errors import PackDamagedError, PackMissingError
from stit_vfx.training.faces import Head, Studio, draw
from stit_vfx.training.source import FaceSource

Array = np.ndarray
Say = Callable[[str], None]

SHARD = 250


@dataclass(frozen=True)
class Shard:
    """n pictures: `image` (n, S, S, 3) uint8 sRGB-coded, `cover` (n, S, S) uint8 share of the person.

    Shape codes, in px of the picture: `identity` (n, K), `expression` (n, E), `rotation` (n, 3, 3),
    `scale` (n,), `translation` (n, 2). `label` (n, S, S) uint8, index into `shape.parts.LABELS`; `landmarks`
    (n, 68, 2) px.
    """

    image: Array
    cover: Array
    identity: Array
    expression: Array
    rotation: Array
    scale: Array
    translation: Array
    label: Array
    landmarks: Array

    def __len__(self) -> int:
        return len(self.image)


def draw_shard(studio: Studio, seed: int, indices: range, size: int) -> Shard:
    """Pictures of the given indices."""
    rows = []
    for index in indices:
        face = draw(seed, index)
        picture = studio.draw(face, size)
        rows.append(
            (
                np.rint(picture.image * 255).astype(np.uint8),
                np.rint(picture.cover * 255).astype(np.uint8),
                face.identity,
                studio.head.expression(face.controls),
                picture.camera.rotation,
                picture.camera.scale,
                picture.camera.translation,
                picture.label,
                picture.landmarks.astype(np.float32),
            )
        )
    return Shard(*(np.stack(column) for column in zip(*rows, strict=True)))


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """To write to; it is at `path` once it is complete."""
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        yield file
    partial.replace(path)


def save_arrays(path: Path, arrays: dict[str, Array]) -> None:
    """Uncompressed .npz that is either whole or not there."""
    with whole_file(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def save_array(path: Path, array: Array) -> None:
    """.npy that is either whole or not there."""
    with whole_file(path) as file:
        np.save(file, array)


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"faces_{number:04d}.npz"


def load_shard(path: Path) -> Shard:
    """Raises PackDamagedError where the file is not a shard."""
    try:
        with np.load(path) as data:
            return Shard(*(data[f.name] for f in fields(Shard)))
    except (KeyError, ValueError, OSError) as error:
        raise PackDamagedError(
            f"not a shard: {error}", where=path, hint="Delete it and draw it again"
        ) from error


def shards(folder: Path) -> list[Path]:
    """In order; raises PackMissingError where there are none."""
    found = sorted(folder.glob("faces_*.npz"))
    if not found:
        raise PackMissingError(
            "no synthetic faces here", where=folder, hint="Run stit_vfx.training.dataset first"
        )
    return found


def pending(folder: Path, images: int, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[int, range]]:
    """Shard numbers of this worker that are not on disk, with their indices."""
    worker, workers = share
    for number in range(worker, -(-images // SHARD), workers):
        if not shard_path(folder, number).exists():
            yield number, range(number * SHARD, min(images, (number + 1) * SHARD))


def make_dataset(
    source: FaceSource,
    folder: Path,
    *,
    images: int,
    size: int = 128,
    seed: int = 0,
    share: tuple[int, int] = (0, 1),
    say: Say = print,
) -> None:
    """Draw what is missing of `images` faces."""
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(Head(source))
    for number, indices in pending(folder, images, share):
        shard = draw_shard(studio, seed, indices, size)
        save_arrays(shard_path(folder, number), {f.name: getattr(shard, f.name) for f in fields(Shard)})
        say(f"shard {number}: {indices.stop} of {images} faces")


def worker_share(text: str) -> tuple[int, int]:
    """(worker, workers) from text such as 0/2."""
    worker, _, workers = text.partition("/")
    return int(worker), int(workers)


@click.command()
@click.option("--source", type=click.Path(path_type=Path), required=True, help=".npz or ICT-FaceKit checkout")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="folder for the shards")
@click.option("--images", default=8000)
@click.option("--size", default=128)
@click.option("--seed", default=0)
@click.option("--worker", default="0/1", help="this process and how many share the work")
def main(source: Path, out: Path, images: int, size: int, seed: int, worker: str) -> None:
    """Draw what is missing."""
    cv2.setNumThreads(1)  # one process per core; threads inside would only wait for each other
    faces = FaceSource.load(source)
    make_dataset(faces, out, images=images, size=size, seed=seed, share=worker_share(worker))


if __name__ == "__main__":
    main()
