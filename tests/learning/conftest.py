from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_pack import fill_table, side, write_pack

from stit_vfx.events import Cancel, Reporter
from stit_vfx.learning.drawing import Sampling, draw_samples
from stit_vfx.learning.samples import Samples, read_samples
from stit_vfx.packs.load import Pack, load_pack

COUNT = 400


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _no_packs_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STIT_PACK_PATH", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack(write_pack(tmp_path_factory.mktemp("packs") / "tiny"))


@pytest.fixture
def own_pack(tmp_path: Path) -> Path:
    """A pack that a test may change."""
    return write_pack(tmp_path / "packs" / "mine")


@pytest.fixture(scope="session")
def truth() -> np.ndarray:
    """(24,) the hyperplane's normal that labels are made with."""
    normal = np.random.default_rng(11).standard_normal(24)
    return normal / np.linalg.norm(normal)


@pytest.fixture(scope="session")
def samples(pack: Pack, truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """400 samples whose table holds the truth: sure and noisy classes, and a number."""
    folder = tmp_path_factory.mktemp("samples") / "faces"
    cancel = Cancel()
    wish = Sampling(count=COUNT, seed=5, truncation=1.0, columns=("sure", "noisy", "number"))
    found = draw_samples(pack, folder, wish, reporter=Reporter("none", cancel=cancel), cancel=cancel)
    value, rng = side(found, truth), np.random.default_rng(2)
    chance = 1 / (1 + np.exp(-3 * value))
    fill_table(
        folder / "labels.csv",
        {
            "sure": np.where(value > 0, "yes", "no"),
            "noisy": np.where(rng.random(COUNT) < chance, "yes", "no"),
            "number": (50 + 10 * value + rng.standard_normal(COUNT)).round(4),
        },
    )
    return read_samples(folder, pack=pack)


@pytest.fixture(scope="session")
def face() -> np.ndarray:
    """(68, 2) of a plain face in iBUG order, in a square of side 1."""
    angle = np.linspace(0, np.pi, 17)
    jaw = np.column_stack([0.5 - 0.3 * np.cos(angle), 0.45 + 0.4 * np.sin(angle)])
    brows = np.column_stack(
        [np.r_[np.linspace(0.28, 0.45, 5), np.linspace(0.55, 0.72, 5)], np.full(10, 0.36)]
    )
    bridge = np.column_stack([np.full(4, 0.5), np.linspace(0.44, 0.57, 4)])
    base = np.column_stack([np.linspace(0.45, 0.55, 5), np.full(5, 0.6)])
    eye = np.array([[-0.05, 0], [-0.02, -0.02], [0.02, -0.02], [0.05, 0], [0.02, 0.02], [-0.02, 0.02]])
    west, east = (eye + np.array([x, 0.44]) for x in (0.37, 0.63))
    outer = np.linspace(np.pi, -np.pi, 13)[:-1]
    inner = np.linspace(np.pi, -np.pi, 9)[:-1]
    mouth = np.r_[
        np.column_stack([0.5 + 0.1 * np.cos(outer), 0.7 - 0.04 * np.sin(outer)]),
        np.column_stack([0.5 + 0.07 * np.cos(inner), 0.7 - 0.015 * np.sin(inner)]),
    ]
    return np.concatenate([jaw, brows, bridge, base, west, east, mouth])


@pytest.fixture(scope="session")
def find() -> Any:
    """Opens the face finder of this machine."""
    from stit_vfx.face.detect import make_finder

    return lambda: make_finder("dlib")
