"""The nodes as ComfyUI loads them, and a stand-in for as much of ComfyUI as they touch."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path
from typing import Any, Callable, List

import pytest
from comfy_server import load

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FOLDER = ROOT / "host_plugins" / "comfyui"
PUPPET = HERE.parent / "common" / "puppet.py"


@pytest.fixture(scope="session")
def package() -> Any:
    return load(FOLDER)


@pytest.fixture(scope="session")
def nodes(package: Any) -> Any:
    return sys.modules[package.__name__ + ".stit_nodes"]


@pytest.fixture(scope="session")
def modules(package: Any) -> Callable[[str], Any]:
    return lambda name: sys.modules["{}.{}".format(package.__name__, name)]


class Comfy:
    """What ComfyUI was asked for, and whether its user has pressed Cancel."""

    def __init__(self, folder: Path) -> None:
        # ComfyUI's InterruptProcessingException.
        self.Interrupted = type("Interrupted", (Exception,), {})
        self.output, self.temp = folder / "output", folder / "temp"
        self.output.mkdir()
        self.bars: List[List[float]] = []
        self.freed: List[str] = []
        self.cancelled: Callable[[], bool] = lambda: False

    def install(self, patch: pytest.MonkeyPatch) -> None:
        comfy = self

        class ProgressBar:
            def __init__(self, total: int, node_id: Any = None) -> None:
                self.seen: List[float] = []
                comfy.bars.append(self.seen)

            def update_absolute(self, value: float, total: Any = None, preview: Any = None) -> None:
                self.seen.append(value / total)

        def throw() -> None:
            if comfy.cancelled():
                raise comfy.Interrupted

        utils, management = types.ModuleType("comfy.utils"), types.ModuleType("comfy.model_management")
        paths, package = types.ModuleType("folder_paths"), types.ModuleType("comfy")
        utils.__dict__["ProgressBar"] = ProgressBar
        management.__dict__.update(
            processing_interrupted=lambda: comfy.cancelled(),
            throw_exception_if_processing_interrupted=throw,
            unload_all_models=lambda: comfy.freed.append("models"),
            soft_empty_cache=lambda: comfy.freed.append("cache"),
        )
        paths.__dict__.update(
            get_output_directory=lambda: str(comfy.output), get_temp_directory=lambda: str(comfy.temp)
        )
        for module in (package, utils, management, paths):
            patch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def comfy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Comfy:
    made = Comfy(tmp_path)
    made.install(monkeypatch)
    monkeypatch.delenv("STIT_VFX_OUTPUT_ROOTS", raising=False)
    return made


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The engine is a puppet from now on, and follows these steps."""

    def become(*steps: Any) -> None:
        script = tmp_path / "script.json"
        script.write_text(json.dumps(steps))
        words = [sys.executable, str(PUPPET), str(script)]
        monkeypatch.setenv("STIT_VFX_ENGINE", " ".join("'{}'".format(word) for word in words))

    assert os.name != "nt" or pytest.skip("quoted for a POSIX shell")
    return become
