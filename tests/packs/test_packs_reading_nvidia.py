"""NVIDIA's snapshots, new and old, made without any of its code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import public_files
import pytest
import torch
from pickle_words import PROTO, named, refused
from torch import nn

from stit_vfx.errors import StitError
from stit_vfx.packs.reading import module_tensors, read_model_file


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nvidia_style_pickles_of_every_protocol_are_read_and_their_source_is_not_run(
    tmp_path: Path, protocol: int
) -> None:
    torch.manual_seed(2)
    state = {"mapping.fc0.weight": torch.randn(8, 8), "synthesis.b4.const": torch.randn(8, 4, 4).half()}
    half = {name: tensor.contiguous() for name, tensor in state.items()}
    path = public_files.nvidia_pickle(
        tmp_path / "a.pkl", protocol=protocol, G_ema=public_files.persistent(half, kwargs={"z_dim": 8})
    )
    network = read_model_file(path).root["G_ema"]
    assert network.name == "Generator"
    assert network.state["_init_kwargs"] == {"z_dim": 8}
    assert network.source_sha256 == sha256(public_files.SOURCE.encode()).hexdigest()
    found = module_tensors(network)
    assert {name: each.dtype for name, each in found.items()} == {n: t.dtype for n, t in state.items()}
    assert all(torch.equal(found[name].read(), tensor) for name, tensor in state.items())


@pytest.mark.parametrize("protocol", [2, 4])
def test_networks_of_the_tensorflow_days_are_strangers_with_named_arrays(
    tmp_path: Path, protocol: int
) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    network = public_files.Network(
        version=4,
        name="Gs",
        static_kwargs=public_files.EasyDict(resolution=8),
        components=public_files.EasyDict(),
        variables=[("Dense0/weight", array)],
        build_module_src=public_files.SOURCE,
    )
    with public_files.public_names(), (tmp_path / "a.pkl").open("wb") as out:
        pickle.dump((network, network, network), out, protocol=protocol)
    root = read_model_file(tmp_path / "a.pkl").root
    assert type(root) is tuple
    gs = root[2]
    assert (gs.module, gs.name, gs.state["static_kwargs"]) == (
        "dnnlib.tflib.network",
        "Network",
        {"resolution": 8},
    )
    assert "build_module_src" not in gs.state
    assert gs.source_sha256 == sha256(public_files.SOURCE.encode()).hexdigest()
    name, value = gs.state["variables"][0]
    assert name == "Dense0/weight"
    np.testing.assert_array_equal(value, array)


def test_a_pickled_module_is_refused_with_its_class(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "a.pt")
    refused(tmp_path / "a.pt", r"global torch\.nn\.modules\.linear\.Linear")


@pytest.mark.parametrize(
    "meta", [{}, {"type": "class", "class_name": 5}, {"type": "call", "class_name": "x", "state": {}}]
)
def test_a_persistent_object_without_a_class_is_refused(
    brought: Callable[[bytes], Path], meta: dict[str, Any]
) -> None:
    inner = pickle.dumps(meta, 2)[2:-1]
    name = named("torch_utils.persistence", "_reconstruct_persistent_obj")
    with pytest.raises(StitError, match="a persistent object has no class"):
        read_model_file(brought(PROTO + name + inner + b"\x85R."))
