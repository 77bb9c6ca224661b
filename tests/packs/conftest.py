"""A tiny plain pack on disk: a StyleGAN2 at 64 px and a narrow encoder, weights drawn from a seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from stit_vfx.gan.e4e import Encoder, EncoderConfig
from stit_vfx.gan.irse import BodyConfig
from stit_vfx.gan.stylegan2 import Generator, GeneratorConfig

GENERATOR = GeneratorConfig(64, z_dim=32, w_dim=32, mapping_layers=2, channel_base=512, channel_max=16)
BODY = BodyConfig(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), reduction=4)


def write_pack(folder: Path, **changes: Any) -> Path:
    """The pack; `changes` are laid over its pack.json."""
    folder.mkdir(parents=True)
    torch.manual_seed(7)
    generator = Generator(GENERATOR)
    styles = sum(generator.synthesis.style_sizes())
    save_file(generator.state_dict(), folder / "generator.safetensors")
    encoder = Encoder(EncoderConfig(GENERATOR.num_ws, GENERATOR.w_dim, BODY))
    save_file(encoder.state_dict(), folder / "encoder.safetensors")
    directions = {
        "one": torch.randn(32),
        "rows": torch.randn(GENERATOR.num_ws, 32),
        "channels": torch.randn(styles),
    }
    save_file(directions, folder / "directions.safetensors")
    (folder / "pack.json").write_text(json.dumps({**_described(folder), **changes}))
    return folder


def _described(folder: Path) -> dict[str, Any]:
    file = "directions.safetensors"
    sizes = {"z_dim": 32, "w_dim": 32, "mapping_layers": 2, "channel_base": 512, "channel_max": 16}
    body = {"widths": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "reduction": 4}
    return {
        "schema": "stit.pack/1",
        "name": "tiny",
        "title": "Tiny",
        "licence": "CC0-1.0",
        "commercial_use": "yes",
        "generator": {
            "arch": "stylegan2",
            "file": "generator.safetensors",
            "resolution": 64,
            "num_ws": 10,
            **sizes,
        },
        "encoder": {"arch": "e4e", "file": "encoder.safetensors", **body},
        "directions": {
            "smile": {"file": file, "key": "one", "scale": 0.5, "title": "Smile"},
            "rows": {"space": "w+", "file": file, "layers": [0, 3]},
            "lips": {"space": "style", "file": file, "key": "channels", "range": [0, 1]},
        },
        "schedule": {"steps": 40, "stitch_steps": 10},
        "sha256": {
            path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.safetensors"))
        },
    }


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_pack(tmp_path / "packs" / "tiny")


@pytest.fixture(scope="session")
def make_pack() -> Any:
    return write_pack


@pytest.fixture
def brought(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes a model file that somebody brings."""

    def write(data: bytes) -> Path:
        (tmp_path / "brought.pkl").write_bytes(data)
        return tmp_path / "brought.pkl"

    return write


@pytest.fixture(autouse=True)
def _no_packs_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STIT_PACK_PATH", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
