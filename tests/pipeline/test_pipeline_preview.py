"""A preview of one frame, with a face that was picked on another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stit_vfx.errors import FacePickError
from stit_vfx.events import Reporter
from stit_vfx.options import RunOptions
from stit_vfx.preview import preview
from stit_vfx.survey import find_faces

OPTIONS = RunOptions(device="cpu")


@pytest.fixture(scope="module")
def found(plate: str) -> Any:
    """The one face as `stit faces` tells it: the box of a middle frame."""
    reporter = Reporter("none")
    report = find_faces(plate, reporter=reporter, cancel=reporter.cancel, options=OPTIONS)
    (face,) = report.faces
    return face


@pytest.mark.parametrize("how", ["box", "id", "point"])
def test_a_face_that_was_picked_on_another_frame_is_followed_to_this_one(
    job: Any, found: Any, tmp_path: Path, how: str
) -> None:
    left, top, right, bottom = found.box
    picks = {
        "box": {"box": list(found.box), "frame": found.box_frame},
        "id": {"id": found.id},
        "point": {"point": [(left + right) / 2, (top + bottom) / 2], "frame": found.box_frame},
    }
    frame = 1001
    assert frame != found.box_frame
    made = preview(job(face=picks[how]), frame, tmp_path / "p.png", OPTIONS, reporter=Reporter("none"))
    with Image.open(made) as picture:
        assert min(picture.size) > 100


def test_a_pick_of_nobody_is_told_on_the_frame_where_it_was_made(
    job: Any, found: Any, tmp_path: Path
) -> None:
    nobody = {"point": [1.0, 1.0], "frame": found.box_frame}
    with pytest.raises(FacePickError, match="no face at point") as told:
        preview(job(face=nobody), 1001, tmp_path / "p.png", OPTIONS, reporter=Reporter("none"))
    assert told.value.frame == found.box_frame
    assert not (tmp_path / "p.png").exists()
