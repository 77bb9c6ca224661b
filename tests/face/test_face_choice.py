"""Which finder is used: by a job, by the command line, by what is on this machine; and what depends on it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from stit_vfx.alignment import track_key
from stit_vfx.cli.faces import command as faces
from stit_vfx.cli.run import command as run
from stit_vfx.doctor import _face_finder
from stit_vfx.errors import MissingPartError
from stit_vfx.face import dlib_backend, fan_weights
from stit_vfx.face.detect import make_finder
from stit_vfx.face.fan_backend import FanFinder


def key(name: str, sha256: dict[str, str]) -> str:
    bench: Any = SimpleNamespace(
        job=SimpleNamespace(read_frames=lambda: (1001, 1002)),
        fingerprints=SimpleNamespace(of=lambda frame: f"print {frame}"),
        crops_known=False,
        plate=SimpleNamespace(colour=SimpleNamespace(space="ACEScg")),
        finder=SimpleNamespace(name=name, sha256=sha256),
    )
    return track_key(bench)


def test_what_a_finder_found_is_kept_by_its_name_and_its_weights() -> None:
    keys = [key("fan", {"a": "1"}), key("fan-3d", {"a": "1"}), key("fan", {"a": "2"}), key("fan", {"b": "1"})]
    assert len(set(keys)) == 4
    assert key("fan", {"a": "1"}) == keys[0]


def test_weights_are_hashed_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []
    monkeypatch.setattr(dlib_backend, "file_sha256", lambda path: hashed.append(path) or "0" * 64)
    dlib_backend._digest.cache_clear()
    try:
        finder = make_finder("dlib")
        assert finder.sha256 == finder.sha256
        assert make_finder("dlib").sha256 == finder.sha256
    finally:
        dlib_backend._digest.cache_clear()
    assert len(hashed) == len(set(hashed)) == len(finder.sha256)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(FanFinder, "__init__", lambda self, _device, kind: setattr(self, "name", kind))
    fan_weights.weights_folder().mkdir(parents=True)
    return tmp_path


def bring(*kinds: str) -> None:
    for kind in kinds:
        fan_weights.weights_path(kind).write_bytes(b"")


def test_auto_is_fan_where_its_files_are(home: Path) -> None:
    bring("s3fd", "3DFAN4")
    assert make_finder("auto").name == "builtin"
    bring("2DFAN4")
    assert make_finder("auto").name == "fan"
    assert make_finder("fan-3d").name == "fan-3d"


def test_doctor_says_which_finders_are_usable_and_what_is_missing(home: Path) -> None:
    bring("s3fd", "2DFAN4")
    check = _face_finder()
    assert check.found.startswith("fan; usable: builtin, dlib, fan (fan-3d lacks 3DFAN4-7835d9f11d.pth.tar)")
    assert "300-W-LP" in check.found


@pytest.mark.parametrize("command", [run, faces])
def test_commands_take_the_finders_and_no_others(command: Any) -> None:
    told = CliRunner().invoke(command, ["x.exr", "--finder", "haar"])
    assert told.exit_code == 2
    assert "'auto', 'builtin', 'dlib', 'fan', 'fan-3d'" in told.output


def test_faces_without_weights_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: Any
) -> None:
    import cv2

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    cv2.imwrite(str(tmp_path / "a.1001.png"), astronaut[..., ::-1])
    told = CliRunner().invoke(faces, [str(tmp_path / "a.####.png"), "--finder", "fan-3d", "--device", "cpu"])
    assert isinstance(told.exception, MissingPartError)
    assert "stit packs convert fan" in str(told.exception)
