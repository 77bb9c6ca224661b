from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.code import rotation_matrix
from stit_vfx.shape.flow import change_fields, warp
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.throat import nods_up

SIZE = 192
LIT, SHADE = np.array([0.5, 0.36, 0.3], np.float32), 0.3


def turned(code, yaw_deg: float, pitch_deg: float):
    turn = rotation_matrix(np.radians([-pitch_deg, yaw_deg, 0.0]))
    return code.but(rotation=turn @ code.rotation)


def plate(model: ShapeModel, code) -> tuple[np.ndarray, Parts, np.ndarray]:
    """A head in even light, a line of shadow half a centimetre tall under its chin, a collar at two and a
    half; and (2,) px where the chin ends.
    """
    chin = code.project(model.marks(code))[8, :2]
    y = np.mgrid[:SIZE, :SIZE][0]
    low = (y - chin[1]) / code.scale
    line = np.clip((low - 0.15) * 9 + 0.5, 0, 1) * np.clip((0.65 - low) * 9 + 0.5, 0, 1)
    labels = np.full((SIZE, SIZE), LABELS.index("skin"))
    labels[low > 2.5] = LABELS.index("cloth")
    return (LIT * (1 - (1 - SHADE) * line)[..., None]).astype(np.float32), Parts.from_labels(labels), chin


def shade_px(picture: np.ndarray, chin: np.ndarray) -> float:
    """Rows of full shadow that there are in the columns below the middle of the chin."""
    x = slice(round(chin[0]) - 4, round(chin[0]) + 5)
    return float(((1 - picture[:, x, 1] / LIT[1]) / (1 - SHADE)).sum(0).mean())


def flow_of(model: ShapeModel, before, after, quad, crop_lin, seen) -> np.ndarray:
    return change_fields(model, before, after, quad=quad, crop_lin=crop_lin, whole_head=True, seen=seen).flow


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_a_line_of_shadow_below_a_chin_stays_a_line_in_a_nod_upwards(
    model: ShapeModel, face, quad, seed: int
) -> None:
    """At 10 degrees it may get taller by a third, where an even throat is drawn out to twice; the collar
    stays, and no row changes places with another.
    """
    before = face(seed=seed)
    crop_lin, seen, chin = plate(model, before)
    flow = flow_of(model, before, turned(before, 0, 10), quad, crop_lin, seen)
    assert shade_px(warp(crop_lin, flow), chin) < 1.34 * shade_px(crop_lin, chin)
    even = flow_of(
        model, before, turned(before, 0, 10), quad, np.broadcast_to(LIT, crop_lin.shape).copy(), seen
    )
    throat = np.s_[round(chin[1] - 2 * before.scale) : -2, round(chin[0]) - 12 : round(chin[0]) + 13]
    for each in (flow, even):
        assert (1 + np.gradient(each[..., 1], axis=0))[throat].min() > 0.02
        assert np.abs(each[round(chin[1] + 2.8 * before.scale) :]).max() < 0.5


def test_grain_does_not_shake_the_throat(model: ShapeModel, face, quad) -> None:
    """Under two draws of a strong sensor's grain the flow differs by less than a fifth of a pixel, rms."""
    before = face(seed=1)
    crop_lin, seen, chin = plate(model, before)
    rng = np.random.default_rng(3)
    flows = [
        flow_of(model, before, turned(before, 0, 10), quad, crop_lin * grain.astype(np.float32), seen)
        for grain in np.exp(0.04 * rng.standard_normal((2, *crop_lin.shape)))
    ]
    throat = np.s_[round(chin[1] - before.scale) : -2, round(chin[0]) - 20 : round(chin[0]) + 21]
    assert np.sqrt(np.mean((flows[0] - flows[1])[throat] ** 2)) < 0.2


@pytest.mark.parametrize(("yaw", "pitch"), [(15, 0), (-15, 0), (0, -15), (0, 0)])
def test_only_nods_upwards_bare_a_throat(face, yaw: float, pitch: float) -> None:
    """Of a turn to the side exactly nothing is taken for one, also of a head that is turned and tilted."""
    for start in (face(seed=1), turned(face(seed=1, yaw=0.4), 5, 7)):
        assert nods_up(start, turned(start, yaw, pitch)) == 0
    assert nods_up(face(seed=1), turned(face(seed=1), 3, 10)) == 1
