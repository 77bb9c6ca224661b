"""The whole recipe of the built-in pack, stage by stage. Each stage skips what is already on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
import torch

from stit_vfx.gan.geometry import GeometryConfig
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.network import save_network
from stit_vfx.training import shape_network
from stit_vfx.training.autoencoder import Recipe, train
from stit_vfx.training.batches import FaceBatches
from stit_vfx.training.conditioning import make_maps
from stit_vfx.training.dataset import make_dataset
from stit_vfx.training.export import add_reader, export_pack
from stit_vfx.training.face_reader import Recipe as ReaderRecipe
from stit_vfx.training.face_reader import train as train_reader
from stit_vfx.training.source import FaceSource

Say = Callable[[str], None]


@dataclass(frozen=True)
class Growth:
    """Generator and encoder go on at `size` px for `steps`, and `sharpening` more against a critic."""

    size: int
    steps: int
    sharpening: int


@dataclass(frozen=True)
class Preset:
    """How much of everything. Faces are drawn `drawn` px wide; generator and encoder see them at `size`, the
    reader at its own. `pairs` of faces are drawn for each direction. A run's seed adds to `faces_seed`.
    """

    drawn: int
    size: int
    images: int
    held_out: int
    steps: int
    shape_steps: int
    pairs: int
    reader: ReaderRecipe
    faces_seed: int = 4
    growth: Growth | None = None

    @property
    def config(self) -> GeometryConfig:
        """Small pictures come with narrow networks."""
        narrow = {"channel_max": 32, "seen": self.size} if self.size < 128 else {}
        return GeometryConfig(self.size, **narrow)

    @property
    def grown_config(self) -> GeometryConfig:
        return replace(self.config, resolution=self.growth.size) if self.growth else self.config


_FULL = Preset(
    drawn=256,
    size=128,
    images=8000,
    held_out=128,
    steps=4200,
    shape_steps=6000,
    pairs=96,
    reader=ReaderRecipe(),
)
PRESETS = {
    "smoke": Preset(
        drawn=64,
        size=32,
        images=24,
        held_out=8,
        steps=4,
        shape_steps=4,
        pairs=2,
        reader=ReaderRecipe(steps=4, batch=4, size=64),
        growth=Growth(64, steps=3, sharpening=2),
    ),
    "cpu-3h": _FULL,
    "cpu-5h-256px": replace(_FULL, growth=Growth(256, steps=3000, sharpening=700)),
}


def run_recipe(
    source: FaceSource,
    folder: Path,
    preset: Preset,
    *,
    shape: Path | None = None,
    seed: int = 0,
    say: Say = print,
) -> Path:
    """Make a pack in `folder`/pack and return that. `shape`: weights of a trained shape network to use."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = shape or _train_shape(source, folder, preset, seed)
    drawn = folder / "faces"
    seed_of_faces = preset.faces_seed + seed
    make_dataset(source, drawn, images=preset.images, size=preset.drawn, seed=seed_of_faces, say=say)
    model, trained = ShapeModel.load(shape), folder / "run"
    faces = _faces(drawn, model, preset, preset.size, seed, say)
    run = train(faces, Recipe.plain(preset.steps, seed=seed), trained, config=preset.config, say=say)
    if (growth := preset.growth) is not None:
        trained, faces = folder / "grown", _faces(drawn, model, preset, growth.size, seed, say)
        recipe = Recipe.growing(growth.steps, growth.sharpening, seed=seed)
        train(faces, recipe, trained, config=preset.grown_config, small=run.average, say=say)
    export_pack(source, trained, faces, shape, folder / "pack", pairs=preset.pairs)
    reader = replace(preset.reader, seed=seed)
    train_reader(drawn, folder / "reader", reader, held_out=preset.held_out, say=say)
    add_reader(folder / "pack", folder / "reader")
    return folder / "pack"


def _faces(drawn: Path, model: ShapeModel, preset: Preset, size: int, seed: int, say: Say) -> FaceBatches:
    make_maps(model, drawn, size=size, say=say)
    return FaceBatches.load(drawn, size=size, held_out=preset.held_out, seed=seed)


def _train_shape(source: FaceSource, folder: Path, preset: Preset, seed: int) -> Path:
    path = folder / "shape.safetensors"
    if not path.exists():
        network = shape_network.train(
            source, steps=preset.shape_steps, seed=seed, checkpoint=folder / "shape_checkpoint.pt"
        )
        save_network(network, path)
    return path


@click.command()
@click.option("--source", type=click.Path(path_type=Path), required=True, help=".npz or ICT-FaceKit checkout")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="folder for all stages and the pack"
)
@click.option("--preset", type=click.Choice(sorted(PRESETS)), default="cpu-3h", show_default=True)
@click.option("--shape", type=click.Path(path_type=Path), default=None, help="trained shape network to use")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True, help="a resumed run needs the same number")
def command(source: Path, out: Path, preset: str, shape: Path | None, seed: int, threads: int) -> None:
    """Make the built-in pack from a public face model. What is done already is not done again."""
    torch.set_num_threads(threads)
    pack = run_recipe(FaceSource.load(source), out, PRESETS[preset], shape=shape, seed=seed, say=click.echo)
    click.echo(f"Pack: {pack}")
