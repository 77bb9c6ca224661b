"""The published options, and shots tuned elsewhere, through whole runs with a tiny generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stit_vfx.errors import FrameRangeError, JobFieldError, MissingPartError, PackFormatError
from stit_vfx.job import Job
from stit_vfx.options import RunOptions
from stit_vfx.pipeline import edit_shot
from stit_vfx.plan import plan
from stit_vfx.plate.exr import read_exr
from stit_vfx.shot import Shot
from stit_vfx.tuned import FOLDER, Tuned, import_tuned, load_tuned, save_tuned

FRAMES = (1001, 1002, 1003, 1004)


def cached(out: Path, step: str) -> list[dict[str, np.ndarray]]:
    """Everything that a step has in the shot's cache."""
    from safetensors.numpy import load_file

    return [load_file(p) for p in sorted((out / "sh010.stit" / "cache" / step).rglob("*.safetensors"))]


def comp(out: Path, frame: int, name: str = "v001") -> np.ndarray:
    return read_exr(Shot.at(out / "sh010.stit").find_version(name).comp_path(frame)).rgb()


def matte(out: Path, frame: int, name: str = "v001") -> np.ndarray:
    return read_exr(Shot.at(out / "sh010.stit").find_version(name).matte_path(frame)).rgb()[..., 0]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, plate: str, pack: Path) -> Path:
    """A run whose options are all the default."""
    out = tmp_path_factory.mktemp("plain")
    job = {"schema": "stit.job/1", "shot": "sh010", "plate": plate, "pack": str(pack), "consent": "test"}
    edits = [{"direction": "smile", "strength": 0.7}]
    assert edit_shot(Job.from_data({**job, "edits": edits}), out=out, device="cpu").exit_status == 0
    return out


def test_feathering_narrows_the_matte_and_leaves_the_outside_alone(
    plain: Path, job: Any, tmp_path: Path
) -> None:
    assert edit_shot(job(matte={"feather": 60}, frames="1002"), out=tmp_path, device="cpu").exit_status == 0
    soft, hard = matte(tmp_path, 1002), matte(plain, 1002)
    assert soft.sum() < 0.95 * hard.sum()
    assert (soft[hard == 0] == 0).all()


def test_without_stitching_no_update_is_made(job: Any, tmp_path: Path) -> None:
    made = job(preset="naive", tune={"steps": 1}, frames="1001-1002")
    assert edit_shot(made, out=tmp_path, device="cpu").exit_status == 0
    records = list((tmp_path / "sh010.stit" / "cache" / "stitch").rglob("stitch.*.json"))
    assert [json.loads(r.read_text())["meta"]["steps"] for r in records] == [0, 0]


def test_frozen_fine_layers_are_still_over_the_shot(
    plain: Path, job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stit_vfx.packs.plain import PlainModel

    seen, move = [], PlainModel.move
    monkeypatch.setattr(
        PlainModel, "move", lambda model, code, moves: (seen.append(code), move(model, code, moves))[1]
    )
    assert edit_shot(job(freeze_fine_layers=3), out=tmp_path, device="cpu").exit_status == 0
    rows = np.stack([code.ws for code in seen])
    (before,) = cached(tmp_path, "invert")
    np.testing.assert_array_equal(rows[:, :3], before["ws"][:, :3])
    expected = before["ws"].mean(0, dtype=np.float64)[3:]
    np.testing.assert_allclose(rows[:, 3:], np.broadcast_to(expected, rows[:, 3:].shape), atol=1e-6)
    assert not np.array_equal(comp(plain, 1001), comp(tmp_path, 1001))


def test_an_unsmoothed_crop_follows_the_landmarks_more_closely(plain: Path, job: Any, tmp_path: Path) -> None:
    still = job(align={"centre_sigma": 0, "axes_sigma": 0})
    options = {"step": "align"}
    assert edit_shot(still, out=tmp_path, device="cpu", **options).exit_status == 0
    keys = {p.name for p in (tmp_path / "sh010.stit" / "cache" / "align").iterdir()}
    # The tracks are the same; the crops are not.
    assert len(keys & {p.name for p in (plain / "sh010.stit" / "cache" / "align").iterdir()}) == 1


def test_the_paper_preset_runs_to_the_end_and_reaches_the_plate(job: Any, tmp_path: Path, plate: str) -> None:
    made = job(preset="paper", tune={"steps": 1, "locality": True}, stitch={"steps": 2}, frames="1001-1002")
    result = edit_shot(made, out=tmp_path, device="cpu")
    assert result.exit_status == 0
    before = read_exr(plate.replace("####", "1001")).rgb()
    outside = matte(tmp_path, 1001) == 0
    np.testing.assert_array_equal(comp(tmp_path, 1001)[outside], before[outside])
    lit = np.isfinite(before)
    assert np.abs(comp(tmp_path, 1001)[lit] - before[lit]).max() > 0.05


def test_options_that_a_generator_cannot_follow_are_refused(job: Any, tmp_path: Path) -> None:
    with pytest.raises(JobFieldError, match="the pack has layers 0 to 7"):
        edit_shot(job(freeze_fine_layers=8), out=tmp_path, device="cpu")
    with pytest.raises(JobFieldError, match="does not start from z"):
        edit_shot(job(pack="builtin", tune={"locality": True}), out=tmp_path, device="cpu")


@pytest.fixture(scope="module")
def tuned(plain: Path) -> Tuned:
    """What the plain run has tuned, as a file from elsewhere would have it."""
    (pivots,) = cached(plain, "invert")
    (weights,) = [a for a in cached(plain, "tune") if "synthesis.b4.const" in a]
    version = Shot.at(plain / "sh010.stit").find_version()
    quads = [record["meta"]["quad"] for record in version.records().values()]
    return Tuned(weights, pivots["ws"], np.array(quads), FRAMES)


def tuned_job(tuned: Tuned, plate: str, pack: Path, out: Path) -> Job:
    edits = [{"direction": "smile", "strength": 0.7}]
    path = import_tuned(
        tuned, plate=plate, frames="1001-1004", pack=str(pack), out=out, shot="sh010", edits=edits
    )
    return Job.load(path, changes={"consent": "test"})


def test_a_shot_tuned_elsewhere_gives_the_same_pixels_without_tuning(
    plain: Path, tuned: Tuned, plate: str, pack: Path, tmp_path: Path
) -> None:
    job = tuned_job(tuned, plate, pack, tmp_path)
    options = RunOptions(device="cpu")
    planned = plan(job, out=tmp_path, options=options)
    assert {step.step: step.todo for step in planned.steps}["tune"] == 0
    assert edit_shot(job, out=tmp_path, device="cpu").exit_status == 0
    assert cached(tmp_path, "tune") == []
    for frame in FRAMES:
        np.testing.assert_array_equal(
            comp(plain, frame).view(np.uint32), comp(tmp_path, frame).view(np.uint32)
        )


def test_nobody_looks_for_the_face_of_a_tuned_shot_where_a_parser_gives_the_matte(
    tuned: Tuned, plate: str, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from stit_vfx import bench
    from stit_vfx.packs import load

    class Everything:
        def foreground(self, crops: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(crops), *crops.shape[2:])

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("somebody looked for the face")

    monkeypatch.setattr(load.Pack, "parser", Everything())

    def absent(*_: Any) -> Any:
        raise MissingPartError("no face finder is on this machine")

    monkeypatch.setattr("stit_vfx.face.track.track_faces", never)
    monkeypatch.setattr(bench.Bench, "finder", property(absent))
    job = tuned_job(tuned, plate, pack, tmp_path)
    assert plan(job, out=tmp_path, options=RunOptions(device="cpu")).steps[0].todo == 4
    result = edit_shot(job, out=tmp_path, device="cpu")
    assert (result.exit_status, result.measured) == (0, {})
    assert (matte(tmp_path, 1001) > 0).sum() > 20_000
    version = Shot.at(tmp_path / "sh010.stit").find_version()
    record = json.loads((version.out / "provenance.json").read_text())
    assert list(record["models"]) == ["pack tiny"]


def test_a_job_of_a_tuned_shot_waits_for_its_edits(
    tuned: Tuned, plate: str, pack: Path, tmp_path: Path
) -> None:
    path = import_tuned(tuned, plate=plate, frames="1001-1004", pack=str(pack), out=tmp_path)
    assert path.parent == tmp_path / "demo.stit" / FOLDER
    with pytest.raises(JobFieldError, match="edits: is missing"):
        Job.load(path)
    job = Job.load(path, changes={"edits": [{"direction": "age", "strength": 0.5}]})
    assert job.tuned == str(path.with_name("tuned.safetensors"))
    assert job.output.folder == str(tmp_path)


def test_a_tuned_file_comes_back_as_it_was_written(tuned: Tuned, tmp_path: Path) -> None:
    save_tuned(tmp_path / "t.safetensors", tuned)
    back = load_tuned(tmp_path / "t.safetensors")
    assert back.frames == FRAMES
    np.testing.assert_array_equal(back.pivots, tuned.pivots)
    np.testing.assert_array_equal(back.quads, tuned.quads)
    assert back.weights.keys() == tuned.weights.keys()


def test_frames_that_nobody_tuned_are_refused(tuned: Tuned, plate: str, pack: Path, tmp_path: Path) -> None:
    short = Tuned(tuned.weights, tuned.pivots[:3], tuned.quads[:3], FRAMES[:3])
    with pytest.raises(FrameRangeError, match="4 frames for 3 pivots"):
        tuned_job(short, plate, pack, tmp_path)
    save_tuned(tmp_path / "short.safetensors", short)
    job = tuned_job(tuned, plate, pack, tmp_path).replace({"tuned": str(tmp_path / "short.safetensors")})
    with pytest.raises(FrameRangeError, match="not tuned to frames 1004"):
        edit_shot(job, out=tmp_path, device="cpu")


def test_weights_of_another_generator_are_refused_by_name(
    tuned: Tuned, plate: str, pack: Path, tmp_path: Path
) -> None:
    name = "synthesis.b8.conv0.bias"
    other = {**tuned.weights, name: np.zeros(3, np.float32)}
    job = tuned_job(Tuned(other, tuned.pivots, tuned.quads, FRAMES), plate, pack, tmp_path)
    with pytest.raises(PackFormatError, match=name):
        edit_shot(job, out=tmp_path, device="cpu")
    lacking = {key: value for key, value in tuned.weights.items() if key != name}
    job = tuned_job(Tuned(lacking, tuned.pivots, tuned.quads, FRAMES), plate, pack, tmp_path)
    with pytest.raises(PackFormatError, match=f"no weights for {name}"):
        edit_shot(job, out=tmp_path, device="cpu")


def test_a_file_that_is_no_tuned_shot_is_refused(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(PackFormatError, match="is not a tuned shot"):
        load_tuned(pack / "generator.safetensors")
