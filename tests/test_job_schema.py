"""The job is data: checked, normal, and refused in words that name the field."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stit_vfx.document import MAX_BYTES
from stit_vfx.errors import FrameRangeError, JobError, JobFieldError, JobVersionError
from stit_vfx.job import Edit, Job, json_schema
from stit_vfx.options import STEPS
from stit_vfx.words import parse_edit, parse_face, shot_name_of

# The job of the documentation, as a user writes it.
WRITTEN: dict[str, Any] = {
    "schema": "stit.job/1",
    "shot": "sh010",
    "plate": "plates/sh010.####.exr",
    "frames": "1001-1100",
    "colourspace": None,
    "face": {"point": [960, 400], "frame": 1001},
    "pack": "builtin",
    "edits": [
        {"direction": "smile", "strength": 0.6},
        {"direction": "age", "keys": {"1001": 0, "1040": -0.5}},
    ],
    "tune": {"frames": "1001-1100", "schedule": "default"},
    "stitch": {"enabled": True},
    "putback": "detail",
    "matte": {"grow": 0, "soften": 6, "holdout": None},
    "quality": "final",
    "seed": 0,
    "output": {"folder": "renders", "layers": False, "compression": "auto", "pixel": "source"},
    "consent": "",
}
SMALLEST = {"schema": "stit.job/1", "plate": "a.exr", "edits": [{"direction": "smile", "strength": 1}]}


def job(**changes: Any) -> Job:
    return Job.from_data({**WRITTEN, **changes}, base=Path("/shots"))


def refusal(**changes: Any) -> str:
    with pytest.raises(JobError) as caught:
        Job.from_data({**SMALLEST, **changes})
    return str(caught.value)


def test_the_documented_job_is_read_and_its_paths_start_at_the_job_file(tmp_path: Path) -> None:
    path = tmp_path / "sh010.job.json"
    path.write_text(json.dumps(WRITTEN))
    read = Job.load(path)
    assert read.plate == str(tmp_path / "plates" / "sh010.####.exr")
    assert read.output.folder == str(tmp_path / "renders")
    assert read.pack == "builtin"
    assert read.frame_numbers() == tuple(range(1001, 1101))


def test_a_pack_with_a_slash_is_a_path_and_without_one_a_name() -> None:
    assert job(pack="packs/mine").pack == "/shots/packs/mine"
    assert job(pack="mine").pack == "mine"


def test_every_default_is_written_back() -> None:
    data = Job.from_data(SMALLEST, base=Path("/shots")).with_defaults(frames=(1, 2, 3)).to_data()
    assert data["frames"] == "1-3"
    tune = {"frames": "1-3", "schedule": "default", "steps": None, "lr": None, "locality": False}
    assert data["tune"] == tune
    assert data["matte"] == {"grow": 0.0, "soften": 6.0, "feather": 0, "holdout": None}
    crop = {"finder": "auto", "centre_sigma": 1.0, "axes_sigma": 3.0, "scale": 1.0}
    assert data["align"] == crop
    assert data["freeze_fine_layers"] is data["tuned"] is None
    assert data["putback"] == "detail"
    assert data["output"]["folder"] == "/shots/renders"
    assert Job.from_data(data).to_data() == data


def test_a_copy_with_other_content_has_another_sum() -> None:
    before = Job.from_data(SMALLEST)
    sums = {before.sha256, before.with_defaults(frames=(1, 2)).sha256, before.replace({"seed": 1}).sha256}
    assert len(sums) == 3


def test_spellings_of_one_job_are_one_job() -> None:
    other = job(
        frames="1050-1100, 1001-1049",
        matte={"soften": 6.0, "grow": -0.0},
        edits=[{"strength": 0.60, "direction": "smile"}, WRITTEN["edits"][1]],
    )
    assert other.canonical_json() == job().canonical_json()
    assert other.sha256 == job().sha256
    assert job(seed=1).sha256 != job().sha256


@pytest.mark.parametrize("strength", [True, "0.5", 1.001, -2, math.nan, math.inf, [1], {}])
def test_a_strength_is_a_finite_number_from_minus_one_to_one(strength: object) -> None:
    edits = [{"direction": "age", "strength": 0}, {"direction": "smile", "strength": strength}]
    text = refusal(edits=edits)
    assert text.startswith("edits[1].strength: ")
    assert text.endswith("(STIT-E101)")


def test_a_misspelt_setting_is_refused_with_the_right_one() -> None:
    assert 'edits[0].strenght: is not a setting. Did you mean "strength"' in refusal(
        edits=[{"direction": "smile", "strenght": 0.5}]
    )
    assert 'putbak: is not a setting. Did you mean "putback"' in refusal(putbak="detail")
    assert 'matte.holdot: is not a setting. Did you mean "holdout"' in refusal(matte={"holdot": "x.exr"})
    assert "tune.zzz: is not a setting. Known: frames, schedule, steps" in refusal(tune={"zzz": 1})


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("shot", {"shot": "../up"}),
        ("shot", {"shot": "nul"}),
        ("plate", {"plate": "a\0b.exr", "shot": "a"}),
        ("plate", {"plate": "plates/CON.exr", "shot": "a"}),
        ("matte.holdout", {"matte": {"holdout": "lpt1/x.exr"}}),
        ("plate", {"plate": 3}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 1.0}),
        ("face", {"face": {"id": 1, "point": [1, 2]}}),
        ("face", {"face": {"box": [10, 0, 5, 20]}}),
        ("face.point", {"face": {"point": [1, 2, 3]}}),
        ("matte.grow", {"matte": {"grow": math.inf}}),
        ("output.compression", {"output": {"compression": "dwaa"}}),
        ("consent", {"consent": "two\nlines"}),
        ("edits", {"edits": []}),
        ("edits[0]", {"edits": [{"direction": "smile"}]}),
        ("edits[0]", {"edits": [{"direction": "smile", "strength": 1, "keys": {"1": 1}}]}),
        ("edits[0].keys", {"edits": [{"direction": "smile", "keys": {"10.5": 1}}]}),
        ("edits[0].keys", {"edits": [{"direction": "smile", "keys": {"01001": 1}}]}),
        ("edits[0].keys[10]", {"edits": [{"direction": "smile", "keys": {"10": 1.5}}]}),
        ("edits[0].layers[1]", {"edits": [{"direction": "smile", "strength": 1, "layers": [0, -1]}]}),
    ],
)
def test_a_refusal_names_the_field(field: str, changes: dict[str, Any]) -> None:
    assert refusal(**changes).startswith(f"{field}: ")


def test_a_direction_given_twice_is_refused() -> None:
    twice = [{"direction": "smile", "strength": 0.5}, {"direction": "smile", "strength": 0.2}]
    assert "'smile' is edited twice" in refusal(edits=twice)


@pytest.mark.parametrize("field", ["frames", "tune.frames"])
def test_a_colon_in_a_range_is_refused_with_both_its_meanings(field: str) -> None:
    changes = {"frames": "1-20:5"} if field == "frames" else {"tune": {"frames": "1-20:5"}}
    with pytest.raises(FrameRangeError) as caught:
        Job.from_data({**SMALLEST, **changes})
    assert str(caught.value).startswith(f"{field}: ")


@pytest.mark.parametrize("schema", ["stit.job/2", "stit.job/17.3"])
def test_a_newer_schema_is_a_version_error(schema: str) -> None:
    with pytest.raises(JobVersionError):
        Job.from_data({**SMALLEST, "schema": schema})


@pytest.mark.parametrize("schema", [None, "stit.shot/1", 1, ["stit.job/1"]])
def test_what_is_not_a_job_is_refused_by_its_schema(schema: object) -> None:
    with pytest.raises(JobFieldError, match="schema"):
        Job.from_data({**SMALLEST, "schema": schema})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[1, 2]", "holds no JSON object"),
        ('{"schema": "stit.job/1"', "is not JSON"),
        ("[" * 100_000, "nested deeper"),
        ('{"a":' * 20 + "1" + "}" * 20, "nested deeper"),
        ('{"seed": 1, "seed": 2}', "'seed' is given twice"),
        ('{"seed": ' + "9" * 5000 + "}", "not usable JSON"),
    ],
)
def test_a_document_that_is_no_job_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(JobError, match=said) as caught:
        Job.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_job_file_has_a_largest_size(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(JobError, match="larger"):
        Job.load(path)


def test_a_file_that_is_not_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for name in ("binary.json", "absent.json", "."):
        with pytest.raises(JobError):
            Job.load(tmp_path / name)


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "bom.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(SMALLEST).encode())
    assert Job.load(path).plate == str(tmp_path / "a.exr")


def test_changes_are_laid_over_a_job_file_and_checked_with_it(tmp_path: Path) -> None:
    path = tmp_path / "sh.json"
    path.write_text(json.dumps(WRITTEN))
    changed = Job.load(path, changes={"matte": {"grow": 3.0}, "face": {"id": 2}, "seed": 9})
    assert (changed.matte.grow, changed.matte.soften) == (3.0, 6.0)
    assert changed.face.point is None
    assert changed.seed == 9
    with pytest.raises(JobFieldError):
        Job.load(path, changes={"seed": -1})


def test_keys_are_held_outside_and_straight_between() -> None:
    edit = Edit(direction="age", keys={1001: 0.0, 1041: -0.5, 1051: 1.0})
    expected = {900: 0.0, 1001: 0.0, 1021: -0.25, 1041: -0.5, 1046: 0.25, 1051: 1.0, 2000: 1.0}
    assert {frame: edit.at(frame) for frame in expected} == pytest.approx(expected)


@given(
    keys=st.dictionaries(st.integers(-500, 500), st.floats(-1, 1), min_size=1, max_size=6),
    frame=st.integers(-600, 600),
)
def test_a_keyed_strength_never_leaves_the_range_of_its_keys(keys: dict[int, float], frame: int) -> None:
    strength = Edit(direction="age", keys=keys).at(frame)
    assert min(keys.values()) - 1e-9 <= strength <= max(keys.values()) + 1e-9
    assert strength == pytest.approx(keys.get(frame, strength))


def touched_by(changes: dict[str, Any]) -> set[str]:
    before, after = job(), job(**changes)
    return {step for step in STEPS if before.settings_for(step) != after.settings_for(step)}


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"edits": [{"direction": "smile", "strength": 0.1}]}, {"edit"}),
        ({"matte": {"grow": 2.0}}, {"composite"}),
        ({"matte": {"soften": 1.0}}, {"composite"}),
        ({"tune": {"frames": "1001-1050"}}, {"tune"}),
        ({"face": {"id": 1}}, {"align"}),
        ({"putback": "delta"}, {"composite"}),
        ({"consent": "letter 12"}, set()),
        ({"output": {"folder": "elsewhere"}}, set()),
        ({"shot": "sh020"}, set()),
        ({"plate": "elsewhere/plate.####.exr"}, set()),
    ],
)
def test_a_setting_reaches_only_the_steps_that_read_it(changes: dict[str, Any], steps: set[str]) -> None:
    assert touched_by(changes) == steps


def test_trimming_the_frames_of_a_pinned_tune_redoes_neither_align_nor_tune() -> None:
    assert touched_by({"frames": "1010-1020"}) == set()


def test_a_key_that_moves_changes_only_the_frames_it_moves() -> None:
    moved = job(edits=[WRITTEN["edits"][0], {"direction": "age", "keys": {"1001": 0, "1040": -0.6}}])
    assert moved.settings_for("edit", frame=1001) == job().settings_for("edit", frame=1001)
    assert moved.settings_for("edit", frame=1002) != job().settings_for("edit", frame=1002)


def test_edits_add_up_so_their_order_and_those_at_zero_do_not_count() -> None:
    smile, age = WRITTEN["edits"]
    other = {"direction": "yaw", "keys": {"1010": 0, "1020": 1}}
    turned = job(edits=[age, other, smile])
    assert turned.settings_for("edit", frame=1005) == job().settings_for("edit", frame=1005)
    assert turned.settings_for("edit", frame=1015) != job().settings_for("edit", frame=1015)


@pytest.mark.parametrize(
    ("word", "edit"),
    [
        ("smile=0.6", {"direction": "smile", "strength": 0.6}),
        ("age=-1", {"direction": "age", "strength": -1.0}),
        ("age=0@1001,-0.5@1040", {"direction": "age", "keys": {"1001": 0.0, "1040": -0.5}}),
    ],
)
def test_an_edit_in_a_word(word: str, edit: dict[str, Any]) -> None:
    assert parse_edit(word) == edit


@pytest.mark.parametrize(
    ("word", "face"),
    [
        ("960,400@1001", {"point": [960.0, 400.0], "frame": 1001}),
        ("10.5,20", {"point": [10.5, 20.0]}),
        ("0,0,100,120@5", {"box": [0.0, 0.0, 100.0, 120.0], "frame": 5}),
        ("3", {"id": 3}),
    ],
)
def test_a_face_in_a_word(word: str, face: dict[str, Any]) -> None:
    assert parse_face(word) == face


@pytest.mark.parametrize("word", ["smile", "=1", "smile=much", "age=0@x", "age=0@1.5"])
def test_an_edit_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(JobFieldError, match="--edit"):
        parse_edit(word)


@pytest.mark.parametrize("word", ["", "a,b", "1,2,3", "1,2@x", "-1"])
def test_a_face_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(JobFieldError, match="--face"):
        parse_face(word)


@pytest.mark.parametrize(
    ("plate", "name"),
    [
        ("plates/sh010.####.exr", "sh010"),
        ("plates/sh010_bg_v003.%04d.exr", "sh010_bg_v003"),
        ("C:\\plates\\sh 010.1001.exr", "sh_010"),
        ("clip.mov", "clip"),
        ("plates/sh010/", "sh010"),
        ("####.exr", "shot"),
    ],
)
def test_a_shot_is_named_after_its_plate(plate: str, name: str) -> None:
    assert shot_name_of(plate) == name


def test_the_json_schema_names_every_field_of_the_documented_job() -> None:
    schema = json_schema()
    assert set(WRITTEN) <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"schema", "plate", "edits"}


def test_the_sum_of_a_job_does_not_depend_on_where_it_is_written() -> None:
    here, there = (job(output={"folder": folder}) for folder in ("renders", "/elsewhere"))
    assert here.sha256 == there.sha256
    assert here.sha256 != job(seed=1).sha256


def test_a_preset_gives_way_to_what_is_said_and_is_not_kept() -> None:
    read = Job.from_data({**SMALLEST, "preset": "animation", "tune": {"steps": 100}, "putback": "delta"})
    assert (read.tune.schedule, read.tune.steps, read.align.centre_sigma) == ("paper", 100, 0.0)
    assert read.putback == "delta"
    assert "preset" not in read.to_data()
    assert Job.from_data(read.to_data()) == read


def test_a_preset_writes_the_published_numbers_out() -> None:
    from stit_vfx.face.align import AXES_SIGMA, CENTRE_SIGMA
    from stit_vfx.steps.stitch import StitchSettings
    from stit_vfx.steps.tune import PAPER_EPOCHS, TuneSettings

    data = Job.from_data({**SMALLEST, "preset": "paper"}).to_data()
    tune, stitch = TuneSettings.paper(), StitchSettings.paper()
    assert (data["tune"]["steps"], data["tune"]["lr"]) == (PAPER_EPOCHS, tune.lr)
    for name in ("steps", "lr", "content", "threshold", "l1", "whole_image_border", "inner", "outer"):
        assert data["stitch"][name] == getattr(stitch, name), name
    assert (data["align"]["centre_sigma"], data["align"]["axes_sigma"]) == (CENTRE_SIGMA, AXES_SIGMA)
    assert data["putback"] == "replace"
    assert data["matte"] == {"grow": 0.0, "soften": 0.0, "feather": 0, "holdout": None}
    drawn = Job.from_data({**SMALLEST, "preset": "animation"}).to_data()
    changed = {"align": {**data["align"], "centre_sigma": 0.0}, "tune": {**data["tune"], "steps": 240}}
    assert drawn == {**data, **changed}
    plain = Job.from_data({**SMALLEST, "preset": "naive"}).to_data()
    assert plain == {**data, "stitch": {**data["stitch"], "enabled": False, "outer": 0}}


def test_a_preset_lies_over_a_job_file_where_it_is_a_flag_and_under_it_where_it_is_in_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sh.json"
    path.write_text(json.dumps({**WRITTEN, "matte": {"soften": 3.0}}))
    said = Job.load(path, changes={"preset": "paper", "stitch": {"steps": 7}})
    assert (said.putback, said.matte.soften) == ("replace", 0.0)
    assert (said.stitch.steps, said.stitch.lr) == (7, 3e-4)
    path.write_text(json.dumps({**WRITTEN, "matte": {"soften": 3.0}, "preset": "paper"}))
    inside = Job.load(path)
    assert (inside.putback, inside.matte.soften, inside.stitch.steps) == ("detail", 3.0, 100)


def test_a_preset_that_does_not_exist_is_refused_with_those_that_do() -> None:
    assert "preset: there is none called 'papr'. Known: paper, animation, naive" in refusal(preset="papr")


def test_an_edit_is_a_direction_or_a_text() -> None:
    assert "needs either direction or text" in refusal(edits=[{"strength": 0.5}])
    both = {"direction": "smile", "text": "a smile", "strength": 0.5}
    assert "needs either direction or text" in refusal(edits=[both])


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"align": {"centre_sigma": 0}}, {"align"}),
        ({"align": {"finder": "fan"}}, set()),
        ({"stitch": {"outer": 20}}, {"composite"}),
        ({"matte": {"feather": 12}}, {"composite"}),
        ({"freeze_fine_layers": 7}, set()),
    ],
)
def test_an_option_changes_the_keys_of_the_steps_that_read_it(changes: dict, steps: set[str]) -> None:
    before, after = Job.from_data(SMALLEST), Job.from_data({**SMALLEST, **changes})
    read = ("align", "invert", "tune", "edit", "stitch", "composite")
    plain = before.with_defaults(frames=(1, 2)), after.with_defaults(frames=(1, 2))
    assert {s for s in read if plain[0].settings_for(s) != plain[1].settings_for(s)} == steps
