"""The small commands, in process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stit_vfx import doctor
from stit_vfx.cli import COMMANDS, stit
from stit_vfx.errors import OutputError
from stit_vfx.job import Job
from stit_vfx.shot import Shot


def invoke(*args: str) -> Result:
    return CliRunner().invoke(stit, args, standalone_mode=False)


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    job = {
        "schema": "stit.job/1",
        "plate": "a.exr",
        "frames": "1",
        "edits": [{"direction": "s", "strength": 1}],
    }
    shot = Shot.open(tmp_path, "sh010")
    shot.version(Job.from_data(job)).write_frames()
    return shot


def test_help_lists_every_command_and_each_has_help() -> None:
    listed = invoke("--help").output
    for name in COMMANDS:
        assert f"  {name} " in listed
        if name != "train":
            assert "Usage: " in invoke(name, "--help").output


def test_help_loads_no_heavy_library() -> None:
    heavy = ("torch", "cv2", "numpy", "pydantic", "OpenEXR", "dlib", "scipy")
    code = (
        "import sys\nfrom stit_vfx.cli import stit\n"
        "stit.main(['--help'], standalone_mode=False)\n"
        f"sys.exit(repr([name for name in {heavy} if name in sys.modules]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.stderr.strip() == "[]"


def test_the_schema_is_printed_for_editors() -> None:
    assert json.loads(invoke("schema").output)["$id"] == "stit.job/1"


def test_verify_tells_a_frame_that_is_not_there(shot: Shot) -> None:
    result = invoke("verify", str(shot.path), "--json")
    assert result.return_value == 3
    told = json.loads(result.output)
    assert told["problems"] == [{"problem": "was not made", "frame": 1, "path": None}]


def test_a_folder_that_is_no_shot_is_refused(tmp_path: Path) -> None:
    assert isinstance(invoke("verify", str(tmp_path)).exception, OutputError)


def test_gc_says_what_it_frees(shot: Shot) -> None:
    assert json.loads(invoke("gc", str(shot.path), "--dry-run", "--json").output) == {
        "paths": [],
        "bytes": 0,
        "dry_run": True,
    }


def test_doctor_fails_if_one_check_fails_and_says_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [doctor.Check("a", "OK", "fine"), doctor.Check("b", "WARN", "slow", "Wait")]
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: checks)
    result = invoke("doctor")
    assert result.return_value == 0
    assert result.output == "OK    a: fine\nWARN  b: slow  -> Wait\n"
    checks.append(doctor.Check("c", "FAIL", "gone", "Install it"))
    result = invoke("doctor", "--json")
    assert result.return_value == 4
    assert json.loads(result.output)["ok"] is False


def test_a_check_that_raises_is_a_failed_check() -> None:
    def broken() -> doctor.Check:
        raise RuntimeError("driver\nis odd")

    found = doctor._guarded("device", broken)
    assert isinstance(found, doctor.Check)
    assert (found.state, found.found) == ("FAIL", "RuntimeError: driver is odd")


def test_the_storage_check_leaves_nothing_behind(tmp_path: Path) -> None:
    (check,) = doctor._storage(tmp_path / "not" / "made")
    assert check.state == "OK"
    assert list(tmp_path.iterdir()) == []
