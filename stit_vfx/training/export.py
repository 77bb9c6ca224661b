"""From a trained run to the files of a pack: half-precision weights, directions, pack.json with digests.

`python -m stit_vfx.training.export --run RUN --data DIR --source PATH --shape shape.safetensors --out PACK`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from stit_vfx.atomic import atomic_bytes
from stit_vfx.gan.geometry import GeometryConfig
from stit_vfx.packs.schema import FILE, SCHEMA
from stit_vfx.shape.maps import CHANNELS
from stit_vfx.shape.model import ShapeModel
from stit_vfx.training.appearance import CHANGES, appearance_direction
from stit_vfx.training.autoencoder import AutoEncoder, trained
from stit_vfx.training.batches import FaceBatches
from stit_vfx.training.directions import default_directions
from stit_vfx.training.face_reader import trained as trained_reader
from stit_vfx.training.faces import Head, Studio
from stit_vfx.training.source import FaceSource

Array = np.ndarray

# Equalised weights of unit size want a larger rate than published generators.
SCHEDULE = {"lr": 3e-3, "batch": 4, "steps_per_frame": 5, "stitch_lr": 1e-3}

GENERATOR, ENCODER, SHAPE, DIRECTIONS, READER = (
    f"{name}.safetensors" for name in ("generator", "encoder", "shape", "directions", "reader")
)
NOTICE = (
    "Weights: Apache-2.0. Trained on synthetic faces drawn with ICT-FaceKit, MIT License, "
    "Copyright (c) 2020 USC Institute for Creative Technologies; no array of it is in this pack."
)


@torch.no_grad()
def mean_w(networks: AutoEncoder, faces: FaceBatches, batches: int = 64) -> Tensor:
    """(w_dim,) mean w of training faces as they are augmented."""
    seen = (faces.training(step, 8) for step in range(batches))
    return torch.cat([networks.encoder.split(batch.crop, batch.maps)[0] for batch in seen]).mean(0)


def save_half(network: nn.Module, path: Path, **metadata: str) -> None:
    """Weights in half precision; their values stay what half precision can hold."""
    state = {
        key: (value.detach().half() if value.is_floating_point() else value).contiguous()
        for key, value in network.state_dict().items()
    }
    save_file(state, str(path), metadata=metadata)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_pack(
    folder: Path,
    networks: AutoEncoder,
    shape: Path,
    directions: Mapping[str, Array],
    *,
    made_by: Mapping[str, Any],
) -> None:
    """All files of the pack; `made_by` goes into pack.json as the recipe's record."""
    folder.mkdir(parents=True, exist_ok=True)
    save_half(networks.generator, folder / GENERATOR, format="stit.geometry-generator/1")
    save_half(networks.encoder, folder / ENCODER, format="stit.geometry-encoder/1")
    if shape.resolve() != (folder / SHAPE).resolve():
        (folder / SHAPE).write_bytes(shape.read_bytes())
    vectors = {name: torch.from_numpy(vector).half().contiguous() for name, vector in directions.items()}
    save_file(vectors, str(folder / DIRECTIONS))
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes files that only their owner may read
    described = describe(folder, networks.config, direction_entries(set(directions)), made_by)
    (folder / FILE).write_text(json.dumps(described, indent=1) + "\n")


def add_reader(folder: Path, run: Path) -> None:
    """Put the averaged reader of a run's checkpoint into a pack that is there."""
    network, made_by = trained_reader(run)
    save_half(network, folder / READER, format="stit.face-reader/1")
    (folder / READER).chmod(0o644)
    described = json.loads((folder / FILE).read_text())
    described["reader"] = {"arch": "unet-68", "file": READER, "resolution": made_by["size"]}
    described["reader"]["widths"] = list(network.config.widths)
    described["made_by"]["reader"] = made_by
    described["sha256"][READER] = digest(folder / READER)
    described["sha256"] = dict(sorted(described["sha256"].items()))
    atomic_bytes(folder / FILE, (json.dumps(described, indent=1) + "\n").encode())


def direction_entries(with_vector: set[str]) -> dict[str, dict[str, Any]]:
    """pack.json's directions: what each does to the shape, and where its vector in w+ is, if it has one."""
    entries = {}
    for direction in default_directions():
        entry = {key: value for key, value in direction.items() if key != "name"}
        name = direction["name"]
        if name in with_vector:
            entry |= {"space": "w+", "file": DIRECTIONS, "key": name}
        entries[name] = entry
    return entries


def describe(
    folder: Path, config: GeometryConfig, directions: Mapping[str, Any], made_by: Mapping[str, Any]
) -> dict[str, Any]:
    """pack.json of the files in a folder."""
    return {
        "schema": SCHEMA,
        "name": "builtin",
        "title": "Built-in face model",
        "licence": "Apache-2.0",
        "notice": NOTICE,
        "commercial_use": "yes",
        "source": "Trained for this project on synthetic faces; docs/model_card.md has the recipe.",
        "generator": {"arch": "geometry", "file": GENERATOR, "num_ws": config.num_ws, **config.as_dict()},
        "encoder": {"arch": "geometry", "file": ENCODER},
        "shape": {"file": SHAPE},
        "directions": dict(directions),
        "schedule": SCHEDULE,
        "made_by": dict(made_by),
        "sha256": {path.name: digest(path) for path in sorted(folder.glob("*.safetensors"))},
    }


def export_pack(
    source: FaceSource, run: Path, faces: FaceBatches, shape: Path, folder: Path, *, pairs: int = 96
) -> None:
    """Read the run's checkpoint, measure the mean w and the directions, write the pack."""
    networks, step = trained(run)
    networks.generator.w_avg.copy_(mean_w(networks, faces))
    studio, model = Studio(Head(source)), ShapeModel.load(shape)
    directions = {
        name: appearance_direction(networks.encoder, studio, model, name, count=pairs) for name in CHANGES
    }
    made_by = {"faces": len(faces.images), "steps": step, "seed": faces.seed, "maps": list(CHANNELS)}
    write_pack(folder, networks, shape, directions, made_by=made_by)


@click.command()
@click.option("--run", type=click.Path(path_type=Path), required=True, help="folder of the training run")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="folder of faces and maps")
@click.option("--source", type=click.Path(path_type=Path), required=True, help=".npz or ICT-FaceKit checkout")
@click.option("--shape", type=click.Path(path_type=Path), required=True, help="weights of the shape network")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="folder of the pack")
@click.option("--size", default=256, show_default=True, help="of the run's pictures, in pixels")
@click.option("--pairs", default=96, help="faces drawn for each direction")
def main(run: Path, data: Path, source: Path, shape: Path, out: Path, size: int, pairs: int) -> None:
    """Write a pack from a run, finished or not."""
    faces = FaceBatches.load(data, size=size)
    export_pack(FaceSource.load(source), run, faces, shape, out, pairs=pairs)


if __name__ == "__main__":
    main()
