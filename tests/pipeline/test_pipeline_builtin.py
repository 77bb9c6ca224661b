"""The built-in pack on a real face, judged by landmarks that it has nothing to do with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stit_vfx.demo import write_plate
from stit_vfx.face.detect import make_finder
from stit_vfx.job import Job
from stit_vfx.measure.edits import edit_strength, face_shape
from stit_vfx.measure.identity import descriptor_distance
from stit_vfx.pipeline import edit_shot
from stit_vfx.plate.colour import CodeSpace, resolve_space
from stit_vfx.plate.exr import read_exr
from stit_vfx.shot import Shot

FRAME = 1012


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder whose cache the edits below share, and the plate: one frame, tuned a little."""
    folder = tmp_path_factory.mktemp("builtin")
    return folder, write_plate(folder / "plates", frames=(FRAME,))


def edited(shot: tuple[Path, str], **strengths: float) -> tuple[np.ndarray, np.ndarray]:
    """Plate and comp as (H, W, 3) uint8 after an edit."""
    out, plate = shot
    job = Job.from_data(
        {
            **{"schema": "stit.job/1", "shot": "real", "plate": plate, "consent": "public domain"},
            "edits": [{"direction": name, "strength": value} for name, value in strengths.items()],
            **{"tune": {"steps": 6}, "stitch": {"steps": 2}},
        }
    )
    result = edit_shot(job, out=out, device="cpu")
    version = Shot.at(out / "real.stit").find_version(result.version)
    frames = [read_exr(path) for path in (plate.replace("####", str(FRAME)), version.comp_path(FRAME))]
    code = CodeSpace.of(resolve_space(frames[0].header, "plate.exr"))
    return code.to_display8(frames[0].rgb()), code.to_display8(frames[1].rgb())


def landmarks(shot: tuple[Path, str], **strengths: float) -> tuple[np.ndarray, np.ndarray]:
    finder = make_finder("dlib")
    before8, after8 = edited(shot, **strengths)
    before = finder.find(before8)[0].landmarks
    after = finder.follow(after8, before)
    assert after is not None
    return before[None], after.landmarks[None]


def test_a_smile_widens_the_mouth_and_its_opposite_narrows_it(shot: tuple[Path, str]) -> None:
    before, after = landmarks(shot, smile=0.8)
    width = float(face_shape(before).mouth_width[0])
    assert edit_strength(before, after)["mouth_width"] > 0.02 * width
    before, after = landmarks(shot, smile=-0.8)
    assert edit_strength(before, after)["mouth_width"] < -0.03 * width


def test_age_changes_the_picture_clearly_and_keeps_the_person(shot: tuple[Path, str]) -> None:
    before8, after8 = edited(shot, age=0.6)
    face = np.s_[160:380, 360:560]
    assert np.abs(before8[face].astype(int) - after8[face]).mean() > 3
    finder = make_finder("dlib")
    found = [finder.find(picture)[0] for picture in (before8, after8)]
    vectors = [
        finder.describe(picture, face.landmarks)
        for picture, face in zip((before8, after8), found, strict=True)
    ]
    assert vectors[0] is not None
    assert vectors[1] is not None
    assert descriptor_distance(vectors[0][None], vectors[1][None]) < 0.45


def test_closed_eyes_are_closed(shot: tuple[Path, str]) -> None:
    before, after = landmarks(shot, eyes_closed=0.9)
    opening = float(face_shape(before).eye_opening[0])
    assert edit_strength(before, after)["eye_opening"] < -0.3 * opening
