"""Mouths in profile, judged by the z-buffer, which knows nothing of how lips are followed."""

from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.flow import View, change_fields
from stit_vfx.shape.lip_marks import SeenLips
from stit_vfx.shape.model import ShapeModel

SIZE = 192  # of the faces that `face` makes
INNER = [60, 61, 62, 63, 64, 65, 66, 67]


def landmarks(model: ShapeModel, code) -> np.ndarray:
    return code.project(model.marks(code))[:, :2]


@pytest.mark.parametrize("yaw_deg", [-25, 0, 25])
@pytest.mark.parametrize("open_", [0.0, 0.6])
def test_lips_that_are_all_seen_are_the_landmarks(
    model: ShapeModel, face, yaw_deg: int, open_: float
) -> None:
    code = face({"jawOpen": open_}, yaw=np.radians(yaw_deg), seed=2)
    lips = SeenLips.of(model, code)
    assert np.array_equal(lips.marks, landmarks(model, code))
    assert (lips.ends[:, 0] == lips.ends[:, 1]).all()


@pytest.mark.parametrize("yaw_deg", [-60, -52, 52, 60])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_mark_of_closed_lips_is_behind_the_near_half(
    model: ShapeModel, face, yaw_deg: int, seed: int
) -> None:
    """The far corner itself is out of sight: between it and the camera lies more than half a lip."""
    code = face(yaw=np.radians(yaw_deg), seed=seed)
    outwards = np.sign(yaw_deg)
    lips = SeenLips.of(model, code)
    reach = outwards * lips.marks[INNER, 0]
    far, near = (64, 60) if yaw_deg > 0 else (60, 64)
    assert outwards * lips.marks[far, 0] == pytest.approx(reach.max(), abs=0.5)
    assert np.array_equal(lips.marks[near], landmarks(model, code)[near])
    x, y = np.rint(landmarks(model, code)[far]).astype(int)
    buried = View.of(model, code, SIZE).depths()[y, x] - code.project(model.marks(code))[far, 2]
    assert buried > 0.25


def test_a_turn_moves_marks_without_a_jump(model: ShapeModel, face) -> None:
    turned = [face(yaw=np.radians(deg), seed=2) for deg in np.arange(20, 64, 0.5)]
    seen = np.stack([SeenLips.of(model, code).marks for code in turned])
    plain = np.stack([landmarks(model, code) for code in turned])
    most = np.abs(np.diff(plain, axis=0)).max()
    assert np.abs(np.diff(seen, axis=0)).max() < 2.5 * most


@pytest.mark.parametrize("yaw_deg", [-58, -50, 50, 58])
def test_lips_that_part_in_profile_part_the_outline(model: ShapeModel, face, quad, yaw_deg: int) -> None:
    """Between the lips the outline draws back to where the opened mouth has it, to 2 mm; it had 5 to go."""
    codes = [face({"jawOpen": amount}, yaw=np.radians(yaw_deg), seed=2) for amount in (0.0, 0.5)]
    fields = change_fields(
        model, *codes, quad=quad, crop_lin=np.full((SIZE, SIZE, 3), 0.3, np.float32), whole_head=True
    )
    before, after = (View.of(model, code, SIZE).raster.mask for code in codes)
    y, x = np.mgrid[:SIZE, :SIZE]
    source_x, source_y = np.moveaxis(np.rint(np.stack([x, y], -1) + fields.flow).astype(int), 2, 0)
    edited = before[source_y.clip(0, SIZE - 1), source_x.clip(0, SIZE - 1)] | (fields.revealed > 0.5)
    upper, lower = landmarks(model, codes[1])[[62, 66], 1]
    rows = slice(int(upper), int(lower) + 1)

    def outline_cm(mask: np.ndarray) -> np.ndarray:
        return np.where(mask[rows], x[rows] * np.sign(yaw_deg), -SIZE).max(1) / codes[1].scale

    off, to_go = (outline_cm(mask) - outline_cm(after) for mask in (edited, before))
    assert to_go.mean() > 0.4
    assert off.mean() < 0.2
    assert np.abs(off).max() < 0.4
