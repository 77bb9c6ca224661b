"""A StyleGAN2 pack small enough for tests: random weights, a narrow encoder, two directions. Not a test."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from stit_vfx.gan.e4e import Encoder, EncoderConfig
from stit_vfx.gan.irse import BodyConfig
from stit_vfx.gan.stylegan2 import Generator, GeneratorConfig

SIZE, WIDTH, ROWS = 32, 32, 8


def write_tiny_pack(folder: Path, *, seed: int = 7) -> Path:
    """Write the pack; tuning takes 4 updates and stitching 2, so that a run is quick."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    generator = Generator(
        GeneratorConfig(SIZE, z_dim=WIDTH, w_dim=WIDTH, mapping_layers=2, channel_base=512, channel_max=16)
    )
    encoder = Encoder(EncoderConfig(ROWS, WIDTH, BodyConfig((8, 8, 16, 16), (1, 1, 1, 1), 4)))
    save_file(
        {k: v.contiguous() for k, v in generator.state_dict().items()}, folder / "generator.safetensors"
    )
    save_file({k: v.contiguous() for k, v in encoder.state_dict().items()}, folder / "encoder.safetensors")
    directions = {name: torch.randn(WIDTH) for name in ("smile", "age")}
    save_file(directions, folder / "directions.safetensors")
    (folder / "pack.json").write_text(json.dumps(_described(folder)))
    return folder


def _described(folder: Path) -> dict[str, object]:
    generator = {
        **{"arch": "stylegan2", "file": "generator.safetensors", "resolution": SIZE, "num_ws": ROWS},
        **{"z_dim": WIDTH, "w_dim": WIDTH, "mapping_layers": 2, "channel_base": 512, "channel_max": 16},
    }
    encoder = {
        **{"arch": "e4e", "file": "encoder.safetensors", "widths": [8, 8, 16, 16]},
        **{"depths": [1, 1, 1, 1], "reduction": 4},
    }
    return {
        "schema": "stit.pack/1",
        "name": "tiny",
        "licence": "CC0-1.0",
        "commercial_use": "yes",
        "generator": generator,
        "encoder": encoder,
        "directions": {name: {"file": "directions.safetensors", "key": name} for name in ("smile", "age")},
        "schedule": {"steps": 4, "lr": 1e-3, "batch": 2, "stitch_steps": 2, "stitch_lr": 1e-3},
        "sha256": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.glob("*.safetensors"))
        },
    }
