"""Several edits at once, within layers, with keys: directions of every kind in one job."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_pack import ROWS, WIDTH

from stit_vfx.bench import Bench, open_bench
from stit_vfx.events import Cancel, Reporter
from stit_vfx.gan.stylegan2 import Generator
from stit_vfx.options import RunOptions
from stit_vfx.packs.load import load_pack
from stit_vfx.packs.model import Code
from stit_vfx.pipeline import edit_shot
from stit_vfx.plate.exr import read_exr
from stit_vfx.shot import Shot


@pytest.fixture(scope="module")
def rich(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pack with a W+ direction, a style direction and a transformer."""
    folder = Path(shutil.copytree(pack, tmp_path_factory.mktemp("rich") / "tiny"))
    rng = np.random.default_rng(3)

    def noise(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    network = load_pack(pack).model.network
    assert isinstance(network, Generator)
    style = noise(sum(network.synthesis.style_sizes()))
    tensors = {"rows": noise(ROWS, WIDTH), "hair": style, "grey.weight": noise(WIDTH, WIDTH) / 8}
    save_file({**tensors, "grey.bias": noise(WIDTH)}, folder / "more.safetensors")
    spec = json.loads((folder / "pack.json").read_text())
    spec["directions"] |= {
        "rows": {"file": "more.safetensors", "space": "w+", "scale": 0.5},
        "hair": {"file": "more.safetensors", "space": "style", "scale": 2.0},
        "grey": {"file": "more.safetensors", "kind": "transformer", "scale": 0.3},
    }
    digest = hashlib.sha256((folder / "more.safetensors").read_bytes()).hexdigest()
    spec["sha256"]["more.safetensors"] = digest
    (folder / "pack.json").write_text(json.dumps(spec))
    return folder


EDITS: list[dict[str, Any]] = [
    {"direction": "smile", "strength": 0.4, "layers": [0, 1]},
    {"direction": "rows", "keys": {"1001": 0, "1003": 0.8}, "layers": [2, 3, 4]},
    {"direction": "hair", "keys": {"1001": -0.5, "1002": 0.5}, "layers": [1, 6]},
    {"direction": "grey", "keys": {"1002": 0, "1004": 1}, "layers": [5]},
]


def opened(job: Any, out: Path) -> Bench:
    cancel = Cancel()
    reporter = Reporter("none", cancel=cancel)
    return open_bench(
        job, out=out, reporter=reporter, cancel=cancel, options=RunOptions(device="cpu"), dry=True
    )


def test_every_kind_of_direction_moves_its_own_layers_by_its_own_keys(
    job: Any, rich: Path, tmp_path: Path
) -> None:
    bench = opened(job(pack=str(rich), edits=EDITS), tmp_path)
    ws = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    network, known = bench.pack.model.network, bench.pack.directions
    assert isinstance(network, Generator)
    in_layers = np.isin(network.synthesis.channel_rows(), [1, 6])
    affine = known["grey"].transformer
    assert affine is not None
    for frame, rows, hair, grey in ((1001, 0, -0.5, 0), (1002, 0.4, 0.5, 0), (1003, 0.8, 0.5, 0.5)):
        moved = bench.pack.model.move(Code(ws), bench.moves_at(frame))
        wanted = ws.astype(np.float64)
        wanted[[0, 1]] += 0.4 * known["smile"].vector
        wanted[2:5] += rows * 0.5 * known["rows"].vector[2:5]  # type: ignore[index]
        wanted[5] += grey * 0.3 * affine(ws[5])
        np.testing.assert_allclose(moved.ws, wanted, atol=1e-5)
        assert moved.style is not None
        np.testing.assert_allclose(
            moved.style, np.where(in_layers, hair * 2.0 * known["hair"].vector, 0), atol=1e-6
        )


def test_the_order_of_edits_changes_no_bit(job: Any, rich: Path, tmp_path: Path) -> None:
    ws = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    codes = []
    for edits in (EDITS, EDITS[::-1]):
        bench = opened(job(pack=str(rich), edits=edits), tmp_path)
        codes.append(bench.pack.model.move(Code(ws), bench.moves_at(1003)))
    np.testing.assert_array_equal(codes[0].ws, codes[1].ws)
    np.testing.assert_array_equal(codes[0].style, codes[1].style)


def test_edits_of_every_kind_at_once_reach_the_plate(
    job: Any, rich: Path, tmp_path: Path, plate: str
) -> None:
    made = job(pack=str(rich), edits=EDITS, frames="1001-1002", freeze_fine_layers=6)
    assert edit_shot(made, out=tmp_path, device="cpu").exit_status == 0
    version = Shot.at(tmp_path / "sh010.stit").find_version()
    for frame in (1001, 1002):
        before = read_exr(plate.replace("####", str(frame))).rgb()
        after, lit = read_exr(version.comp_path(frame)).rgb(), np.isfinite(before)
        assert np.abs(after[lit] - before[lit]).max() > 0.05
    # Style offsets go through the stitching too: what was kept is steps and losses of both frames.
    records = (tmp_path / "sh010.stit" / "cache" / "stitch").rglob("stitch.*.json")
    assert [json.loads(r.read_text())["meta"]["steps"] for r in records] == [2, 2]
