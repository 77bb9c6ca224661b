"""Jobs that hosts write, read back with the engine's own eyes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stit_session import Direction, edit_of, edits_of, frame_range, run_words, write_job
from stit_session.jobs import _direction
from stit_vfx.cli.run import command as run_command
from stit_vfx.job import Edit, Job
from stit_vfx.plate.sequence import parse_frames

FRAMES = st.integers(-500, 1500)
STRENGTHS = st.floats(-1, 1)


def as_the_engine_reads_it(edit: Dict[str, object]) -> Edit:
    return Edit.model_validate_json(json.dumps(edit))


@settings(deadline=None)
@given(st.dictionaries(FRAMES, STRENGTHS, min_size=1, max_size=60))
def test_keys_give_back_every_sample(samples: Dict[int, float]) -> None:
    edit = as_the_engine_reads_it(edit_of("smile", samples))
    for frame, value in samples.items():
        assert edit.at(frame) == pytest.approx(value, abs=1.01e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(FRAMES, STRENGTHS), min_size=2, max_size=6, unique_by=lambda key: key[0]))
def test_straight_lines_need_no_more_keys_than_they_have_corners(corners: List[object]) -> None:
    made = Edit.model_validate_json(
        json.dumps({"direction": "age", "keys": {str(frame): value for frame, value in corners}})
    )
    frames = sorted(frame for frame, _ in corners)
    samples = {frame: made.at(frame) for frame in range(frames[0], frames[-1] + 1)}
    edit = edit_of("age", samples)
    assert len(edit.get("keys", [0])) <= len(corners)


def test_a_curve_that_never_moves_is_a_strength() -> None:
    assert edit_of("smile", {1001: 0.5, 1002: 0.5 + 1e-9}) == {"direction": "smile", "strength": 0.5}
    told = json.dumps(edit_of("smile", {1001: -0.0}))
    assert told == '{"direction": "smile", "strength": 0.0}'


def test_an_edit_without_samples_is_a_mistake_of_the_host() -> None:
    with pytest.raises(ValueError, match="no samples of 'smile'"):
        edit_of("smile", {})


def test_what_is_zero_everywhere_is_left_out_but_a_job_has_an_edit() -> None:
    moving = edits_of({"smile": {1: 0.0, 2: 0.0}, "age": {1: 0.0, 2: 0.4}})
    assert [edit["direction"] for edit in moving] == ["age"]
    assert edits_of({"smile": {1: 0.0}, "age": {1: 0.0}}) == [{"direction": "smile", "strength": 0.0}]
    assert edits_of({}) == []


@settings(deadline=None)
@given(st.sets(st.integers(-300, 300), min_size=1, max_size=40))
def test_a_frame_range_is_read_by_the_engine_as_the_same_frames(frames: set[int]) -> None:
    assert parse_frames(frame_range(frames)) == tuple(sorted(frames))


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        (range(1001, 1101), "1001-1100"),
        ([3, 1, 2, 2], "1-3"),
        (range(1001, 1100, 2), "1001-1099x2"),
        ([1001, 1005], "1001,1005"),
        ([1, 2, 10], "1-2,10"),
        ([-3, -2, -1], "-3--1"),
        ([7], "7"),
        ([], ""),
    ],
)
def test_frame_ranges_are_short(frames: list[int], text: str) -> None:
    assert frame_range(frames) == text


def test_a_job_is_written_whole_and_read_by_the_engine(tmp_path: Path) -> None:
    job = {
        "shot": "sh010",
        "plate": "/plates/\u00fc b.####.exr",
        "frames": frame_range([1001, 1002, 1003]),
        "edits": edits_of({"smile": {1001: 0.0, 1002: 0.5, 1003: 1.0}}),
    }
    path = write_job(tmp_path / "new" / "folder" / "job.json", job)
    assert os.path.isabs(path)
    loaded = Job.load(path)
    assert loaded.plate == job["plate"]
    assert loaded.frame_numbers() == (1001, 1002, 1003)
    assert [loaded.strengths_at(frame) for frame in (1001, 1002, 1003)] == [(0.0,), (0.5,), (1.0,)]
    assert os.listdir(os.path.dirname(path)) == ["job.json"]


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_a_job_can_be_read_by_the_farms_user(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        path = write_job(tmp_path / "job.json", {})
    finally:
        os.umask(mask)
    assert os.stat(path).st_mode & 0o777 == 0o644


@pytest.mark.parametrize("job", [{"seed": float("nan")}, {"seed": {1, 2}}])
def test_a_job_that_is_no_json_leaves_the_old_one_alone(tmp_path: Path, job: Dict[str, object]) -> None:
    path = write_job(tmp_path / "job.json", {"shot": "old"})
    with pytest.raises((ValueError, TypeError)):
        write_job(path, job)
    assert json.loads(Path(path).read_text()) == {"schema": "stit.job/1", "shot": "old"}
    assert os.listdir(str(tmp_path)) == ["job.json"]


def test_a_failing_rename_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("in use")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        write_job(tmp_path / "job.json", {})
    assert os.listdir(str(tmp_path)) == []


def test_the_words_of_a_cook_are_understood_by_the_command_line(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", {})
    words = run_words(
        job,
        frames="-5--3",
        step="tune",
        device="cuda:1",
        ocio="/show/config.ocio",
        pack_path=["/packs/a", "/packs/b"],
        on_frame_error="plate",
    )
    assert words[0] == "run"
    params = run_command.make_context("run", words[1:]).params
    assert str(params["job_file"]) == job
    assert (params["frames"], params["step"], params["device"]) == ("-5--3", "tune", "cuda:1")
    assert (params["ocio"], params["on_frame_error"]) == ("/show/config.ocio", "plate")
    assert [str(folder) for folder in params["pack_path"]] == ["/packs/a", "/packs/b"]
    assert run_words(job) == ["run", job]


def test_a_direction_that_says_little_is_still_a_slider() -> None:
    assert _direction("smile", {}) == Direction("smile", "smile", -1.0, 1.0)
    assert _direction("frown", {"title": "Frown", "range": [0, 1]}) == Direction("frown", "Frown", 0.0, 1.0)
