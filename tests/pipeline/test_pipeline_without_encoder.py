"""Packs without an encoder, and packs with terms: what a run does with them, and says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_pack import write_tiny_pack

from stit_vfx.errors import CancelledError
from stit_vfx.events import Cancel, Reporter
from stit_vfx.job import Job
from stit_vfx.options import RunOptions
from stit_vfx.pipeline import edit_shot, run
from stit_vfx.plate.exr import read_exr
from stit_vfx.shot import Shot


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pack without its encoder, and with a generator that is not free."""
    folder = write_tiny_pack(tmp_path_factory.mktemp("packs") / "bare")
    (folder / "encoder.safetensors").unlink()
    spec = json.loads((folder / "pack.json").read_text())
    del spec["encoder"], spec["sha256"]["encoder.safetensors"]
    spec["schedule"]["project_steps"] = 12
    spec["licences"] = {"generator": {"licence": "Research only", "commercial_use": "no"}}
    (folder / "pack.json").write_text(json.dumps(spec))
    return folder


class Told(Reporter):
    """Keeps warnings and progress; stops the run after so many updates of the second step."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__("none", cancel=Cancel())
        self.warnings: dict[str, str] = {}
        self.updates: list[tuple[int, int]] = []
        self.stop_at = stop_at

    def warn(self, code: str, message: str | None = None, *, frame: int | None = None) -> None:
        self.warnings.setdefault(code, message or "")

    def progress(self, step: str, done: int, total: int, *, frame: int | None = None) -> None:
        if step == "invert":
            self.updates.append((done, total))
            if done == self.stop_at:
                self.cancel.request("command")


def go(job: Job, out: Path, told: Told, **options: Any) -> None:
    run(job, out=out, reporter=told, cancel=told.cancel, options=RunOptions(device="cpu", **options))


def codes_of(out: Path) -> np.ndarray:
    from safetensors.numpy import load_file

    (path,) = (out / "sh010.stit").rglob("invert.safetensors")
    return load_file(path)["ws"]


def test_a_run_without_an_encoder_finds_codes_and_resumes_to_the_same_bits(
    job: Any, bare: Path, tmp_path: Path
) -> None:
    work = job(pack=str(bare), frames="1001-1003")
    whole, stopped, again, cached = Told(), Told(stop_at=12 + 3 + 1), Told(), Told()
    go(work, tmp_path / "whole", whole, step="invert")
    # 12 updates for the first frame, 3 for each that follows it.
    assert whole.updates == [(n + 1, 12 + 2 * 3) for n in range(12 + 2 * 3)]
    with pytest.raises(CancelledError):
        go(work, tmp_path / "broken", stopped, step="invert")
    go(work, tmp_path / "broken", again, step="invert")
    assert again.updates[0] == (16, 18)
    assert np.array_equal(codes_of(tmp_path / "whole"), codes_of(tmp_path / "broken"))
    go(work, tmp_path / "broken", cached, step="invert")
    assert cached.updates == []


def test_terms_are_in_the_warning_in_every_comp_and_in_the_record(
    job: Any, bare: Path, tmp_path: Path
) -> None:
    told = Told()
    go(job(pack=str(bare), frames="1001-1002"), tmp_path, told)
    assert told.warnings["STIT-W201"].endswith("in pack tiny: generator (no)")
    version = Shot.at(tmp_path / "sh010.stit").find_version("v001")
    for frame in (1001, 1002):
        header = read_exr(version.comp_path(frame)).header
        named = {name: header[f"stit/{name}"] for name in ("pack", "licence", "commercialUse")}
        assert named == {"pack": "tiny", "licence": "Research only", "commercialUse": "no"}
    models = json.loads(version.provenance_path.read_text())["models"]
    parts = models["pack tiny"]["parts"]
    assert {name: part["commercial_use"] for name, part in parts.items()} == {
        "generator": "no",
        "directions.smile": "yes",
    }
    assert models["landmarks builtin"]["commercial_use"] == "yes"


def test_a_free_pack_gets_no_warning(job: Any, pack: Path, tmp_path: Path) -> None:
    told = Told()
    go(job(frames="1001"), tmp_path, told)
    assert "STIT-W201" not in told.warnings
    assert edit_shot(job(frames="1001"), out=tmp_path, device="cpu").exit_status == 0
