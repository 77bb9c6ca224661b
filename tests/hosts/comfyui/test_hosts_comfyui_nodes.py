"""The ComfyUI nodes as plain Python classes, with a puppet for an engine."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from stit_vfx.cli.run import command as run_command
from stit_vfx.job import Job
from stit_vfx.plate.sequence import Sequence
from stit_vfx.words import parse_edit, parse_face, shot_name_of

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[2] / "host_plugins" / "comfyui"
HELLO = {"ev": "hello", "proto": "1.0", "engine": "stit_vfx 0.1.0"}
END = {"ev": "end", "status": "ok", "exit": 0}
PLATE = {"plate": "/plates/sh010.####.exr", "frames": "1001-1002", "colourspace": ""}
EDITS = [{"direction": "smile", "strength": 0.5}]


def result(folder: Path, **more: Any) -> Dict[str, Any]:
    version = folder / "stit" / "sh010.stit" / "out" / "v001"
    outputs = [
        {"kind": "comp", "path": str(version / "comp" / "sh010.####.exr"), "frames": "1001-1002"},
        {"kind": "matte", "path": str(version / "matte" / "sh010.####.exr"), "frames": "1001-1002"},
        {"kind": "sheet", "path": str(version / "preview" / "contact_sheet.png"), "frames": "1001-1002"},
    ]
    for output in outputs[:2]:
        touch(Path(output["path"]).parent, "sh010.1001.exr")
    return {
        "ev": "result",
        "outputs": outputs,
        "version": "v001",
        "notes": ["the face stayed steady"],
        **more,
    }


def say(*events: Any) -> List[Any]:
    return [["say", event] for event in events]


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return folder


# As ComfyUI meets them --------------------------------------------------------------------------------------


def test_every_node_is_one_that_comfyui_can_show(package: Any) -> None:
    assert set(package.NODE_CLASS_MAPPINGS) == set(package.NODE_DISPLAY_NAME_MAPPINGS)
    assert len(package.NODE_CLASS_MAPPINGS) == 5
    for name, node in package.NODE_CLASS_MAPPINGS.items():
        assert name == node.__name__
        assert node.CATEGORY == "STIT VFX"
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
        assert node.DESCRIPTION
        inputs = node.INPUT_TYPES()
        assert set(inputs) <= {"required", "optional"}
        given = {**inputs["required"], **inputs.get("optional", {})}
        parameters = inspect.signature(getattr(node, node.FUNCTION)).parameters
        assert list(parameters) == ["self", *given]
        for each, (kind, options) in given.items():
            assert kind if isinstance(kind, list) else kind.isupper()
            assert options["tooltip"].endswith("."), (name, each)
            # An optional input that is not connected comes as the function's own default.
            if each in inputs.get("optional", {}) and "default" in options:
                assert parameters[each].default == options["default"], (name, each)


def test_a_type_that_comes_out_of_one_node_goes_into_another(package: Any) -> None:
    made = {kind for node in package.NODE_CLASS_MAPPINGS.values() for kind in node.RETURN_TYPES}
    for node in package.NODE_CLASS_MAPPINGS.values():
        inputs = node.INPUT_TYPES()
        for kind, _ in [*inputs["required"].values(), *inputs.get("optional", {}).values()]:
            if isinstance(kind, str) and kind.startswith("STIT_"):
                assert kind in made


def test_the_nodes_load_and_list_directions_where_there_is_no_engine(
    nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STIT_VFX_ENGINE", "/no/such/engine")
    monkeypatch.setattr(nodes, "_asked", {})
    names, options = nodes.StitDirection.INPUT_TYPES()["required"]["direction"]
    assert "smile" in names
    assert options["default"] == names[0]


def test_directions_are_the_engines_and_asked_for_once(
    nodes: Any, engine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nodes, "_asked", {})
    asked = tmp_path / "asked"
    engine(["err", "x"], ["child", str(asked)], ["raw", '{"directions": {"beard": {"title": "Beard"}}}'])
    try:
        for _ in range(2):
            assert nodes.StitDirection.INPUT_TYPES()["required"]["direction"][0] == ["beard"]
        assert len(asked.read_text().splitlines()) == 1
    finally:
        for number in asked.read_text().split():
            os.kill(int(number), 9)


def test_the_list_that_is_shown_without_an_engine_is_the_built_in_packs(nodes: Any) -> None:
    pack = json.loads((HERE.parents[2] / "stit_vfx" / "packs" / "builtin" / "pack.json").read_text())
    assert list(nodes.KNOWN) == list(pack["directions"])


def test_directions_of_other_packs_are_not_refused(nodes: Any) -> None:
    # ComfyUI leaves an input alone that VALIDATE_INPUTS names.
    assert "direction" in inspect.signature(nodes.StitDirection.VALIDATE_INPUTS).parameters
    assert nodes.StitDirection.VALIDATE_INPUTS(direction="beard") is True
    assert nodes.StitDirection.VALIDATE_INPUTS(direction=None) is True
    assert nodes.StitDirection.VALIDATE_INPUTS(direction=" ") == "no direction"


# Load Plate and Frame ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a.####.exr", "a.%04d.exr", "a.0002.exr", "."])
def test_a_plate_is_found_as_the_engine_finds_it(nodes: Any, tmp_path: Path, text: str) -> None:
    touch(tmp_path, "a.0001.exr", "a.0002.exr", "a.0010.exr", ".hidden")
    handle, pattern, first, last = nodes.StitLoadPlate().load(str(tmp_path / text), " 1-2 ", "acescg")
    theirs = Sequence.find(pattern)
    assert (first, last) == (theirs.frames[0], theirs.frames[-1]) == (1, 10)
    assert handle == {"plate": pattern, "frames": "1-2", "colourspace": "acescg"}
    assert os.path.isabs(pattern)
    for frame in theirs.frames:
        assert nodes.StitFrame().frame(pattern, frame) == (str(theirs.path(frame)),)


@pytest.mark.parametrize("name", ["take1.mov", "still.exr"])
def test_a_movie_or_a_still_is_one_file(nodes: Any, tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, "other.txt")
    handle, pattern, first, last = nodes.StitLoadPlate().load(str(tmp_path / name))
    assert (handle["plate"], first, last) == (str(tmp_path / name), 1, 1)
    assert nodes.StitFrame().frame(pattern, 1) == (pattern,)


def test_a_plate_that_is_not_there_is_told(nodes: Any, modules: Any, tmp_path: Path) -> None:
    error = modules("cooking").CookError
    with pytest.raises(error, match=r"a\.####\.exr: no file has this name"):
        nodes.StitLoadPlate().load(str(tmp_path / "a.####.exr"))
    touch(tmp_path, "a.0001.exr")
    with pytest.raises(error, match="frame 7 is not there; there are 1 to 1"):
        nodes.StitFrame().frame(str(tmp_path / "a.####.exr"), 7)


def test_a_plate_that_changes_on_disk_is_loaded_again(nodes: Any, tmp_path: Path) -> None:
    pattern = str(tmp_path / "a.####.exr")
    states = [nodes.StitLoadPlate.IS_CHANGED(pattern)]
    touch(tmp_path, "a.0001.exr")
    states.append(nodes.StitLoadPlate.IS_CHANGED(plate=pattern, frames="", colourspace=""))
    assert nodes.StitLoadPlate.IS_CHANGED(pattern) == states[-1]
    touch(tmp_path, "a.0002.exr")
    states.append(nodes.StitLoadPlate.IS_CHANGED(pattern))
    os.utime(str(tmp_path / "a.0002.exr"), ns=(1, 1))
    states.append(nodes.StitFrame.IS_CHANGED(pattern, 1))
    assert len(set(states)) == 4
    assert nodes.StitLoadPlate.IS_CHANGED(plate=None) == nodes.StitFrame.IS_CHANGED() == ""


# Direction --------------------------------------------------------------------------------------------------


def test_directions_chain(nodes: Any) -> None:
    (first,) = nodes.StitDirection().add("smile", 0.25)
    (both,) = nodes.StitDirection().add(" age ", 0.5, keys="0@1001, -.5@1040,1e-1@-3", edits=first)
    assert first == [{"direction": "smile", "strength": 0.25}]
    assert both[1] == parse_edit("age=0@1001,-0.5@1040,0.1@-3")
    assert both[0] is first[0]


@pytest.mark.parametrize("keys", ["0.5", "x@1001", "0.5@", "0.5@1001,,", "--1@5", "0.5@1.5"])
def test_keys_that_cannot_be_read_are_told(nodes: Any, modules: Any, keys: str) -> None:
    with pytest.raises(modules("cooking").CookError, match="is not STRENGTH@FRAME"):
        nodes.StitDirection().add("smile", 0, keys)


@pytest.mark.parametrize("word", ["2", "960,400", "960,400@1001", "10,20.5,30,40@-7", "3@1001"])
def test_a_face_is_picked_in_the_command_lines_words(nodes: Any, word: str) -> None:
    assert nodes.parse_face(word) == parse_face(word)


@pytest.mark.parametrize("word", ["x", "1,2,3", "1.5", "1,2@", "1,2@x", "-1", ""])
def test_a_face_that_cannot_be_read_is_told(nodes: Any, modules: Any, word: str) -> None:
    with pytest.raises(modules("cooking").CookError, match="face: "):
        nodes.parse_face(word)


@pytest.mark.parametrize(
    "plate",
    ["/p/sh010_bg.####.exr", "C:\\p\\sh 1.%04d.dpx", "/p/take1.mov", "/p/folder/", "a.1001.exr", "##.exr"],
)
def test_a_shot_is_named_as_the_command_line_names_it(nodes: Any, plate: str) -> None:
    assert nodes.shot_name(plate) == shot_name_of(plate)


# Face Edit --------------------------------------------------------------------------------------------------


def test_a_cook_gives_handles_paths_and_a_picture(
    nodes: Any, comfy: Any, engine: Callable[..., None]
) -> None:
    told = [{"ev": "progress", "stage": "tune", "frac": frac} for frac in (0.25, 0.25, 0.5)]
    warning = {"ev": "log", "level": "warning", "code": "STIT-W302", "msg": "guessed"}
    made = result(comfy.output)
    sheet = Path(made["outputs"][2]["path"])
    touch(sheet.parent, sheet.name)
    engine(*say(HELLO, *told, warning, made, END))
    told = nodes.StitFaceEdit().edit(PLATE, EDITS, "stit")
    shot, comp, matte, version = told["result"]
    assert (comp, matte, version) == (made["outputs"][0]["path"], made["outputs"][1]["path"], "v001")
    assert (shot["comp"], shot["matte"], shot["version"]) == (comp, matte, version)
    assert json.loads(json.dumps(shot)) == shot
    subfolder = "stit/sh010.stit/out/v001/preview"
    assert told["ui"]["images"] == [
        {"filename": "contact_sheet.png", "subfolder": subfolder, "type": "output"}
    ]
    (text,) = told["ui"]["text"]
    assert text.splitlines() == ["v001", comp, matte, "the face stayed steady", "guessed (STIT-W302)"]
    (bar,) = comfy.bars
    assert bar[-1] == 1.0
    assert bar == sorted(set(bar))
    assert comfy.freed == ["models", "cache"]


def test_the_job_says_what_the_node_says(nodes: Any, comfy: Any, engine: Callable[..., None]) -> None:
    engine(*say(HELLO, result(comfy.output), END))
    nodes.StitFaceEdit().edit(
        {**PLATE, "colourspace": "acescg"},
        [*EDITS, {"direction": "age", "keys": {"1001": 0.0, "1002": -0.5}}],
        "stit",
        shot="other",
        face="960,400@1001",
        pack="/packs/mine",
        quality="draft",
        putback="delta",
        matte_grow=-3.0,
        matte_soften=12.5,
        holdout="/roto/a.####.exr",
        layers=True,
        tune_steps=7,
        seed=3,
        consent="SAG-1",
    )
    job = Job.load(comfy.output / "stit" / "other.job.json")
    assert (job.shot, job.plate, job.frames, job.colourspace) == (
        "other",
        PLATE["plate"],
        "1001-1002",
        "acescg",
    )
    assert [job.strengths_at(frame) for frame in (1001, 1002)] == [(0.5, 0.0), (0.5, -0.5)]
    assert (job.face.point, job.face.frame, job.pack) == ((960, 400), 1001, "/packs/mine")
    assert (job.quality, job.putback, job.seed, job.consent) == ("draft", "delta", 3, "SAG-1")
    assert (job.matte.grow, job.matte.soften, job.matte.holdout) == (-3.0, 12.5, "/roto/a.####.exr")
    assert (job.output.layers, job.tune.steps) == (True, 7)
    assert job.output.folder == os.path.realpath(str(comfy.output / "stit"))


def test_what_is_left_empty_is_left_to_the_engine(
    nodes: Any, comfy: Any, engine: Callable[..., None]
) -> None:
    engine(*say(HELLO, result(comfy.output), END))
    nodes.StitFaceEdit().edit({"plate": "/p/sh010.####.exr", "frames": ""}, EDITS, "stit")
    job = Job.load(comfy.output / "stit" / "sh010.job.json")
    plain = Job.from_options(plate="/p/sh010.####.exr", edits=["smile=0.5"], output={"folder": "x"})
    assert job.sha256 == plain.sha256


def test_the_command_line_is_one_that_the_engine_reads(
    nodes: Any, modules: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = []

    class Noted(modules("cooking").Session):  # type: ignore[misc]
        def start(self) -> Any:
            lines.append(self.command_line)
            raise RuntimeError

    monkeypatch.setattr(modules("cooking"), "Session", Noted)
    monkeypatch.setenv("STIT_VFX_ENGINE", sys.executable)
    with pytest.raises(RuntimeError):
        nodes.StitFaceEdit().edit(PLATE, EDITS, "stit", device="cuda:1")
    assert lines[0][:4] == [sys.executable, "-m", "stit_vfx", "run"]
    params = run_command.make_context("run", lines[0][4:]).params
    assert (params["device"], params["events"], params["control"]) == ("cuda:1", "jsonl", "stdin")


def test_an_error_of_the_engine_is_comfyuis_error_window(
    nodes: Any, modules: Any, comfy: Any, engine: Callable[..., None]
) -> None:
    error = {
        "ev": "error",
        "code": "STIT-E311",
        "msg": "no face in the shot",
        "hint": "Say --face",
        "fatal": True,
    }
    engine(["err", "looked at 2 frames"], *say(HELLO, error, {"ev": "end", "status": "failed", "exit": 3}))
    with pytest.raises(modules("cooking").CookError) as caught:
        nodes.StitFaceEdit().edit(PLATE, EDITS, "stit")
    for word in ("No face in the shot.", "Say --face.", "STIT-E311", "looked at 2 frames"):
        assert word in str(caught.value)


def test_no_engine_is_comfyuis_error_window_too(
    nodes: Any, modules: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STIT_VFX_ENGINE", "/no/such/stit")
    with pytest.raises(modules("cooking").CookError, match="STIT-H101"):
        nodes.StitFaceEdit().edit(PLATE, EDITS, "stit")


def test_done_without_a_matte_is_an_error(
    nodes: Any, modules: Any, comfy: Any, engine: Callable[..., None]
) -> None:
    made = result(comfy.output)
    engine(*say(HELLO, {**made, "outputs": made["outputs"][:1]}, END))
    with pytest.raises(modules("cooking").CookError, match="STIT-H106"):
        nodes.StitFaceEdit().edit(PLATE, EDITS, "stit")


def test_cancel_in_comfyui_stops_the_engine_and_shows_no_error(
    nodes: Any, comfy: Any, engine: Callable[..., None], tmp_path: Path
) -> None:
    heard, started = tmp_path / "heard", tmp_path / "started"
    engine(["obey", str(heard)], *say(HELLO), ["make", str(started)], ["hang"])
    comfy.cancelled = started.exists
    with pytest.raises(comfy.Interrupted):
        nodes.StitFaceEdit().edit(PLATE, EDITS, "stit")
    assert json.loads(heard.read_text().splitlines()[0]) == {"cmd": "cancel"}


def test_a_server_that_is_shut_down_leaves_no_engine_behind(
    nodes: Any, comfy: Any, engine: Callable[..., None], tmp_path: Path
) -> None:
    started = tmp_path / "started"
    engine(["child", str(started)], *say(HELLO), ["hang"])

    def shut_down() -> bool:
        if started.exists() and started.read_text().endswith("\n"):
            raise KeyboardInterrupt
        return False

    comfy.cancelled = shut_down
    with pytest.raises(KeyboardInterrupt):
        nodes.StitFaceEdit().edit(PLATE, EDITS, "stit")
    stat = Path("/proc/{}/stat".format(started.read_text().strip()))
    for _ in range(3000):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX":
            break
        time.sleep(0.01)
    else:
        pytest.fail("the engine's child is alive")


def test_on_the_processor_comfyuis_models_stay(nodes: Any, comfy: Any, engine: Callable[..., None]) -> None:
    engine(*say(HELLO, result(comfy.output), END))
    nodes.StitFaceEdit().edit(PLATE, EDITS, "stit", device="cpu")
    nodes.StitFaceEdit().edit(PLATE, EDITS, "stit", free_memory=False)
    assert comfy.freed == []


def test_the_nodes_work_as_plain_classes_without_comfyui(
    nodes: Any, engine: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert importlib.util.find_spec("comfy") is None
    made = result(tmp_path / "output")
    engine(*say(HELLO, made, END))
    assert nodes.StitFaceEdit().edit(PLATE, EDITS, "stit")["result"][3] == "v001"
    assert (tmp_path / "output" / "stit" / "sh010.job.json").is_file()


# Matte ------------------------------------------------------------------------------------------------------


def test_another_matte_is_the_same_job_with_another_matte(
    nodes: Any, comfy: Any, engine: Callable[..., None]
) -> None:
    engine(*say(HELLO, result(comfy.output), END))
    shot = nodes.StitFaceEdit().edit(PLATE, EDITS, "stit", seed=5, device="cpu")["result"][0]
    path = comfy.output / "stit" / "sh010.job.json"
    before = Job.load(path)
    engine(*say(HELLO, result(comfy.output, version="v002"), END))
    told = nodes.StitMatte().matte(shot, 4.0, 10.0, "")
    after = Job.load(path)
    assert told["result"][3] == "v002"
    assert (after.matte.grow, after.matte.soften) == (4.0, 10.0)
    assert after.replace({"matte": before.matte.model_dump()}).sha256 == before.sha256
    assert after.sha256 != before.sha256
    assert told["result"][0]["device"] == "cpu"


# Where may be written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", ["/etc/stit", "../beside", "stit/../../x", "link/x"])
def test_a_workflow_cannot_write_wherever_it_likes(nodes: Any, modules: Any, comfy: Any, wish: str) -> None:
    (comfy.output / "link").symlink_to("/tmp")
    with pytest.raises(modules("cooking").CookError, match="STIT_VFX_OUTPUT_ROOTS"):
        nodes.StitFaceEdit().edit(PLATE, EDITS, wish)


def test_the_server_names_other_places(
    modules: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = modules("files").output_place
    monkeypatch.setenv("STIT_VFX_OUTPUT_ROOTS", os.pathsep.join(["", str(tmp_path / "show")]))
    real = os.path.realpath(str(tmp_path / "show"))
    assert place(str(tmp_path / "show" / "a"), str(comfy.output)) == os.path.join(real, "a")
    assert place(str(tmp_path / "show"), str(comfy.output)) == real
    with pytest.raises(PermissionError):
        place(str(tmp_path / "showreel"), str(comfy.output))
    monkeypatch.setenv("STIT_VFX_OUTPUT_ROOTS", os.sep)
    assert place("/anywhere", str(comfy.output)) == os.path.realpath("/anywhere")


def test_a_picture_outside_the_output_folder_is_copied_where_the_browser_can_see_it(
    modules: Any, comfy: Any, tmp_path: Path
) -> None:
    touch(tmp_path / "elsewhere", "sheet.png")
    shown = modules("host").picture(str(tmp_path / "elsewhere" / "sheet.png"))
    assert (shown["type"], shown["subfolder"]) == ("temp", "")
    assert (comfy.temp / shown["filename"]).read_text() == "sheet.png"


# Installing -------------------------------------------------------------------------------------------------


def install(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FOLDER / "install.py"), *words], capture_output=True, text=True
    )


def test_an_installed_copy_stands_on_its_own(tmp_path: Path) -> None:
    (tmp_path / "custom_nodes").mkdir()
    for _ in range(2):
        run = install(str(tmp_path))
        assert run.returncode == 0, run.stderr
    target = tmp_path / "custom_nodes" / "stit_vfx"
    assert os.listdir(str(target.parent)) == ["stit_vfx"]
    assert not list(target.rglob("__pycache__"))
    code = (
        "import sys, importlib.util as u; s = u.spec_from_file_location('x_x_y', {!r})\n"
        "m = u.module_from_spec(s); sys.modules['x_x_y'] = m; s.loader.exec_module(m)\n"
        "import stit_session; print(stit_session.__file__, sys.path[-1]); print(*m.NODE_CLASS_MAPPINGS)"
    ).format(str(target / "__init__.py"))
    run = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=str(tmp_path)
    )
    assert run.returncode == 0, run.stderr
    place, names = run.stdout.splitlines()
    # Last on the path, so that it hides nothing of ComfyUI's.
    assert place.split() == [str(target / "vendor" / "stit_session" / "__init__.py"), str(target / "vendor")]
    assert names == "StitLoadPlate StitDirection StitFaceEdit StitMatte StitFrame"


def test_installing_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "custom_nodes").mkdir()
    touch(tmp_path / "checkout", "precious.py")
    (tmp_path / "custom_nodes" / "stit_vfx").symlink_to(tmp_path / "checkout")
    assert install(str(tmp_path)).returncode == 0
    assert (tmp_path / "checkout" / "precious.py").is_file()
    assert not (tmp_path / "custom_nodes" / "stit_vfx").is_symlink()


def test_what_is_no_comfyui_is_told(tmp_path: Path) -> None:
    run = install(str(tmp_path))
    assert run.returncode == 1
    assert "no custom_nodes folder" in run.stderr
    assert install().returncode == 1


def test_nothing_heavy_is_imported() -> None:
    text = "".join(path.read_text() for path in FOLDER.glob("*.py"))
    assert not [word for word in ("import torch", "import numpy", "from PIL", "stit_vfx.") if word in text]
