"""The plug-in against the published stubs of Nuke's Python, as strictly as mypy can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLUGIN = ROOT / "host_plugins" / "nuke"


def _missing() -> list[str]:
    found = []
    for name in ("types-nuke", "mypy"):
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            found.append(name)
    return found


pytestmark = pytest.mark.skipif(bool(_missing()), reason=f"pip install {' '.join(_missing())}")


def strict(folder: Path, cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """mypy over the plug-in in a folder, with none of the project's own settings."""
    common = ROOT / "host_plugins" / "common"
    env = {**os.environ, "MYPYPATH": os.pathsep.join([str(common), "."])}
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--cache-dir", str(cache)]
    return subprocess.run(
        [*mypy, *words], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=110
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def test_the_plug_in_fits_nukes_python(cache: Path) -> None:
    package = strict(PLUGIN, cache, "-p", "stit_vfx_nuke")
    assert package.returncode == 0, package.stdout
    for scripts in (("menu.py", "batch.py", "install.py"), ("init.py",)):
        told = strict(PLUGIN, cache, *scripts)
        assert told.returncode == 0, told.stdout


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("nuke.executeInMainThread(", "nuke.executeInMainThred(", "executeInMainThred"),
        ("plate.firstFrame()", "plate.firstframe()", "firstframe"),
        ("nuke.scriptSave()", "nuke.scriptSave(1, 2, 3, 4)", "scriptSave"),
        ("nuke.delete(node)", "nuke.deletes(node)", "deletes"),
        ("return node.fullName()", "return node", "Incompatible return value"),
    ],
)
def test_a_call_that_nuke_does_not_have_is_seen(
    cache: Path, tmp_path: Path, before: str, after: str, told: str
) -> None:
    copy = tmp_path / "stit_vfx_nuke"
    shutil.copytree(PLUGIN / "stit_vfx_nuke", copy)
    adapter = copy / "adapter.py"
    assert adapter.read_text().count(before) >= 1
    adapter.write_text(adapter.read_text().replace(before, after))
    seen = strict(tmp_path, cache, "-p", "stit_vfx_nuke")
    assert seen.returncode == 1
    assert told in seen.stdout, seen.stdout
