"""Panel to job, without Nuke."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from stit_vfx.job import Job
from stit_vfx_nuke import settings, shared
from stit_vfx_nuke.settings import Colour, ReadFacts, SettingsError


def _frames(text: str) -> list[int]:
    return settings.frames_of({"frames": text, "first": 1, "last": 3})


def test_frames_in_nukes_spelling() -> None:
    assert _frames("1-10x2 20 30-31") == [1, 3, 5, 7, 9, 20, 30, 31]
    assert _frames("5,3, 4") == [3, 4, 5]
    assert _frames("-3--1") == [-3, -2, -1]
    assert _frames("") == [1, 2, 3]


@pytest.mark.parametrize("text", ["1:10", "10-1", "a", "1-10x0", "1-999999999"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        _frames(text)


VALUES = {
    "faces": "",
    **{"face": "largest", "face_pos": [0.5, 47.5], "face_frame": 1002, "pack": "builtin", "matte_size": -2.0},
    **{"matte_soft": 6.0, "first": 1001, "last": 1004, "frames": "", "quality": "draft", "seed": 3},
    **{"smoothing": 2.0, "out_dir": "/tmp/x", "shot": "", "compression": "zip", "plate_pixel": "half"},
    **{"extra_layers": True, "plate_space": "", "view": "", "device": "auto", "finder": "auto"},
    **{"putback": "delta", "crop_scale": 1.2, "consent": "C-1"},
}


def _job(**changes: object) -> dict[str, object]:
    return settings.job_of(
        {**VALUES, **changes},
        {"smile": {1001: 0.0, 1002: 0.5, 1003: 1.0}, "age": {1001: 0.0, 1002: 0.0, 1003: 0.0}},
        shot="sh010",
        plate="/p/sh010.%04d.exr",
        colourspace="lin_rec709",
        frames=[1001, 1002, 1003],
        height=48,
    )


def test_a_job_is_one_that_the_engine_takes() -> None:
    job = Job.from_data({"schema": "stit.job/1", **_job()})
    assert job.frame_numbers() == (1001, 1002, 1003)
    assert [(edit.direction, edit.keys) for edit in job.edits] == [("smile", {1001: 0.0, 1003: 1.0})]
    assert job.align.axes_sigma == 6.0
    assert job.align.centre_sigma == 2.0
    assert (job.matte.grow, job.matte.soften, job.putback, job.seed) == (-2.0, 6.0, "delta", 3)
    assert (job.output.layers, job.output.compression, job.consent) == (True, "zip", "C-1")


def test_a_point_of_nuke_is_the_engines_pixel() -> None:
    # Nuke's lowest left pixel has its centre at (0.5, 0.5); 48 rows up is the engine's row 0.
    assert _job(face="at point")["face"] == {"point": [0.0, 0.0], "frame": 1002}
    assert _job(face="at point", face_pos=[10.5, 0.5])["face"] == {"point": [10.0, 47.0], "frame": 1002}
    preview = settings.face_of({"face": "at point", "face_pos": [0.5, 47.5], "face_frame": 1002}, 48, [1003])
    assert preview == {"point": [0.0, 0.0], "frame": 1003}
    assert "face" not in _job()


def test_a_found_face_is_named_by_its_box_and_drawn_as_nuke_has_it() -> None:
    told = {"faces": [{"id": 2, "frames": "1001-1003,1005", "box": [10, 20, 30, 40.125], "box_frame": 1002}]}
    (face,) = settings.faces_found(told)
    assert face.words == "face 2 (1001-1003,1005)"
    assert settings.nuke_box(face.box, 48) == [10.5, 48 - 40.12 - 0.5, 30.5, 27.5]
    kept = settings.faces_text([face])
    assert settings.faces_known(kept) == {2: face}
    assert not set(kept) & set('[]{}$\\"')
    assert _job(face=face.words, faces=kept)["face"] == {"box": [10.0, 20.0, 30.0, 40.12], "frame": 1002}
    # A preview is one frame alone.
    chosen = {"face": face.words, "faces": kept}
    assert settings.face_of(chosen, 48, [1003]) == {"box": [10.0, 20.0, 30.0, 40.12], "frame": 1003}


@pytest.mark.parametrize("faces", ["", "7:1-2:1002:1,2,3,4", "3:1001-1004:1050:1,2,3,4", "3:1001:x:1,2"])
def test_a_face_of_another_range_is_not_guessed(faces: str) -> None:
    with pytest.raises(settings.SettingsError, match="Press Analyse"):
        _job(face="face 3 (1001-1004)", faces=faces)


ROOT = {
    **{"colorManagement": "OCIO", "OCIO_config": "fn-nuke_cg", "customOCIOConfigPath": "/c/custom.ocio"},
    **{"OCIOConfigPath": "/nuke/fn.ocio", "workingSpaceLUT": "scene_linear"},
}


def test_colour_follows_nukes_own_order() -> None:
    def of(wish: str = "", variable: str = "", **root: str) -> Colour:
        return settings.colour_of({**ROOT, **root}, wish=wish, variable=variable)

    assert of() == ("scene_linear", True, "/nuke/fn.ocio")
    assert of(OCIO_config="custom").config == "/c/custom.ocio"
    assert of(variable="/studio/config.ocio", OCIO_config="custom").config == "/studio/config.ocio"
    assert of(wish="ACEScg").space == "ACEScg"
    assert of(colorManagement="Nuke", variable="/studio/config.ocio") == ("lin_rec709", False, "")
    assert of().flag == "/nuke/fn.ocio"
    assert of(OCIOConfigPath="fn-nuke_cg").flag is None
    assert of(colorManagement="Nuke").flag is None


def test_the_engine_sees_ocio_only_when_the_script_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONHOME", "PYTHONPATH", "QT_PLUGIN_PATH", "LD_LIBRARY_PATH", "NUKE_PATH"):
        monkeypatch.setenv(name, "/opt/Nuke")
    monkeypatch.setenv("OCIO", "/studio/config.ocio")
    monkeypatch.setenv("PATH", os.pathsep.join(["/opt/Nuke", "/usr/bin"]))
    clean = shared.environment(ocio=True, host_folder="/opt/Nuke")
    assert clean["OCIO"] == "/studio/config.ocio"
    assert clean["PATH"] == "/usr/bin"
    assert [name for name, value in clean.items() if "/opt/Nuke" in value] == []
    assert "OCIO" not in shared.environment(ocio=False)


READ = ReadFacts("Read", "/p/a.%04d.exr", False, "default (ACEScg)", 1001, 1100, False)
SPACE = Colour("ACEScg", True, "")


def test_only_an_untouched_exr_read_in_the_working_space_is_not_rendered() -> None:
    def fit(**changes: object) -> bool:
        return settings.usable_as_is(READ._replace(**changes), [1001, 1002], SPACE)

    assert fit()
    assert fit(raw=True, space="sRGB")
    assert not fit(cls="TimeOffset")
    assert not fit(file="/p/a.%04d.dpx")
    assert not fit(file="/p/%V/a.%04d.exr")
    assert not fit(space="ACES2065-1")
    assert not fit(touched=True)
    assert not fit(last=1001)
    assert not settings.usable_as_is(None, [1001], SPACE)


def test_shot_names_are_plain() -> None:
    assert (
        settings.shot_name("", "/s/sh010 comp.nk", "Group1.StitFaceEdit1")
        == "sh010_comp_Group1_StitFaceEdit1"
    )
    assert settings.shot_name(" my/shot ", "", "n") == "my_shot"
    assert settings.shot_name("..", "", "") == "shot"


def test_the_newest_version_is_one_that_is_finished(tmp_path: Path) -> None:
    for name in ("v002", "v010", "v011"):
        (tmp_path / "out" / name / "comp").mkdir(parents=True)
    for name in ("v002", "v010"):
        (tmp_path / "out" / name / "provenance.json").write_text("{}")
    assert settings.newest_version(str(tmp_path)) == str(tmp_path / "out" / "v010")
    assert settings.newest_version(str(tmp_path / "no")) is None


def test_a_sequence_keeps_its_padding_and_name(tmp_path: Path) -> None:
    for frame in (998, 999, 1000):
        (tmp_path / f"sh010.{frame:04d}.exr").touch()
    (tmp_path / "sh010.thumbs").touch()
    folder = str(tmp_path).replace(os.sep, "/")
    assert settings.sequence_in(str(tmp_path)) == (folder + "/sh010.%04d.exr", 998, 1000)
    assert settings.sequence_in(str(tmp_path / "no")) is None


def test_the_engines_place_is_kept_for_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert shared.preference() == ""
    shared.remember("/opt/stit")
    assert shared.preference() == "/opt/stit"
    (tmp_path / ".nuke" / "stit_vfx.json").write_text(json.dumps([1]))
    assert shared.preference() == ""
