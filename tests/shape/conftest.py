from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from stit_vfx.shape.code import ShapeCode, rotation_matrix
from stit_vfx.shape.model import ShapeModel

SIZE = 192


@pytest.fixture(scope="session")
def weights_path() -> Path:
    return Path(str(files("stit_vfx.packs") / "builtin" / "shape.safetensors"))


@pytest.fixture(scope="session")
def model(weights_path: Path) -> ShapeModel:
    return ShapeModel.load(weights_path)


@pytest.fixture
def quad() -> np.ndarray:
    """The quad that is the picture itself."""
    low, high = -0.5, SIZE - 0.5
    return np.array([[low, low], [low, high], [high, high], [high, low]])


@pytest.fixture
def face(model: ShapeModel):
    """A code in the middle of a SIZE x SIZE picture: `face({"jawOpen": 0.5}, yaw=0.3, seed=1)`."""

    def make(
        amounts: dict[str, float] | None = None, *, yaw: float = 0.0, seed: int | None = None
    ) -> ShapeCode:
        identity = np.zeros(40) if seed is None else np.random.default_rng(seed).standard_normal(40) * 0.8
        expression = np.zeros(len(model.expressions))
        for name, amount in (amounts or {}).items():
            for k, each in enumerate(model.expressions):
                if each in (name, f"{name}_L", f"{name}_R"):
                    expression[k] = amount
        turn = rotation_matrix(np.array([0.0, yaw, 0.0]))
        return ShapeCode(identity, expression, turn, SIZE / 21, np.array([SIZE / 2, SIZE * 0.48]))

    return make
