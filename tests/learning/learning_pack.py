"""A tiny plain pack, samples of it with labels of a known truth, and a process that dies. Not a test."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stit_vfx.gan.e4e import Encoder, EncoderConfig
from stit_vfx.gan.irse import BodyConfig
from stit_vfx.gan.stylegan2 import Generator, GeneratorConfig
from stit_vfx.learning.samples import Samples
from stit_vfx.packs.model import AffineMap, Direction

SIZE, WIDTH, ROWS = 32, 24, 8


def write_pack(folder: Path, *, seed: int = 7) -> Path:
    """A StyleGAN2 of 32 px, a narrow encoder, directions in w, w+ and style space."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    generator = Generator(
        GeneratorConfig(SIZE, z_dim=WIDTH, w_dim=WIDTH, mapping_layers=2, channel_base=512, channel_max=16)
    )
    encoder = Encoder(EncoderConfig(ROWS, WIDTH, BodyConfig((8, 8, 16, 16), (1, 1, 1, 1), 4)))
    save_file(
        {k: v.contiguous() for k, v in generator.state_dict().items()}, folder / "generator.safetensors"
    )
    save_file({k: v.contiguous() for k, v in encoder.state_dict().items()}, folder / "encoder.safetensors")
    directions = {
        "smile": torch.randn(WIDTH),
        "age": torch.randn(WIDTH),
        "rows": torch.randn(ROWS, WIDTH),
        "lips": torch.randn(sum(generator.synthesis.style_sizes())),
    }
    save_file(directions, folder / "directions.safetensors")
    (folder / "pack.json").write_text(json.dumps(_described(folder)))
    return folder


def _described(folder: Path) -> dict[str, Any]:
    file, spaces = "directions.safetensors", {"smile": "w", "age": "w", "rows": "w+", "lips": "style"}
    sizes = {"z_dim": WIDTH, "w_dim": WIDTH, "mapping_layers": 2, "channel_base": 512, "channel_max": 16}
    body = {"widths": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "reduction": 4}
    return {
        "schema": "stit.pack/1",
        "name": "tiny",
        "licence": "CC0-1.0",
        "commercial_use": "yes",
        "generator": {
            "arch": "stylegan2",
            "file": "generator.safetensors",
            "resolution": SIZE,
            "num_ws": ROWS,
            **sizes,
        },
        "encoder": {"arch": "e4e", "file": "encoder.safetensors", **body},
        "directions": {name: {"file": file, "key": name, "space": space} for name, space in spaces.items()},
        "schedule": {"steps": 4, "lr": 1e-3, "batch": 2, "stitch_steps": 2, "stitch_lr": 1e-3},
        "sha256": sums(folder),
    }


def sums(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*.safetensors"))
    }


def fill_table(path: Path, columns: Mapping[str, Sequence[object]]) -> Path:
    """Write a person's words into the table's columns."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row.update({name: str(words[number]) for name, words in columns.items()})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def side(samples: Samples, normal: np.ndarray) -> np.ndarray:
    """How far each sample lies on the normal's side, in standard deviations."""
    read = samples.ws[:, 0].astype(np.float64) @ normal
    return (read - read.mean()) / read.std()


def linear(name: str = "tilt", **changes: Any) -> Direction:
    vector = np.eye(WIDTH, dtype=np.float32)[0]
    return Direction(name, name, **{"vector": vector, "scale": 2.0, **changes})


def affine(name: str = "bend", *, space: Any = "w", seed: int = 3, **changes: Any) -> Direction:
    size = WIDTH if space == "w" else WIDTH * ROWS
    rng = np.random.default_rng(seed)
    factors = (rng.standard_normal((size, size)).astype(np.float32) / size,)
    bias = rng.standard_normal(size).astype(np.float32)
    return Direction(name, name, space, transformer=AffineMap(factors, bias), **changes)


class Killed(BaseException):
    """The process was killed: nothing after this reaches the disk."""


@contextmanager
def killed_at(call: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let `call` calls to the file system through; the next one, and all after it, die. A write dies half
    done. Yields a list that is empty until then."""
    killed: list[int] = []
    count = iter(range(1_000_000))

    def dying(real: Callable[..., Any], half: bool = False) -> Callable[..., Any]:
        def call_or_die(*args: Any, **kwargs: Any) -> Any:
            if killed or next(count) >= call:
                if half and not killed:
                    real(args[0], args[1][: len(args[1]) // 2])
                killed.append(1)
                raise Killed
            return real(*args, **kwargs)

        return call_or_die

    with monkeypatch.context() as patch:
        for name in ("open", "fsync", "replace"):
            patch.setattr(os, name, dying(getattr(os, name)))
        for name in ("mkdir", "unlink"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        patch.setattr(Path, "write_bytes", dying(Path.write_bytes, half=True))
        yield killed
