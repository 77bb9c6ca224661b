"""Conditioning maps of synthetic faces, from the codes that each was drawn with.

`python -m stit_vfx.training.conditioning --data DIR --shape shape.safetensors`. Several processes may
share the work.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from stit_vfx.shape.code import ShapeCode
from stit_vfx.shape.maps import conditioning_maps
from stit_vfx.shape.model import ShapeModel
from stit_vfx.training.dataset import Say, Shard, load_shard, save_array, shards, worker_share

Array = np.ndarray


def whole_quad(size: int) -> Array:
    """(4, 2) the quad that is the picture itself: NW, SW, SE, NE."""
    low, high = -0.5, size - 0.5
    return np.array([[low, low], [low, high], [high, high], [high, low]])


def shape_code(shard: Shard, row: int) -> ShapeCode:
    """The code that a picture was drawn from, in px of the picture."""
    return ShapeCode(
        identity=shard.identity[row],
        expression=shard.expression[row],
        rotation=shard.rotation[row],
        scale=float(shard.scale[row]),
        translation=shard.translation[row],
    )


def maps_path(shard: Path, size: int) -> Path:
    """Where the maps of a shard are, `size` px wide: (n, C, size, size) float16, .npy."""
    return shard.with_name(shard.name.replace("faces_", f"maps{size}_")).with_suffix(".npy")


def make_maps(
    model: ShapeModel, folder: Path, *, size: int, share: tuple[int, int] = (0, 1), say: Say = print
) -> None:
    """Draw the maps of this worker's shards that have none of that size yet; the pictures may be larger."""
    for path in shards(folder)[share[0] :: share[1]]:
        if maps_path(path, size).exists():
            continue
        shard = load_shard(path)
        quad = whole_quad(shard.image.shape[1])
        rows = [conditioning_maps(model, shape_code(shard, i), quad, size) for i in range(len(shard))]
        save_array(maps_path(path, size), np.stack(rows).astype(np.float16))
        say(f"maps of {path.name}")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="folder of faces")
@click.option("--shape", type=click.Path(path_type=Path), required=True, help="weights of the shape network")
@click.option("--size", default=128, help="of the maps, in pixels")
@click.option("--worker", default="0/1", help="this process and how many share the work")
def main(data: Path, shape: Path, size: int, worker: str) -> None:
    """Draw what is missing."""
    make_maps(ShapeModel.load(shape), data, size=size, share=worker_share(worker))


if __name__ == "__main__":
    main()
