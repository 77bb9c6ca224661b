"""`stit measure` and `stit packs`, on a small shot and a small pack."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from stit_vfx.cli import stit
from stit_vfx.demo import write_plate
from stit_vfx.plate.exr import read_exr, write_exr, write_matte

ROOT = Path(__file__).resolve().parents[2]
FRAMES = (1001, 1002, 1003)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate, an edit that is a little lighter inside a box, and its matte; 1003 is touched outside it."""
    folder = tmp_path_factory.mktemp("shot")
    write_plate(folder / "plate", frames=FRAMES)
    for frame in FRAMES:
        plate = read_exr(folder / "plate" / f"demo.{frame}.exr", frame)
        matte = np.zeros(plate.shape, np.float32)
        matte[200:300, 400:500] = 1
        touched = matte > 0
        touched[0, 0] = frame == 1003
        write_exr(folder / "edit" / f"e.{frame}.exr", plate.with_rgb(touched, plate.rgb() * np.float32(1.01)))
        write_matte(folder / "matte" / f"m.{frame}.exr", matte, plate)
    return folder


def measure(shot: Path, *args: str) -> subprocess.CompletedProcess[str]:
    words = ["measure", str(shot / "plate"), str(shot / "edit"), "--events", "none", *args]
    return subprocess.run(
        [sys.executable, "-m", "stit_vfx", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_an_edit_that_changes_nobody_measures_as_the_same_person(shot: Path) -> None:
    run = measure(shot, "--frames", "1001-1002", "--matte", str(shot / "matte"), "--json")
    told = json.loads(run.stdout)
    assert run.returncode == 0, run.stderr
    assert (told["frames"], told["measured"], told["checked"], told["unsafe"]) == (2, 2, 2, [])
    assert told["tl_id"] == pytest.approx(1, abs=1e-3)
    assert told["descriptor_distance"] < 0.1


def test_a_plate_touched_outside_the_matte_is_told_by_text_and_status(shot: Path) -> None:
    run = measure(shot, "--frames", "1003", "--matte", str(shot / "matte"))
    assert run.returncode == 3
    assert "touched outside the matte in frames [1003]" in run.stdout


def packs(*args: str) -> Result:
    return CliRunner().invoke(stit, ["packs", *args], standalone_mode=False)


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "packs" / "mine"
    folder.mkdir(parents=True)
    files = {f"{name}.safetensors": name.encode() for name in ("generator", "encoder", "directions")}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    spec = {
        "schema": "stit.pack/1",
        "name": "mine",
        "title": "My faces",
        "licence": "CC-BY-4.0",
        "commercial_use": "yes",
        "generator": {"arch": "stylegan2", "file": "generator.safetensors", "resolution": 64, "num_ws": 10},
        "encoder": {"arch": "e4e", "file": "encoder.safetensors"},
        "directions": {"smile": {"file": "directions.safetensors", "title": "Smile", "range": [-0.5, 1.0]}},
        "sha256": {name: sha256(data).hexdigest() for name, data in files.items()},
    }
    (folder / "pack.json").write_text(json.dumps(spec))
    monkeypatch.setenv("STIT_PACK_PATH", str(folder.parent))
    return folder


def test_packs_are_listed_with_title_and_licence(pack: Path) -> None:
    assert f"mine: My faces, CC-BY-4.0; commercial use: yes ({pack})" in packs("list").output.splitlines()


def test_a_pack_is_shown_with_its_licence_and_edits(pack: Path) -> None:
    shown = packs("show", "mine").output
    assert "CC-BY-4.0; commercial use: yes" in shown
    assert "--edit smile  -0.5 to 1  Smile" in shown
    assert json.loads(packs("show", str(pack), "--json").output)["generator"]["resolution"] == 64


def test_a_pack_with_another_byte_is_not_whole(pack: Path) -> None:
    whole = packs("verify", "mine")
    assert (whole.return_value, whole.output) == (0, f"{pack}: whole\n")
    (pack / "encoder.safetensors").write_bytes(b"Encoder")
    damaged = packs("verify", "mine")
    assert damaged.return_value == 4
    assert "encoder.safetensors is not the file that was recorded" in damaged.output
