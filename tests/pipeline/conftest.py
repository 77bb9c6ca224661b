from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import torch
from tiny_pack import write_tiny_pack

from stit_vfx.demo import write_plate
from stit_vfx.job import Job
from stit_vfx.plate.exr import read_exr

FRAMES = (1001, 1002, 1003, 1004)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_pack(tmp_path_factory.mktemp("packs") / "tiny")


@pytest.fixture(scope="session")
def plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four frames of the demo shot, with depth and ids, and light that no network has seen."""
    folder = tmp_path_factory.mktemp("plates")
    pattern = write_plate(folder, frames=FRAMES)
    for frame in FRAMES:
        path = folder / f"demo.{frame}.exr"
        _make_nasty(path, frame)
    return pattern


def _make_nasty(path: Path, frame: int) -> None:
    plate = read_exr(path, frame)
    height, width = plate.shape
    rng = np.random.default_rng(frame)
    layers = {
        "depth.Z": rng.normal(37.5, 1e4, (height, width)).astype(np.float32),
        "id": rng.integers(0, 2**32, (height, width), np.uint32),
    }
    for name in "RGB":
        channel = plate.channels[name].copy()
        # On the forehead and in a corner: NaN with a payload, both infinities, -0, a negative, a highlight.
        odd = np.array([0x7C01, 0x7C00, 0xFC00, 0x8000, 0xB800, 0x50B0], np.uint16).view(np.float16)
        channel[200, 430:436] = odd
        channel[10, 10:16] = odd
        layers[name] = channel
    header = {k: v for k, v in plate.header.items() if k not in ("channels", "chunkCount")}
    channels = {name: np.ascontiguousarray(layers[name]) for name in ("R", "G", "B", "depth.Z", "id")}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


@pytest.fixture
def job(plate: str, pack: Path) -> Any:
    """A maker of jobs for the plate and the tiny pack."""

    def make(smile: float = 0.7, **fields: Any) -> Job:
        return Job.from_data(
            {
                "schema": "stit.job/1",
                "shot": "sh010",
                "plate": plate,
                "pack": str(pack),
                "edits": [{"direction": "smile", "strength": smile}],
                "consent": "test",
                **fields,
            }
        )

    return make
