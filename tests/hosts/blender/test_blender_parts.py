"""The add-on's arithmetic, without Blender."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from blender_host import ADDON, PROJECT, pure

plates, jobs, sliders, shots, words = (pure(n) for n in ("plates", "jobs", "sliders", "shots", "words"))
exrhead = pure("exrhead")


def _images(names: list[str], start: int = 101):
    return plates.plate_of_images("/p", names, start)


def test_a_trimmed_sequence_is_a_pattern_and_its_own_numbers():
    plate = _images([f"sh010.{n}.exr" for n in (1003, 1004, 1005)])
    assert plate.pattern == "/p/sh010.####.exr"
    assert plate.frames == (1003, 1004, 1005)
    assert plate.timeline_of() == {1003: 101, 1004: 102, 1005: 103}


def test_held_and_reversed_frames_are_edited_once_and_sampled_where_they_first_show():
    plate = _images(["a.12.exr", "a.11.exr", "a.11.exr", "a.11.exr"])
    assert plate.sources == (12, 11, 11, 11)
    assert plate.frames == (11, 12)
    assert plate.timeline_of()[11] == 102


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["a_0099.png", "a_0100.png"], "/p/a_####.png"),
        (["a.9.exr", "a.10.exr"], "/p/a.#.exr"),
        (["v2_0001.exr"], "/p/v2_####.exr"),
        (["still.png", "still.png"], "/p/still.png"),
    ],
)
def test_patterns_as_the_engine_reads_them(names, pattern):
    assert _images(names).pattern == pattern


def test_the_engine_finds_the_same_files(tmp_path):
    from stit_vfx.plate.sequence import Sequence

    for names in (["a.9.exr", "a.10.exr"], ["b_0099.exr", "b_0100.exr"], ["face.exr"]):
        for name in names:
            (tmp_path / name).write_bytes(b"x")
        plate = plates.plate_of_images(str(tmp_path), names, 1)
        found = Sequence.find(plate.pattern)
        assert found.frames == plate.frames
        assert [found.path(frame).name for frame in found.frames] == names


@pytest.mark.parametrize("names", [[], ["a.1.exr", "b.1.exr"], ["a.exr", "b.exr"], ["a.1.psd"]])
def test_what_is_no_plate_is_refused_with_words(names):
    with pytest.raises(plates.PlateTrouble, match=r"\w+"):
        _images(names)


def test_a_movie_is_counted_from_one_and_trims_are_added():
    plate = plates.plate_of_movie("/p/a.mov", 110, 3, content_start=100, trimmed=5)
    assert plate.sources == (16, 17, 18)
    assert plate.source_at(0) == 16
    assert plate.source_at(999) == 18


def test_shot_names_are_those_of_the_engine():
    from stit_vfx.words import shot_name_of

    for pattern in ("/p/sh010_bg.####.exr", "/p/a b.mov", "/p/x.####.png", "/p/still.png", "/p/####.exr"):
        assert plates.shot_name(pattern) == shot_name_of(pattern)


def _job(strengths, **settings):
    plate = _images([f"a.{n}.exr" for n in (1001, 1002, 1003)])
    return jobs.build_job(plate, jobs.Settings(strengths, "/out", **settings), sliders.builtin())


def test_the_engine_reads_the_job_as_it_was_meant():
    from stit_vfx.job import Job

    job = Job.from_data(
        _job(
            {"smile": [0.1, 0.1, 0.1], "age": [0.0, 0.25, 0.5], "yaw": [0.0, 0.0, 0.0]},
            grow=-3.0,
            soften=np.float32(2.1).item(),
            tune_steps=5,
            consent="SAG 7",
            face={"box": [1.0, 2.0, 3.0, 4.0], "frame": 1002},
        )
    )
    assert {edit.direction for edit in job.edits} == {"smile", "age"}
    assert [job.strengths_at(frame) for frame in (1001, 1002, 1003)] == [(0.1, 0), (0.1, 0.25), (0.1, 0.5)]
    assert (job.matte.grow, job.matte.soften, job.tune.steps, job.consent) == (-3, 2.1, 5, "SAG 7")
    assert job.face.box == (1, 2, 3, 4)


def test_strengths_stay_within_what_the_pack_allows():
    edits = _job({"smile": [0.5] * 3, "frown": [-1.0, 0.2, 0.2]})["edits"]
    assert edits[0] == {"direction": "smile", "strength": 0.5}
    assert edits[1]["keys"]["1001"] == 0.0  # a frown cannot be less than none


def test_sliders_at_zero_are_no_job():
    with pytest.raises(jobs.JobTrouble, match="Move one"):
        _job({"smile": [0.0] * 3})


def test_a_fingerprint_changes_with_every_setting_but_the_place():
    job = _job({"smile": [0.5] * 3})
    assert jobs.fingerprint({**job, "output": {**job["output"], "folder": "/else"}}) == jobs.fingerprint(job)
    for name, value in (("seed", 1), ("quality", "draft"), ("frames", "1001"), ("edits", []), ("matte", {})):
        assert jobs.fingerprint({**job, name: value}) != jobs.fingerprint(job)


def test_a_face_is_named_by_its_box_and_refused_when_its_frame_was_trimmed_off():
    faces = [{"id": 2, "box": [1, 2, 3, 4], "box_frame": 1005}]
    assert jobs.face_from("0", faces, [1001]) == {}
    assert jobs.face_from("2", faces, [1005]) == {"box": [1, 2, 3, 4], "frame": 1005}
    with pytest.raises(jobs.JobTrouble, match="Analyse"):
        jobs.face_from("2", faces, [1001])


@pytest.mark.parametrize("tagged", [True, False])
def test_a_header_that_names_its_colours_is_seen_as_the_library_writes_it(tmp_path, tagged):
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    if tagged:
        header["chromaticities"] = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
    path = str(tmp_path / "a.1.exr")
    OpenEXR.File(header, {"RGB": np.zeros((4, 4, 3), np.float16)}).write(path)
    assert exrhead.says_its_colour(path) is tagged
    plate = plates.plate_of_images(str(tmp_path), ["a.1.exr"], 1)
    space = {"said": "", "strip_space": "Linear", "default_space": True, "own_config": False}
    assert jobs.colourspace_for(plate, **space) == (None if tagged else "lin_rec709")


@pytest.mark.parametrize("content", [b"", b"\x76\x2f\x31\x01\x02\0\0\0abc", b"\x89PNG" * 9])
def test_a_damaged_header_is_the_engines_to_complain_about(tmp_path, content):
    path = tmp_path / "a.1.exr"
    path.write_bytes(content)
    assert exrhead.says_its_colour(str(path)) is False


def test_the_spaces_that_are_translated_exist_in_the_engines_config():
    from stit_vfx.plate.colour import known_space, load_config

    config = load_config(None)
    assert all(known_space(config, name) for name in jobs.ENGINE_SPACES.values())


def test_the_builtin_sliders_are_those_of_the_engine():
    from stit_vfx.packs.registry import find_pack
    from stit_vfx.packs.schema import read_spec

    spec = read_spec(find_pack("builtin"))
    known = sliders.builtin().sliders
    told = {s.direction: (s.low, s.high, s.title) for s in known}
    assert told == {name: (*d.range, d.title) for name, d in spec.directions.items()}
    # What the sidebar shows of a label is enough to tell it from all others.
    assert len({s.label[: sliders.MAX_LABEL] for s in known}) == len(known)


def test_any_name_of_an_edit_becomes_a_property_of_its_own():
    names = ["smile", "Smile", "smile ", "日本", "a-b", "a_b", "x" * 90, "x" * 91]
    made = [sliders.property_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert all(name.isidentifier() and len(name) <= 60 for name in made)


def test_packs_are_remembered_and_a_damaged_memory_is_forgotten(tmp_path):
    path = str(tmp_path / "config" / "packs.json")
    mine = {"name": "mine", "directions": {"smile": {"title": "Grin", "range": [-0.5, 2]}}}
    sliders.remember(path, [mine])
    packs = sliders.recall(path)
    assert set(packs) == {"builtin", "mine"}
    assert (packs["mine"].sliders[0].low, packs["mine"].sliders[0].high) == (-0.5, 1.0)
    assert {s.prop: s.low for s in sliders.all_sliders(packs)}["stit_edit_smile"] == -1
    Path(path).write_text('[{"name": 3}]')
    assert set(sliders.recall(path)) == {"builtin"}


def test_only_a_shots_cache_is_cleared(tmp_path):
    shot = tmp_path / "a.stit"
    (shot / "cache" / "tune").mkdir(parents=True)
    (shot / "cache" / "tune" / "x").write_bytes(b"12345")
    (shot / "out").mkdir()
    with pytest.raises(ValueError, match="no shot"):
        shots.clear_cache(str(shot))
    (shot / "shot.json").write_text("{}")
    assert shots.clear_cache(str(shot)) == 5
    assert sorted(path.name for path in shot.iterdir()) == ["out", "shot.json"]


def test_a_linked_cache_is_left_alone(tmp_path):
    (tmp_path / "precious").mkdir()
    shot = tmp_path / "a.stit"
    shot.mkdir()
    (shot / "shot.json").write_text("{}")
    (shot / "cache").symlink_to(tmp_path / "precious")
    with pytest.raises(ValueError, match="link"):
        shots.clear_cache(str(shot))
    assert (tmp_path / "precious").exists()


def test_texts():
    assert words.as_time(75) == "1 min 15 s"
    assert words.as_time(7260) == "2 h 01 min"
    assert shots.in_words(1_234_567) == "1.2 MB"
    edits = [{"direction": "age", "strength": 0.4}, {"direction": "smile", "keys": {}}]
    assert words.summary(edits) == "age +0.4, smile keyed"
    assert max(map(len, words.wrapped("word " * 60, 260))) <= 40


def _builder():
    spec = importlib.util.spec_from_file_location("build_addon", ADDON.parent / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_packages_are_whole_and_the_same_each_time(tmp_path):
    first, second = (_builder().build(str(tmp_path / name)) for name in ("a", "b"))
    assert [Path(p).read_bytes() for p in first] == [Path(p).read_bytes() for p in second]
    names = zipfile.ZipFile(first[0]).namelist()
    assert {"blender_manifest.toml", "__init__.py", "builtin_pack.json", "stit_session/session.py"} <= set(
        names
    )
    assert all(name.startswith("stit_vfx_blender/") for name in zipfile.ZipFile(first[1]).namelist())
    sources = {p.name for p in (PROJECT / "host_plugins/common/stit_session").glob("*.py")}
    assert sources == {n.split("/")[1] for n in names if n.startswith("stit_session/")}


def test_nothing_heavy_is_imported_by_the_addon():
    for path in ADDON.glob("*.py"):
        text = path.read_text()
        assert "import torch" not in text
        assert "import numpy" not in text
        assert "from stit_vfx" not in text


def test_the_manifest_says_what_blender_asks_for():
    import tomllib

    manifest = tomllib.loads((ADDON / "blender_manifest.toml").read_text())
    assert manifest["id"] == "stit_vfx"
    assert len(manifest["tagline"]) <= 64
    assert not manifest["tagline"].endswith(".")
    assert json.loads((ADDON / "builtin_pack.json").read_text())["name"] == "builtin"
