"""A tiny generator with reference numbers, and the frames that go with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from stit_vfx.gan.e4e import Encoder, EncoderConfig
from stit_vfx.gan.irse import BodyConfig
from stit_vfx.gan.stylegan2 import Generator, GeneratorConfig
from stit_vfx.packs.plain import PlainModel

TINY = GeneratorConfig(64, z_dim=64, w_dim=64, channel_base=1024, channel_max=48, conv_clamp=256)
BODY = BodyConfig(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), reduction=4)


def vector_folder() -> Path:
    """The stored vectors, or another set of the same layout named by $STIT_VECTORS."""
    named = os.environ.get("STIT_VECTORS")
    if not named:
        return Path(__file__).parent.parent / "data" / "vectors"
    return Path(named) / "open" if (Path(named) / "open").is_dir() else Path(named)


@pytest.fixture(scope="session")
def meta() -> dict[str, Any]:
    return json.loads((vector_folder() / "meta.json").read_text())


@pytest.fixture(scope="session")
def vectors() -> Any:
    opened: dict[str, Any] = {}

    def read(file: str, key: str) -> Tensor:
        if file not in opened:
            opened[file] = np.load(vector_folder() / f"{file}.npz")
        return torch.from_numpy(opened[file][key].copy())

    return read


@pytest.fixture
def model() -> PlainModel:
    """Fresh for every test, since the steps train it."""
    generator = Generator(TINY)
    generator.load_state_dict(load_file(vector_folder() / "sg2ada_tiny.safetensors"))
    encoder = Encoder(EncoderConfig(TINY.num_ws, TINY.w_dim, BODY))
    return PlainModel(generator.eval().requires_grad_(False), encoder.eval().requires_grad_(False))


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Sums in one order, so that bits can be compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
