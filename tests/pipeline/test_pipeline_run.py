"""The six steps together, on a real face, with a tiny generator: what is promised of every run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest

from stit_vfx import atomic
from stit_vfx.options import RunOptions
from stit_vfx.pipeline import edit_shot
from stit_vfx.plan import plan
from stit_vfx.plate.exr import read_exr
from stit_vfx.shot import Shot

FRAMES = (1001, 1002, 1003, 1004)


def version(out: Path, name: str = "v001") -> Any:
    return Shot.at(out / "sh010.stit").find_version(name)


def sums(out: Path, name: str = "v001") -> dict[str, str]:
    """SHA-256 of every comp and matte of a version."""
    found = sorted((version(out, name).out).glob("[cm]*/*.exr"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def bits(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels).view(f"u{pixels.dtype.itemsize}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, plate: str, pack: Path) -> Path:
    """One unbroken run to compare with."""
    from stit_vfx.job import Job

    out = tmp_path_factory.mktemp("whole")
    edits = [{"direction": "smile", "strength": 0.7}]
    job = Job.from_data(
        {"schema": "stit.job/1", "shot": "sh010", "plate": plate, "pack": str(pack), "edits": edits}
        | {"consent": "test"}
    )
    assert edit_shot(job, out=out, device="cpu").exit_status == 0
    return out


def test_outside_the_matte_every_bit_of_every_channel_is_the_plates(whole: Path, plate: str) -> None:
    for frame in FRAMES:
        before = read_exr(plate.replace("####", str(frame)))
        after = read_exr(version(whole).comp_path(frame))
        matte = read_exr(version(whole).matte_path(frame)).rgb()[..., 0]
        assert set(after.channels) == {"R", "G", "B", "depth.Z", "id"}
        for name, channel in before.channels.items():
            assert after.channels[name].dtype == channel.dtype
            differs = bits(channel) != bits(after.channels[name])
            assert not differs[matte == 0].any()
            assert not (differs.any() and name in ("depth.Z", "id"))


def test_the_face_is_changed_and_light_that_is_not_finite_stays(whole: Path, plate: str) -> None:
    before, after = read_exr(plate.replace("####", "1002")), read_exr(version(whole).comp_path(1002))
    matte = read_exr(version(whole).matte_path(1002)).rgb()[..., 0]
    changed = (bits(before.channels["G"]) != bits(after.channels["G"])).sum()
    assert changed > 0.5 * (matte > 0).sum() > 10_000
    assert (bits(before.channels["R"])[200, 430:433] == bits(after.channels["R"])[200, 430:433]).all()
    assert (matte[200, 430:433] == 0).all()


def test_header_windows_and_rate_survive_and_the_edit_is_noted(whole: Path, plate: str) -> None:
    before, after = read_exr(plate.replace("####", "1001")), read_exr(version(whole).comp_path(1001))
    for name in ("framesPerSecond", "owner", "comments", "chromaticities"):
        assert repr(after.header[name]) == repr(before.header[name])
    assert after.data_window == before.data_window
    assert after.header["stit/edit"] == "smile=0.7"


def test_strength_zero_gives_the_plate_bit_for_bit(job: Any, tmp_path: Path, plate: str) -> None:
    edit_shot(job(0.0, frames="1001-1002"), out=tmp_path, device="cpu")
    for frame in (1001, 1002):
        before = read_exr(plate.replace("####", str(frame)))
        after = read_exr(version(tmp_path).comp_path(frame))
        for name, channel in before.channels.items():
            assert (bits(channel) == bits(after.channels[name])).all()


def test_frames_done_one_by_one_have_the_bits_of_one_run(job: Any, tmp_path: Path, whole: Path) -> None:
    for frame in (1003, 1001, 1004, 1002):
        edit_shot(job(), out=tmp_path, device="cpu", frames=(frame,))
    assert sums(tmp_path) == sums(whole)


def test_a_changed_strength_does_not_tune_again(job: Any, whole: Path) -> None:
    changed = job(-0.4)
    before = {step.step: step for step in plan(changed, out=whole, options=RunOptions(device="cpu")).steps}
    assert [before[name].todo for name in ("align", "invert", "tune")] == [0, 0, 0]
    assert [before[name].todo for name in ("stitch", "composite")] == [4, 4]
    tuned = sorted((whole / "sh010.stit/cache/tune").rglob("*"))
    stamps = [path.stat().st_mtime_ns for path in tuned]
    result = edit_shot(changed, out=whole, device="cpu")
    assert result.version == "v002"
    assert [
        path.stat().st_mtime_ns for path in sorted((whole / "sh010.stit/cache/tune").rglob("*"))
    ] == stamps
    assert sums(whole, "v002") != {name.replace("v001", "v002"): s for name, s in sums(whole).items()}


def test_the_same_job_again_writes_nothing(job: Any, whole: Path) -> None:
    comps = sorted(version(whole).out.glob("comp/*.exr"))
    stamps = [path.stat().st_mtime_ns for path in comps]
    assert edit_shot(job(), out=whole, device="cpu").version == "v001"
    assert [path.stat().st_mtime_ns for path in comps] == stamps


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs, not even handlers of Exception."""


@pytest.mark.parametrize("moment", [2, 7, 12, 17, 23, 29, 34])
def test_killed_at_a_write_and_run_again_gives_the_same_bits(
    job: Any, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    count = 0
    rename = atomic._rename

    def kill(temporary: Path, path: Path) -> None:
        nonlocal count
        count += 1
        if count == moment:
            raise Killed
        rename(temporary, path)

    monkeypatch.setattr(atomic, "_rename", kill)
    with pytest.raises(Killed):
        edit_shot(job(), out=tmp_path, device="cpu")
    monkeypatch.setattr(atomic, "_rename", rename)
    edit_shot(job(), out=tmp_path, device="cpu")
    assert sums(tmp_path) == sums(whole)


@pytest.mark.parametrize("moment", [None, 17, 26])
def test_frames_side_by_side_have_the_bits_of_one_after_the_other(
    job: Any, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, moment: int | None
) -> None:
    monkeypatch.setattr("stit_vfx.pipeline.frames_at_once", lambda bench: 3)
    rename, lock, count = atomic._rename, Lock(), 0

    def kill(temporary: Path, path: Path) -> None:
        nonlocal count
        with lock:
            count += 1
            last = count
        if moment is not None and last >= moment:
            raise Killed
        rename(temporary, path)

    monkeypatch.setattr(atomic, "_rename", kill)
    if moment is not None:
        with pytest.raises(Killed):
            edit_shot(job(), out=tmp_path, device="cpu")
        monkeypatch.setattr(atomic, "_rename", rename)
    edit_shot(job(), out=tmp_path, device="cpu")
    assert sums(tmp_path) == sums(whole)


def test_layers_rebuild_the_comp(job: Any, tmp_path: Path, plate: str) -> None:
    edit_shot(job(frames="1001", output={"layers": True}), out=tmp_path, device="cpu")
    comp, before = read_exr(version(tmp_path).comp_path(1001)), read_exr(plate.replace("####", "1001"))
    matte = comp.channels["stit_matte.A"].astype(np.float32)
    light, result = before.channels["R"].astype(np.float32), comp.channels["R"].astype(np.float32)
    inside = (matte > 0) & np.isfinite(light)
    rebuilt = light[inside] * (1 - matte[inside]) + comp.channels["stit_edit.R"][inside]
    assert np.allclose(rebuilt, result[inside], rtol=4e-3, atol=1e-3)


@pytest.mark.parametrize("putback", ["delta", "replace"])
def test_other_put_backs_leave_the_plate_alone_too(
    job: Any, tmp_path: Path, plate: str, putback: str
) -> None:
    edit_shot(job(frames="1001", putback=putback), out=tmp_path, device="cpu")
    before, after = read_exr(plate.replace("####", "1001")), read_exr(version(tmp_path).comp_path(1001))
    matte = read_exr(version(tmp_path).matte_path(1001)).rgb()[..., 0]
    differs = bits(before.channels["R"]) != bits(after.channels["R"])
    assert differs.any()
    assert not differs[matte == 0].any()


def test_the_paper_schedule_runs_end_to_end(job: Any, tmp_path: Path) -> None:
    tuned = job(frames="1001", tune={"schedule": "paper", "steps": 2}, stitch={"steps": 2})
    assert edit_shot(tuned, out=tmp_path, device="cpu").exit_status == 0
