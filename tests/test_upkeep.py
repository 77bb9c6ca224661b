"""`verify` finds every kind of damage, and nothing where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from stit_vfx.job import Job
from stit_vfx.shot import Shot, Version
from stit_vfx.upkeep import verify

FRAMES = (1001, 1002, 1003)


def write_exr(path: Path, *, width: int = 8, names: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(int(path.name[-8:-4])).random((6, width), np.float32).astype(np.float16)
    channels = dict.fromkeys(names, pixels)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


def finish(version: Version, frame: int) -> None:
    files = {"comp": version.comp_path(frame), "matte": version.matte_path(frame)}
    version.finish_frame(frame, key="k", files=files)


@pytest.fixture
def version(tmp_path: Path) -> Version:
    job = {"schema": "stit.job/1", "plate": "a.exr", "frames": "1001-1003"}
    edits = [{"direction": "smile", "strength": 1}]
    version = Shot.open(tmp_path, "sh010").version(Job.from_data({**job, "edits": edits}))
    for frame in FRAMES:
        write_exr(version.comp_path(frame))
        write_exr(version.matte_path(frame))
        finish(version, frame)
    version.write_frames()
    return version


def found(version: Version) -> list[tuple[str, int | None]]:
    return [(problem.problem, problem.frame) for problem in verify(version).problems]


def test_a_whole_version_has_no_problem(version: Version) -> None:
    report = verify(version)
    assert report.ok
    assert (report.frames, report.files) == (3, 6)
    assert json.loads(json.dumps(report.to_json()))["problems"] == []


def test_a_truncated_frame_is_found(version: Version) -> None:
    path = version.comp_path(1002)
    path.write_bytes(path.read_bytes()[:-40])
    problems = verify(version).problems
    assert problems[0].problem == "is not the file that was recorded"
    assert {problem.frame for problem in problems} == {1002}
    assert problems[0].path == "comp/sh010_comp_v001.1002.exr"


def test_a_frame_that_was_written_damaged_is_found_although_its_sum_is_right(version: Version) -> None:
    path = version.comp_path(1002)
    path.write_bytes(path.read_bytes()[:-40])
    finish(version, 1002)
    version.write_frames()
    ((_, frame),) = found(version)
    assert frame == 1002


def test_a_frame_that_another_program_saved_again_is_found(version: Version) -> None:
    write_exr(version.matte_path(1003), names="RGBA")
    assert found(version) == [
        ("is not the file that was recorded", 1003),
        ("has other windows or channels than frame 1001", 1003),
    ]


def test_a_frame_of_another_size_is_found(version: Version) -> None:
    write_exr(version.comp_path(1002), width=9)
    finish(version, 1002)
    version.write_frames()
    assert found(version) == [("has other windows or channels than frame 1001", 1002)]


def test_a_missing_frame_a_failed_one_and_a_stranger_are_found(version: Version) -> None:
    version.comp_path(1001).unlink()
    version.forget_frame(1002)
    version.finish_frame(1003, key="k", files={}, outcome="failed")
    version.write_frames()
    assert ("is missing", 1001) in found(version)
    assert ("was not made", 1002) in found(version)
    assert ("failed", 1003) in found(version)
    strangers = [problem.path for problem in verify(version).problems if problem.frame is None]
    assert "comp/sh010_comp_v001.1002.exr" in strangers


def test_a_version_without_frames_json_is_not_whole(version: Version) -> None:
    version.frames_path.write_text("{")
    assert found(version) == [("frames.json is absent or damaged", None)]
