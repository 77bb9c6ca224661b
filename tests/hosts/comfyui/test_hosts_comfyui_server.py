"""Installed nodes, loaded and run as ComfyUI loads and runs them: the example workflow, whole and spoilt."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from comfy_server import Refused, Server, custom_nodes
from test_hosts_comfyui_nodes import END, HELLO, result, say, touch

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[2] / "host_plugins" / "comfyui"
EXAMPLE = json.loads((FOLDER / "examples" / "face_edit.json").read_text())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    comfyui = tmp_path_factory.mktemp("ComfyUI")
    (comfyui / "custom_nodes").mkdir()
    subprocess.run([sys.executable, FOLDER / "install.py", comfyui], check=True, stdout=subprocess.DEVNULL)
    (package,) = custom_nodes(comfyui)
    return package


@pytest.fixture
def workflow(tmp_path: Path) -> Any:
    """The example on a plate of this test's."""
    touch(tmp_path / "plates", "sh010.1001.exr", "sh010.1002.exr")
    prompt = copy.deepcopy(EXAMPLE)
    prompt["1"]["inputs"]["plate"] = str(tmp_path / "plates" / "sh010.####.exr")
    return prompt


def test_the_example_runs_and_is_kept_until_something_changes(
    installed: Any, workflow: Any, comfy: Any, engine: Callable[..., None], tmp_path: Path
) -> None:
    engine(*say(HELLO, result(comfy.output), END))
    server = Server(installed)
    server.queue(workflow)
    assert server.ran == ["1", "2", "3", "4", "5"]
    assert set(server.shown) == {"4", "5"}
    job = json.loads((comfy.output / "stit" / "sh010.job.json").read_text())
    assert [edit["direction"] for edit in job["edits"]] == ["smile", "age"]
    assert job["matte"]["grow"] == 8.0
    server.queue(workflow)
    assert server.ran == []
    workflow["5"]["inputs"]["matte_grow"] = 2.0
    server.queue(workflow)
    assert server.ran == ["5"]
    # Another plate under the same name is another plate.
    os.utime(tmp_path / "plates" / "sh010.1002.exr", (1, 1))
    server.queue(workflow)
    assert server.ran == ["1", "4", "5"]


@pytest.mark.parametrize(
    ("node", "name", "value", "told"),
    [
        ("2", "strength", 3.0, "out of range"),
        ("2", "strength", "much", "is no FLOAT"),
        ("2", "direction", " ", "no direction"),
        ("4", "edits", ["1", 0], "gets STIT_PLATE"),
        ("4", "plate", "plates/sh010.####.exr", "has to be a link"),
        ("4", "quality", "best", "not in list"),
        ("5", "shot", None, "is missing"),
    ],
)
def test_a_workflow_that_cannot_work_is_not_queued(
    installed: Any, workflow: Any, comfy: Any, node: str, name: str, value: Any, told: str
) -> None:
    if value is None:
        del workflow[node]["inputs"][name]
    else:
        workflow[node]["inputs"][name] = value
    with pytest.raises(Refused, match=told):
        Server(installed).queue(workflow)


def test_the_example_has_all_inputs_of_its_nodes(installed: Any) -> None:
    """A graph that is loaded from it shows every setting."""
    for node in EXAMPLE.values():
        groups = installed.NODE_CLASS_MAPPINGS[node["class_type"]].INPUT_TYPES()
        known = {name for inputs in groups.values() for name in inputs}
        assert set(node["inputs"]) <= known
        assert known - set(node["inputs"]) <= {"edits"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_example_cooks_with_the_real_engine(
    installed: Any, workflow: Any, comfy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stit_vfx.demo import write_plate

    engine = tmp_path / "stit"
    engine.write_text(f'#!/bin/sh\nPYTHONPATH="{HERE.parents[2]}" exec "{sys.executable}" -m stit_vfx "$@"\n')
    engine.chmod(0o755)
    monkeypatch.setenv("STIT_VFX_ENGINE", str(engine))
    workflow["1"]["inputs"]["plate"] = str(write_plate(tmp_path / "real", frames=(1001, 1002)))
    workflow["4"]["inputs"].update(tune_steps=3, quality="draft", device="cpu")
    server = Server(installed)
    server.queue(workflow)
    shot = comfy.output / "stit" / "demo.stit" / "out"
    for version in ("v001", "v002"):
        assert len(list((shot / version / "comp").glob("*.exr"))) == 2
    assert server.shown["5"]["images"][0]["type"] == "output"
