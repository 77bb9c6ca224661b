"""Reference numbers for the networks, and the rule that fills networks too large to store."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent.parent / "data" / "vectors"


def vector_folder() -> Path:
    """The stored vectors, or another set of the same layout named by $STIT_VECTORS."""
    named = os.environ.get("STIT_VECTORS")
    if not named:
        return HERE
    return Path(named) / "open" if (Path(named) / "open").is_dir() else Path(named)


class Vectors:
    """`vectors("ops", "conv/0/x")` is a tensor; integer images come back in [-1, 1]."""

    def __init__(self) -> None:
        self.folder = vector_folder()
        self.meta: dict[str, Any] = json.loads((self.folder / "meta.json").read_text())
        self.seed: int = self.meta["versions"]["seed"]
        self._open: dict[str, Any] = {}

    def __call__(self, file: str, key: str) -> Tensor:
        if file not in self._open:
            self._open[file] = np.load(self.folder / f"{file}.npz")
        value = torch.from_numpy(self._open[file][key])
        return value.float() / 127 if value.dtype == torch.int8 else value

    def fill(self, network: nn.Module, prefix: str) -> nn.Module:
        """Fill a network with the numbers that its tensor names ask for, and set it to evaluate."""
        state = network.state_dict()
        for name, tensor in state.items():
            state[name] = _values(prefix + name, tuple(tensor.shape), self.seed).to(tensor.dtype)
        network.load_state_dict(state)
        return network.eval()


def _values(key: str, shape: tuple[int, ...], seed: int) -> Tensor:
    rs = np.random.RandomState((zlib.crc32(key.encode()) + seed) & 0xFFFFFFFF)
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return torch.zeros(shape)
    if leaf == "running_var":
        return torch.tensor(0.5 + rs.random_sample(shape))
    normal = rs.standard_normal(shape)
    if leaf in ("running_mean", "bias"):
        return torch.tensor(0.1 * normal)
    if leaf == "weight" and len(shape) == 1:
        prelu = key.endswith(("input_layer.2.weight", "res_layer.2.weight"))
        return torch.tensor(0.25 + 0.05 * normal if prelu else 1 + 0.1 * normal)
    if leaf == "weight" and not key.endswith(".linear.weight"):
        return torch.from_numpy(normal) / np.sqrt(np.prod(shape[1:]))
    return torch.as_tensor(normal)


@pytest.fixture(scope="session")
def vectors() -> Vectors:
    return Vectors()


@pytest.fixture(scope="session")
def key_table() -> dict[str, dict[str, list[int]]]:
    """Names and shapes in the published full-size checkpoints."""
    return json.loads((HERE / "keys_fullsize.json").read_text())


@pytest.fixture
def gradients_only_where_named(request: pytest.FixtureRequest) -> Any:
    """No autograd, except in tests that have "gradient" in their name."""
    with torch.set_grad_enabled("gradient" in request.node.name):
        yield


def close(ours: Tensor, theirs: Tensor, *, rtol: float = 1e-5, atol: float = 1e-5) -> None:
    torch.testing.assert_close(ours, theirs.to(ours.dtype), rtol=rtol, atol=atol)


@pytest.fixture(name="close")
def _close() -> Any:
    return close
