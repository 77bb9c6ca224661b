"""The session in the Pythons that hosts bring: 3.7 (Nuke 13) to 3.13."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

import pytest

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[2] / "host_plugins" / "common"
FILES = sorted((FOLDER / "stit_session").glob("*.py"))
# The standard library's own list begins with Python 3.10; these are all that we use of it.
ALLOWED = {
    "__future__",
    "collections",
    "dataclasses",
    "json",
    "math",
    "os",
    "re",
    "shlex",
    "shutil",
    "signal",
} | {"subprocess", "tempfile", "threading", "time", "typing"}


def python(version: str) -> Optional[str]:
    """An interpreter of this version that starts; pyenv's stand-ins are there and do not."""
    folder = Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))) / "versions"
    kept = sorted(str(path) for path in folder.glob(version + ".*/bin/python"))
    for found in [*kept, shutil.which("python" + version)]:
        if found and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return found
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_syntax_is_that_of_3_7_and_only_the_standard_library_is_used(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 7))
    used: List[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            used += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            used.append((node.module or "").split(".")[0])
    assert set(used) <= ALLOWED
    assert not [
        word for word in (".removeprefix(", ".removesuffix(", "math.prod") if word in path.read_text()
    ]


@pytest.mark.parametrize("version", ["3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_a_session_runs_in_each_python(tmp_path: Path, version: str) -> None:
    found = python(version)
    if found is None:
        pytest.skip("Python {} is not on this machine".format(version))
    hello = {"ev": "hello", "proto": "1.0", "engine": "stit_vfx 0.1.0"}
    result = {"ev": "result", "outputs": [{"kind": "comp", "path": str(HERE / "conftest.py")}]}
    end = {"ev": "end", "status": "ok", "exit": 0}
    (tmp_path / "script.json").write_text(json.dumps([["say", event] for event in (hello, result, end)]))
    code = (
        "import sys; sys.path.insert(0, {!r})\n"
        "import stit_session as s\n"
        "run = s.Session([sys.executable, {!r}], [{!r}], expects=['comp']).start()\n"
        "assert run.wait(60); assert run.state == 'done', run.error\n"
        "edit = s.edit_of('smile', {{1: 0.0, 2: 0.5, 3: 1.0}})\n"
        "job = s.write_job({!r}, {{'edits': [edit], 'frames': s.frame_range([1, 2, 3])}})\n"
        "print(s.ask(s.EngineCommand((sys.executable, '-c', 'print([1])')), []))\n"
    ).format(str(FOLDER), str(HERE / "puppet.py"), str(tmp_path / "script.json"), str(tmp_path / "job.json"))
    run = subprocess.run([found, "-W", "error", "-c", code], capture_output=True, timeout=90)
    assert (run.returncode, run.stdout) == (0, b"[1]\n"), run.stderr
    written = json.loads((tmp_path / "job.json").read_text())
    assert written["edits"] == [{"direction": "smile", "keys": {"1": 0.0, "3": 1.0}}]
    assert sys.version_info >= (3, 7)
