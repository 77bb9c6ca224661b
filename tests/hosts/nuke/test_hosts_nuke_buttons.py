"""Every button, on a node made of the real gizmo: a knob that is renamed there fails here."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tkinter", reason="needs Tcl, which comes with Python's tkinter")

import fake_nuke
from fake_nuke import FakeNode, FakeNuke, from_gizmo, plain_node

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
GIZMOS = {path.stem: path.read_text("utf-8") for path in (ROOT / "gizmos").glob("*.gizmo")}
EDIT = GIZMOS["StitFaceEdit"]
PLUGIN = ROOT / "host_plugins" / "nuke"


class World:
    """A Nuke with one node on a plate, and an engine."""

    def __init__(self, nuke: FakeNuke, buttons: Any, out: Path) -> None:
        self.nuke, self.buttons, self.out = nuke, buttons, out
        self.plate = plain_node("Read", "Read1", file="/plates/a.%04d.dpx", first=1001, last=1002)
        self.node = self.add(EDIT)

    def add(self, gizmo: str) -> FakeNode:
        node = self.nuke.add(from_gizmo(gizmo, "StitFaceEdit1"))
        node.setInput(0, self.plate)
        node["out_dir"].setValue(str(self.out))
        node["last"].setValue(1002)
        node["edit_smile"].keys = {1001: 0.0, 1002: 0.5}
        return node

    @staticmethod
    def part(name: str) -> Any:
        """A module of the plug-in."""
        return importlib.import_module(f"stit_vfx_nuke.{name}")

    def press(self, button: str) -> None:
        self.buttons.press(self.node, button)

    def job(self) -> dict[str, Any]:
        return json.loads(Path(self.node["job_file"].value()).read_text())

    def status(self) -> str:
        return str(self.node["status"].value())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("STIT_VFX_ENGINE", f"{sys.executable} {HERE / 'small_engine.py'}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("STIT_TEST", raising=False)
    nuke = FakeNuke(GIZMOS)
    from stit_vfx_nuke import adapter, buttons, work

    importlib.reload(adapter)
    yield World(nuke, buttons, tmp_path / "out")
    work.stop_all()
    work.RUNNING.clear()


def test_cook_writes_the_plate_runs_the_engine_and_shows_the_version(world: World) -> None:
    world.press("cook")
    node = world.node
    assert world.status() == "done", world.nuke.said
    assert world.nuke.rendered == [("PlateOut", 1001, 1002, 1, ["main"])]
    job = world.job()
    assert job["edits"] == [{"direction": "smile", "keys": {"1001": 0.0, "1002": 0.5}}]
    assert job["plate"] == node.inside["PlateOut"]["file"].value()
    assert job["colourspace"] == "lin_rec709"
    edit, matte = node.inside["Edit"], node.inside["Matte"]
    version = world.out / (job["shot"] + ".stit") / "out" / "v001"
    assert edit["file"].value() == str(version / "comp" / (job["shot"] + ".%04d.exr"))
    assert matte["file"].value() == str(version / "matte" / (job["shot"] + ".%04d.exr"))
    assert (edit["first"].value(), edit["last"].value(), edit["raw"].value()) == (1001, 1002, True)
    assert node["cooked"].value() is True
    assert node["shown_version"].value() == "v001"
    assert node["summary"].value() == "smile animated\n1001-1002"


def test_the_write_is_off_again_and_proxy_on_again(world: World) -> None:
    world.press("cook")
    assert world.node.inside["PlateOut"]["disable"].value() is True
    assert world.nuke.root_node["proxy"].value() is True


def test_an_upstream_error_leaves_the_write_off(world: World) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Read1: no such file")

    world.nuke.render = fail
    world.press("cook")
    assert world.status() == "Read1: no such file"
    assert world.node.inside["PlateOut"]["disable"].value() is True
    assert world.node["cooked"].value() is False


def test_an_untouched_exr_read_is_not_written_again(world: World) -> None:
    world.plate["file"].setValue("/plates/a.%04d.exr")
    world.plate["colorspace"].setValue("default (lin_rec709)")
    world.press("cook")
    assert world.nuke.rendered == []
    assert world.job()["plate"] == "/plates/a.%04d.exr"
    # The engine kept the file's own values, so that they are read as the plate is.
    assert world.node.inside["Edit"]["raw"].value() == world.plate["raw"].value()
    assert world.node.inside["Edit"]["colorspace"].value() == "default (lin_rec709)"
    world.plate.box = (-8, 0, 80, 48)  # overscan: the engine's pixels would be counted from elsewhere
    world.press("cook")
    assert world.nuke.rendered


@pytest.mark.parametrize(
    "knob", ["edit_smile", "matte_soft", "out_dir", "job_file", "first", "cooked", "status"]
)
def test_renaming_a_knob_in_the_gizmo_is_caught(world: World, knob: str) -> None:
    kind = next(line for line in EDIT.splitlines() if f" {knob} l " in line).split(f" {knob} ")[0]
    renamed = EDIT.replace(f"{kind} {knob} l", f"{kind} other l").replace(f"\n {knob} ", "\n other ")
    if knob == "edit_smile":
        renamed = renamed.replace("other", "edit_grin")
        world.node = world.nuke.add(from_gizmo(renamed, "StitFaceEdit1"))
        assert (
            world.part("preparing").sliders(world.node)[0] == "edit_grin"
        )  # data: it is another direction, no fault
        return

    def use() -> None:
        world.node = world.add(renamed)
        world.press("cook")

    with pytest.raises(NameError):
        use()


def test_renaming_an_inner_node_is_caught(world: World) -> None:
    renamed = EDIT.replace("name Matte\n", "name Matt\n").replace("T Matte.file", "T Matt.file")
    world.node = world.add(renamed)
    world.press("cook")
    assert "no node Matte inside" in world.status()


def test_a_changed_setting_is_stale_and_changed_back_is_not(world: World) -> None:
    world.press("cook")
    tile = world.node["tile_color"].value()
    world.node["edit_age"].setValue(0.4)
    world.part("tile").changed(world.node, world.node["edit_age"])
    assert world.node["summary"].value() == "smile animated, age +0.4\n1001-1002\nstale"
    assert world.node["tile_color"].value() != tile
    world.node["edit_age"].setValue(0.0)
    world.part("tile").changed(world.node, world.node["edit_age"])
    assert "stale" not in world.node["summary"].value()


def test_mix_does_not_make_it_stale(world: World) -> None:
    world.press("cook")
    world.node["mix"].setValue(0.5)
    world.part("tile").changed(world.node, world.node["mix"])
    assert "stale" not in world.node["summary"].value()


def test_no_engine_is_one_dialog_and_nothing_is_rendered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STIT_VFX_ENGINE", "/nowhere/stit")
    world.press("cook")
    assert len(world.nuke.said) == 1
    assert "STIT-H101" in world.nuke.said[0]
    assert world.nuke.rendered == []


def test_the_engines_error_is_told_and_the_last_cook_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.press("cook")
    shown = world.node.inside["Edit"]["file"].value()
    monkeypatch.setenv("STIT_TEST", "face")
    world.press("cook")
    assert world.status() == "No face in the plate."
    assert "STIT-E310" in world.nuke.said[-1]
    assert world.node.inside["Edit"]["file"].value() == shown


def test_a_crash_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STIT_TEST", "crash")
    world.press("cook")
    assert "STIT-H105" in world.nuke.said[-1]


def test_cancel_in_a_window_keeps_nuke_free(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STIT_TEST", "hang")
    cancelled = threading.Event()
    tasks: list[str] = []

    class Task:
        def __init__(self, title: str) -> None:
            tasks.append(title)

        def setProgress(self, share: int) -> None:
            assert 0 <= share <= 100

        def setMessage(self, _text: str) -> None: ...

        def isCancelled(self) -> bool:
            return cancelled.is_set()

    world.nuke.GUI, world.nuke.ProgressTask = True, Task
    world.press("cook")
    assert threading.current_thread() is threading.main_thread()
    world.press("cook")
    assert world.status() == "This node is cooking. Cancel it, or wait."
    cancelled.set()
    _until(lambda: world.status() == "cancelled; Resume goes on")
    assert tasks == ["STIT StitFaceEdit1"]
    world.press("cancel")
    assert world.status() == "nothing is running"


def _until(true: Any) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def test_a_node_deleted_while_it_cooks_is_no_error(world: World) -> None:
    shared = world.part("shared")
    prepared = world.part("preparing").prepare(world.node)
    session = shared.Session(shared.engine(), prepared.words(), expects=("comp", "matte")).start()
    assert session.wait(30)
    world.node.deleted = True
    world.part("cooking").concluded(world.node, session, prepared)
    assert [text for text in world.nuke.said if "Traceback" in text] == []


def test_resume_uses_the_job_as_it_was_written(world: World) -> None:
    world.press("cook")
    before = world.job()
    world.node["edit_age"].setValue(1.0)
    world.nuke.rendered.clear()
    world.press("resume")
    assert world.status() == "done"
    assert world.nuke.rendered == []
    assert world.job() == before


def test_two_nodes_of_one_shot_share_its_folder_and_each_resumes_its_own_job(world: World) -> None:
    first = world.node
    second = world.nuke.add(from_gizmo(EDIT, "StitFaceEdit2"))
    second.setInput(0, world.plate)
    for node, edit in ((first, "edit_smile"), (second, "edit_age")):
        node["out_dir"].setValue(str(world.out))
        node["shot"].setValue("sh010")
        node["frames"].setValue("1001-1002")
        node["edit_smile"].keys.clear()
        node[edit].setValue(0.5)
        world.buttons.press(node, "cook")
        assert node["status"].value() == "done"
    assert sorted(path.name for path in world.out.glob("*.stit")) == ["sh010.stit"]
    world.buttons.press(first, "resume")
    assert first["status"].value() == "done"
    assert [edit["direction"] for edit in world.job()["edits"]] == ["smile"]
    assert "sh010.stit" in first.inside["Edit"]["file"].value()


def test_resume_without_a_cook_says_so(world: World) -> None:
    world.press("resume")
    assert world.status() == "There is no cook to go on with. Press Cook."


def test_analyse_fills_the_menu_and_a_choice_is_cooked_and_drawn(world: World) -> None:
    world.press("analyze")
    assert world.status() == "2 faces found"
    assert world.node["face"].menu == ["largest", "at point", "face 1 (1001-1002)", "face 2 (1001-1002)"]
    assert world.node["face_box"].value() == [10.5, 7.5, 30.5, 27.5]
    world.node["face"].setValue("face 2 (1001-1002)")
    world.part("tile").changed(world.node, world.node["face"])
    assert world.node["face_box"].value() == [50.5, 17.5, 60.5, 27.5]
    world.press("cook")
    assert world.job()["face"] == {"box": [50.0, 20.0, 60.0, 30.0], "frame": 1001}
    # Another range: the choice may mean nobody now, and Analyse is what helps.
    world.node["frames"].setValue("1002-1003")
    world.press("cook")
    assert "Press Analyse" in world.status()
    world.press("analyze")
    assert world.status() == "2 faces found"


def test_preview_is_one_frame_and_is_shown(world: World) -> None:
    world.nuke.now = 1002
    world.press("preview")
    assert world.nuke.rendered == [("PlateOut", 1002, 1002, 1, ["main"])]
    assert world.node["output"].value() == "preview"
    assert os.path.isfile(world.node.inside["Preview"]["file"].value())


def test_a_packs_own_edits_become_sliders(world: World) -> None:
    world.press("refresh_edits")
    assert world.node["edit_ears"].tooltip
    assert "edit_bad name" not in world.node.knobs()
    assert world.node["edit_smile"].limits == (-0.5, 1.0)
    assert not world.node["edit_age"].visible
    assert world.node["licence"].value() == "Apache-2.0; commercial use: yes"
    world.node["edit_ears"].setValue(0.5)
    world.press("cook")
    assert {edit["direction"] for edit in world.job()["edits"]} == {"smile", "ears"}


def test_bake_makes_plain_reads(world: World) -> None:
    world.press("bake")
    assert world.status() == "There is no cook to bake. Press Cook."
    world.press("cook")
    world.press("bake")
    edit, matte = world.nuke.made
    assert edit.name() == "StitFaceEdit1_v001_edit"
    assert edit["file"].value() == world.node.inside["Edit"]["file"].value()
    assert matte["file"].value() == world.node.inside["Matte"]["file"].value()
    assert edit["raw"].value() is True


def test_export_says_the_command(world: World) -> None:
    world.press("export_job")
    assert world.status() == "job written"
    assert "small_engine.py run {}".format(world.node["job_file"].value()) in world.nuke.said[-1]


def test_latest_shows_what_a_farm_made(world: World) -> None:
    world.press("latest")
    assert "no finished version" in world.status()
    world.press("export_job")
    job = world.node["job_file"].value()
    subprocess.run(
        [sys.executable, HERE / "small_engine.py", "run", job], check=True, stdout=subprocess.DEVNULL
    )
    world.press("latest")
    assert world.status() == "shows v001"
    assert world.node["cooked"].value() is True


def test_the_other_buttons(world: World) -> None:
    world.press("from_input")
    assert (world.node["first"].value(), world.node["last"].value()) == (1001, 1002)
    world.nuke.now = 1017
    world.press("face_here")
    assert world.node["face_frame"].value() == 1017
    world.press("cook")
    world.press("clear_cache")
    assert world.status() == "cache: 0 MB freed"


@pytest.mark.parametrize(
    ("farm", "words", "status"),
    [
        ("OpenJD bundle", ["--to=openjd", "--json"], "v001 written for a farm, 3 tasks"),
        ("Deadline Cloud", ["--to=openjd", "--send", "--json"], "v001 sent to Deadline Cloud, 3 tasks"),
        ("OpenCue", ["--to=opencue", "--send", "--json"], "v001 sent to OpenCue, 3 tasks"),
        ("command lines", ["--to=commands", "--json"], "v001 written for a farm, 3 tasks"),
    ],
)
def test_submit_hands_the_job_to_the_engines_submitter(
    world: World, farm: str, words: list[str], status: str
) -> None:
    world.node["farm"].setValue(farm)
    world.press("submit")
    assert world.status() == status
    said = world.nuke.said[-1]
    assert ("job-1" in said) == ("--send" in words)
    if "--send" not in words:
        asked = said.replace("<br>", "\n").split("\n\n")[-1].split("\n")
        assert asked == ["submit", world.node["job_file"].value(), *words]


def test_the_menu_of_farms_is_what_the_plug_in_and_the_engine_know() -> None:
    from stit_vfx.farm.submit import FARMS
    from stit_vfx_nuke import settings

    (knob,) = (knob for knob in fake_nuke.read_script(EDIT).nodes[0].user if knob.name == "farm")
    assert list(knob.menu) == list(settings.FARMS)
    assert {to for to, _send in settings.FARMS.values()} == set(FARMS)


def test_an_unsaved_script_is_told_to_be_saved(world: World) -> None:
    world.node["out_dir"].setValue("./stit")
    world.press("cook")
    assert "Save the script" in world.status()


def test_no_plate_is_told(world: World) -> None:
    world.node.feeds = []
    world.press("cook")
    assert world.status() == "Connect the plate to the first input."


def test_update_keeps_settings_connections_and_name(world: World) -> None:
    world.node["matte_soft"].setValue(11.0)
    after = plain_node("Dot", "Dot1")
    after.setInput(0, world.node)
    world.press("update_node")
    fresh = after.input(0)
    assert fresh is not world.node
    assert fresh is not None
    assert world.node.deleted
    assert fresh.name() == "StitFaceEdit1"
    assert fresh["matte_soft"].value() == 11.0
    assert fresh.input(0) is world.plate


# Batch, menu, installation ----------------------------------------------------------------------------------


@pytest.fixture
def batch(world: World) -> Any:
    sys.modules.pop("batch", None)
    return importlib.import_module("batch")


def test_batch_has_the_engines_exit_status(world: World, batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--script=shot.nk", "--node=StitFaceEdit1", "--frames=1001-1002"]
    assert batch.main([*words, "--save"]) == 0
    assert world.nuke.said[-1] == "saved"
    monkeypatch.setenv("STIT_TEST", "face")
    assert batch.main(words) == 3
    monkeypatch.setenv("STIT_TEST", "crash")
    assert batch.main(words) == 1
    monkeypatch.setenv("STIT_VFX_ENGINE", "/nowhere/stit")
    assert batch.main(words) == 4
    assert batch.main([*words, "--step=job"]) == 0  # a licence is needed for this step alone, and no engine


def test_batch_refuses_what_it_does_not_know(world: World, batch: Any) -> None:
    assert batch.main(["--script=shot.nk", "--node=Other"]) == 2
    assert batch.main(["--script=shot.nk", "--node=StitFaceEdit1", "--frames=5:9"]) == 2
    assert batch.main(["--script=missing.nk", "--node=StitFaceEdit1"]) == 1
    with pytest.raises(SystemExit) as ended:
        batch.main(["--what"])
    assert ended.value.code == 2


def test_start_up_adds_folders_and_a_menu(world: World) -> None:
    added: list[str] = []
    commands: list[tuple[str, Any]] = []
    menu = types.SimpleNamespace(
        addCommand=lambda name, call, **_: commands.append((name, call)), addSeparator=lambda: None
    )
    menu.addMenu = lambda _name, icon: menu
    world.nuke.pluginAddPath = added.append
    world.nuke.menu = lambda _name: menu
    for name in ("init", "menu"):
        exec(compile((PLUGIN / f"{name}.py").read_text(), name, "exec"), {"__name__": name})
    assert [Path(path) for path in added] == [ROOT / "gizmos", PLUGIN / "icons"]
    assert [name for name, _ in commands] == ["StitFaceEdit", "StitMatte", "StitApply", "Engine..."]
    for name, call in commands[:3]:
        assert call == f"nuke.createNode('{name}')"
        assert name in GIZMOS


def test_an_installed_copy_stands_alone(tmp_path: Path) -> None:
    target = tmp_path / "stit_vfx"
    subprocess.run([sys.executable, PLUGIN / "install.py", target], check=True, stdout=subprocess.DEVNULL)
    code = (
        "import sys, types; sys.modules['nuke'] = n = types.ModuleType('nuke'); n.Node = object\n"
        "from stit_vfx_nuke import buttons, shared\n"
        "print(shared.gizmo_folder()); import stit_session; print(stit_session.__file__)"
    )
    ran = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=target, check=True, capture_output=True, text=True
    )
    assert all(line.startswith(str(target)) for line in ran.stdout.split())
    assert {path.name for path in (target / "gizmos").iterdir()} == {f"{name}.gizmo" for name in GIZMOS}
    stranger = tmp_path / "mine"
    stranger.mkdir()
    again = subprocess.run([sys.executable, PLUGIN / "install.py", stranger], capture_output=True, text=True)
    assert again.returncode == 1
    assert stranger.is_dir()


def test_installing_at_home_adds_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    (tmp_path / ".nuke").mkdir()
    (tmp_path / ".nuke" / "init.py").write_text("x = 1")
    for _ in range(2):
        subprocess.run(
            [sys.executable, PLUGIN / "install.py"], env=environment, check=True, capture_output=True
        )
    text = (tmp_path / ".nuke" / "init.py").read_text()
    assert text.startswith("x = 1\n")
    assert text.count("stit_vfx") == 1


def test_only_the_adapter_and_the_start_up_files_import_nuke() -> None:
    package = PLUGIN / "stit_vfx_nuke"
    importing = {path.name for path in package.glob("*.py") if "import nuke" in path.read_text()}
    assert importing == {"adapter.py"}


def test_nothing_of_the_engine_is_imported() -> None:
    for path in PLUGIN.rglob("*.py"):
        words = path.read_text()
        assert "import torch" not in words
        assert "import stit_vfx\n" not in words
        assert "from stit_vfx import" not in words


# The real engine --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_engine_cooks_what_the_node_asks_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's plate through the node: what it shows is what `stit run` of its job gives, bit for bit."""
    import numpy as np
    from stit_vfx.demo import write_plate
    from stit_vfx.plate.exr import read_exr

    monkeypatch.setenv("STIT_VFX_ENGINE", os.fspath(_engine_script(world.out.parent)))
    engine = [os.environ["STIT_VFX_ENGINE"]]
    pattern = write_plate(world.out.parent / "plates", frames=(1001, 1002))
    plates = sorted(Path(pattern).parent.glob("*.exr"))

    def render(out: FakeNode, first: int, last: int, _step: int) -> None:
        for n, frame in enumerate(range(first, last + 1)):
            path = Path(out["file"].value() % frame)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(plates[n], path)

    world.nuke.render = render
    world.node["quality"].setValue("draft")
    world.press("cook")
    assert world.status().startswith("done"), world.nuke.said
    job, other = world.node["job_file"].value(), world.out.parent / "again"
    subprocess.run([*engine, "run", job, "--out", str(other)], check=True, capture_output=True)
    shown = world.node.inside["Edit"]["file"].value()
    for frame in (1001, 1002):
        here = Path(shown % frame)
        (there,) = other.rglob(f"comp/{here.name}")
        one, two = read_exr(here), read_exr(there)
        for name, pixels in one.channels.items():
            assert np.array_equal(pixels, two.channels[name])


def _engine_script(folder: Path) -> Path:
    """The engine of this tree, with few updates: not a result to look at is wanted, but a quick one."""
    script = folder / "stit"
    quick = 'case "$1" in run) set -- "$@" --tune-steps 3 --stitch-steps 2;; esac'
    start = f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m stit_vfx "$@"'
    script.write_text(f"#!/bin/sh\n{quick}\n{start}\n")
    script.chmod(0o755)
    return script


def test_the_fake_is_no_softer_than_nuke() -> None:
    node = fake_nuke.from_gizmo(EDIT)
    with pytest.raises(NameError):
        node["nosuch"]
    with pytest.raises(TypeError):
        node["quality"].setValue("best")
