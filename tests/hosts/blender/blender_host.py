"""The add-on's pure modules without Blender, and the Blenders of this machine."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
ADDON = PROJECT / "host_plugins" / "blender" / "stit_vfx_blender"
INSIDE = Path(__file__).with_name("inside.py")
SIZE = (960, 540)
# A result to look at is not wanted here; a quick one is.
QUICK = {"stit_tune_steps": 3, "stit_stitch_steps": 2, "stit_quality": "draft"}


def pure(name: str) -> Any:
    """A module of the add-on that needs no Blender; the package's own __init__ does, and is left out."""
    package = "stit_vfx_blender_pure"
    if package not in sys.modules:
        shell = types.ModuleType(package)
        shell.__path__ = [str(ADDON)]
        sys.modules[package] = shell
    return importlib.import_module(f"{package}.{name}")


@dataclass(frozen=True)
class Host:
    """A Blender: an executable, or a Python that has the bpy wheel."""

    name: str
    program: str
    wheel: bool

    def run(self, script: Path, *words: str, timeout_s: float = 280) -> subprocess.CompletedProcess[str]:
        head = (
            [self.program, str(script)]
            if self.wheel
            else [
                self.program,
                "-b",
                "--factory-startup",
                "--python",
                str(script),
                "--",
            ]
        )
        return subprocess.run([*head, *words], capture_output=True, text=True, timeout=timeout_s, check=False)

    def do(self, out: Path, engine: Path | str, **task: Any) -> dict[str, Any]:
        """Have `inside.py` do a task; gives what it saw."""
        out.mkdir(parents=True, exist_ok=True)
        task = {
            "addon": str(ADDON),
            "engine": str(engine),
            "out": str(out),
            "start": 101,
            "size": SIZE,
            **task,
        }
        path = out / "task.json"
        path.write_text(json.dumps(task))
        done = self.run(INSIDE, str(path))
        assert (out / "answer.json").exists(), done.stdout[-3000:] + done.stderr[-3000:]
        answer = json.loads((out / "answer.json").read_text())
        assert "exception" not in answer, answer["exception"]
        return answer


def blender() -> Host | None:
    program = os.environ.get("STIT_BLENDER") or shutil.which("blender")
    return Host("blender", program, False) if program else None


def wheels() -> list[Host]:
    """Pythons with a bpy wheel: $STIT_BPY_PYTHONS, separated as PATH is."""
    pythons = [python for python in os.environ.get("STIT_BPY_PYTHONS", "").split(os.pathsep) if python]
    return [Host(f"bpy{number}", python, True) for number, python in enumerate(pythons)]


def installed_module() -> Host | None:
    """The Python with Blender in it that `scripts/test` makes beside the tests' own packages."""
    python = Path(sys.prefix, "blender", "bin", "python")
    return Host("module", str(python), True) if python.exists() else None


def why_no_module() -> str:
    """What `scripts/test` said when it could not make it."""
    said = Path(sys.prefix, "blender.missing")
    return said.read_text().strip() if said.exists() else "scripts/test makes one; or set STIT_BPY_PYTHONS"


DEFAULT_HOST = blender() or next(iter(wheels()), None)
