"""A tiny CLIP, and a tiny StyleGAN2 pack that has its text half and a random style basis."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_text import CHANNELS, CONV_CHANNELS, DIMENSIONS, LAYERS, VECTORS, WIDTH

from stit_vfx.text import text_state
from stit_vfx.text.library import open_clip


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clip() -> Any:
    """open_clip's own whole CLIP with random weights that say something: gains and biases are not 1 and 0."""
    library = open_clip()
    torch.manual_seed(0)
    vision = library.CLIPVisionCfg(layers=1, width=WIDTH, patch_size=32, image_size=32)
    text = library.CLIPTextCfg(width=WIDTH, heads=1, layers=LAYERS)
    model = library.CLIP(DIMENSIONS, vision, text, quick_gelu=True)
    with torch.no_grad():
        for name, each in model.named_parameters():
            if not name.startswith("visual."):
                each.add_(0.05 * torch.randn_like(each))
    return model.eval()


@pytest.fixture(scope="session")
def state(clip: Any) -> dict[str, torch.Tensor]:
    """What a checkpoint of that CLIP holds."""
    return dict(clip.state_dict())


@pytest.fixture(scope="session")
def basis() -> np.ndarray:
    """(conv channels, DIMENSIONS), unit rows."""
    rows = np.random.default_rng(5).normal(size=(CONV_CHANNELS, DIMENSIONS)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="session")
def std() -> np.ndarray:
    """(style channels,), positive."""
    return np.random.default_rng(6).uniform(0.2, 3, CHANNELS * len(VECTORS)).astype(np.float32)


@pytest.fixture(scope="session")
def plain_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline's tiny pack, which has no texts."""
    path = Path(__file__).parent.parent / "pipeline" / "tiny_pack.py"
    found = importlib.util.spec_from_file_location("tiny_pack_for_texts", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    folder: Path = module.write_tiny_pack(tmp_path_factory.mktemp("plain") / "plain")
    return folder


@pytest.fixture(scope="session")
def make_pack(
    tmp_path_factory: pytest.TempPathFactory, plain_pack: Path, state: dict[str, torch.Tensor]
) -> Callable[..., Path]:
    """A maker of packs with a text part and the given tensors of a style basis."""

    def make(**tensors: np.ndarray) -> Path:
        folder = tmp_path_factory.mktemp("packs") / "tiny"
        shutil.copytree(plain_pack, folder)
        save_file(text_state(state), folder / "text.safetensors")
        save_file({n: torch.from_numpy(t.copy()) for n, t in tensors.items()}, folder / "basis.safetensors")
        text = {"arch": "clip-text", "file": "text.safetensors", "layers": LAYERS, "heads": 1}
        add_to_spec(folder, text=text, style_basis={"file": "basis.safetensors"})
        return folder

    return make


@pytest.fixture(scope="session")
def pack(make_pack: Callable[..., Path], basis: np.ndarray) -> Path:
    return make_pack(basis=basis)


def add_to_spec(folder: Path, **parts: Any) -> None:
    """Write parts into pack.json, and every file's sum."""
    path = folder / "pack.json"
    data = {**json.loads(path.read_text()), **parts}
    files = sorted(folder.glob("*.safetensors"))
    data["sha256"] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    path.write_text(json.dumps(data))
