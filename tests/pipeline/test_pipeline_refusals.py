"""Bad input: one sentence, a stable code, the right exit status, and nothing is written over."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest

from stit_vfx.errors import StitError
from stit_vfx.pipeline import edit_shot


def refused(job: Any, out: Path, **options: Any) -> StitError:
    with pytest.raises(StitError) as caught:
        edit_shot(job, out=out, device="cpu", **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(f"({caught.value.code})")
    return caught.value


@pytest.fixture
def copied(plate: str, tmp_path: Path) -> Path:
    """The plate's folder, to be damaged."""
    return Path(shutil.copytree(Path(plate).parent, tmp_path / "plates"))


def of(job: Any, folder: Path, **fields: Any) -> Any:
    return job(plate=str(folder / "demo.####.exr"), frames="1001-1004", **fields)


def test_a_gap_in_the_range(job: Any, copied: Path, tmp_path: Path) -> None:
    (copied / "demo.1003.exr").unlink()
    error = refused(of(job, copied), tmp_path / "out")
    assert (error.code, error.exit_status) == ("STIT-E301", 3)
    assert "1003" in str(error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [0, 100, 0.6])
def test_a_frame_that_is_empty_or_cut_short(job: Any, copied: Path, tmp_path: Path, kept: float) -> None:
    path = copied / "demo.1002.exr"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    error = refused(of(job, copied), tmp_path / "out")
    assert (error.code, error.exit_status) == ("STIT-E302", 3)
    assert "demo.1002.exr" in str(error)


def test_a_frame_of_another_size(job: Any, copied: Path, tmp_path: Path) -> None:
    small = {name: np.zeros((100, 100), np.float16) for name in "RGB"}
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, small) as file:
        file.write(str(copied / "demo.1002.exr"))
    error = refused(of(job, copied), tmp_path / "out")
    assert (error.code, error.exit_status) == ("STIT-E304", 3)


def test_no_face(job: Any, tmp_path: Path) -> None:
    folder = tmp_path / "plates"
    folder.mkdir()
    for frame in range(1001, 1005):
        grey = {name: np.full((200, 300), 0.2, np.float16) for name in "RGB"}
        with OpenEXR.File({"type": OpenEXR.scanlineimage}, grey) as file:
            file.write(str(folder / f"demo.{frame}.exr"))
    error = refused(of(job, folder), tmp_path / "out")
    assert (error.code, error.exit_status) == ("STIT-E311", 3)


def test_a_face_that_leaves_passes_through(job: Any, copied: Path, tmp_path: Path) -> None:
    from stit_vfx.plate.exr import read_exr, write_exr
    from stit_vfx.shot import Shot

    last = read_exr(copied / "demo.1004.exr", 1004)
    everywhere = np.ones(last.shape, bool)
    write_exr(copied / "demo.1004.exr", last.with_rgb(everywhere, np.full((*last.shape, 3), 0.18)))
    assert edit_shot(of(job, copied), out=tmp_path, device="cpu").exit_status == 0
    version = Shot.at(tmp_path / "sh010.stit").find_version()
    after, before = read_exr(version.comp_path(1004)), read_exr(copied / "demo.1004.exr")
    assert (after.channels["R"].view(np.uint16) == before.channels["R"].view(np.uint16)).all()
    assert version.frame_record(1004)["outcome"] == "untouched"
    assert version.frame_record(1003)["outcome"] == "edited"


@pytest.mark.parametrize(
    ("fields", "code", "status"),
    [
        ({"edits": [{"direction": "smlie", "strength": 0.5}]}, "STIT-E104", 2),
        ({"pack": "no-such-pack"}, "STIT-E201", 4),
        ({"colourspace": "no such space"}, "STIT-E105", 2),
        ({"face": {"id": 9}}, "STIT-E107", 2),
        ({"face": {"point": [3, 3]}}, "STIT-E107", 2),
        ({"quads": "/no/such/file.json"}, "STIT-E313", 3),
        ({"edits": [{"direction": "smile", "strength": 0.5, "layers": [40]}]}, "STIT-E101", 2),
    ],
)
def test_words_that_the_job_cannot_mean(
    job: Any, tmp_path: Path, fields: dict[str, Any], code: str, status: int
) -> None:
    error = refused(job(**fields), tmp_path)
    assert (error.code, error.exit_status) == (code, status)


def test_an_unknown_direction_is_answered_with_the_nearest(job: Any, tmp_path: Path) -> None:
    error = refused(job(edits=[{"direction": "smlie", "strength": 0.5}]), tmp_path)
    assert "Did you mean smile?" in str(error)


def test_less_memory_than_the_job_needs(job: Any, tmp_path: Path) -> None:
    error = refused(job(), tmp_path, memory_limit_mb=200)
    assert (error.code, error.exit_status) == ("STIT-E404", 4)
    assert not (tmp_path / "sh010.stit").exists()


def test_a_device_that_is_not_there(job: Any, tmp_path: Path) -> None:
    with pytest.raises(StitError) as caught:
        edit_shot(job(), out=tmp_path, device="cuda:7")
    assert (caught.value.code, caught.value.exit_status) == ("STIT-E401", 4)


def test_a_folder_that_may_not_be_written(job: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    error = refused(job(), tmp_path / "taken")
    assert error.exit_status in (2, 4)


def test_a_damaged_frame_can_be_left_out(job: Any, copied: Path, tmp_path: Path) -> None:
    path = copied / "demo.1003.exr"
    path.write_bytes(path.read_bytes()[:-2000])
    result = edit_shot(of(job, copied), out=tmp_path, device="cpu", on_frame_error="skip")
    assert result.exit_status == 5
    allowed = edit_shot(
        of(job, copied), out=tmp_path, device="cpu", on_frame_error="skip", allow_partial=True
    )
    assert allowed.exit_status == 0


def test_a_strength_beyond_what_the_pack_allows(plate: str, tmp_path: Path) -> None:
    from stit_vfx.job import Job

    edits = [{"direction": "frown", "strength": -0.5}]
    frown = Job.from_data({"schema": "stit.job/1", "plate": plate, "edits": edits})
    error = refused(frown, tmp_path)
    assert (error.code, error.exit_status) == ("STIT-E101", 2)
    assert "0 to 1" in str(error)


def test_a_face_that_is_away_in_every_frame_to_deliver(job: Any, copied: Path, tmp_path: Path) -> None:
    from stit_vfx.plate.exr import read_exr, write_exr

    last = read_exr(copied / "demo.1004.exr", 1004)
    everywhere = np.ones(last.shape, bool)
    write_exr(copied / "demo.1004.exr", last.with_rgb(everywhere, np.full((*last.shape, 3), 0.18)))
    plate = str(copied / "demo.####.exr")
    error = refused(job(plate=plate, frames="1004", tune={"frames": "1001-1004"}), tmp_path / "out")
    assert (error.code, error.exit_status) == ("STIT-E312", 3)
