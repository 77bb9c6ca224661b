from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.code import crop_affine
from stit_vfx.shape.flow import View, change_fields
from stit_vfx.shape.grain import blur_px, grain_like
from stit_vfx.shape.model import MOUTH, TEETH, ShapeModel
from stit_vfx.shape.mouth import paint
from stit_vfx.shape.mouth_flow import _as_glinting
from stit_vfx.shape.mouth_memory import (
    BACK,
    LOWER,
    UPPER,
    Look,
    MouthMemory,
    look,
    remember,
    sheet_of,
    skin_colour,
    upper_teeth,
)

SIZE = 256
SKIN = np.array([0.42, 0.28, 0.22], np.float32)
ENAMEL, DARK = np.array([0.50, 0.46, 0.40]), np.array([0.03, 0.015, 0.012])


@pytest.fixture
def quad() -> np.ndarray:
    """The quad that the faces of `face` fill, enlarged to SIZE."""
    low, high = -0.5, 192 - 0.5
    return np.array([[low, low], [low, high], [high, high], [high, low]])


def view_of(model: ShapeModel, code, quad) -> View:
    return View.of(model, code.through(crop_affine(quad, SIZE)), SIZE)


def picture(model: ShapeModel, view: View, *, light: float = 1.0) -> np.ndarray:
    """Skin, and behind the lips teeth striped by their place on the jaw, and the dark."""
    stripes = 1 + 0.3 * np.sin(view.raster.read(model.neutral)[:, 0] * 12)
    part = view.part
    colour = np.where((part == TEETH)[:, None], ENAMEL * stripes[:, None], SKIN)
    colour = np.where((part == MOUTH)[:, None], DARK, colour)
    out = view.raster.image(colour.astype(np.float32))
    return np.where(view.raster.mask[..., None], out, SKIN).astype(np.float32) * np.float32(light)


def inside(view: View) -> np.ndarray:
    return np.isin(view.parts(), (TEETH, MOUTH)).astype(np.float32)


@pytest.fixture
def smiling(face):
    return face({"mouthSmile": 0.8, "mouthUpperUp": 0.7, "jawOpen": 0.35}, seed=1)


@pytest.fixture
def closed(face):
    return face({"mouthClose": 0.1}, seed=1)


def memory_of(model: ShapeModel, codes, quad, lights=(1.0,)) -> MouthMemory:
    looks = []
    for code, light in zip(codes, lights, strict=True):
        view = view_of(model, code, quad)
        looks.append(look(model, view, picture(model, view, light=light), inside(view)))
    memory = remember([each for each in looks if each is not None])
    assert memory is not None
    return memory


def test_a_closed_mouth_tells_nothing(model, closed, quad) -> None:
    view = view_of(model, closed, quad)
    assert look(model, view, picture(model, view), np.zeros((SIZE, SIZE))) is None
    assert remember([]) is None


def test_what_is_remembered_of_teeth_is_what_was_shown(model, smiling, quad) -> None:
    memory = memory_of(model, [smiling], quad)
    view = view_of(model, smiling, quad)
    colour, known = memory.read(model, view.raster)
    sure = (known > 0.9) & (sheet_of(model)[view.raster.corners[:, 0]] == UPPER)
    assert sure.sum() > 60
    truth = picture(model, view).reshape(-1, 3)[view.raster.pixels] / SKIN
    assert np.abs(colour[sure] / truth[sure] - 1).mean() < 0.08


def test_the_light_is_divided_out(model, smiling, quad) -> None:
    bright = memory_of(model, [smiling], quad, [3.0])
    dim = memory_of(model, [smiling], quad, [0.3])
    np.testing.assert_allclose(bright.known, dim.known, atol=1e-5)
    known = bright.known > 0.5
    np.testing.assert_allclose(bright.colour[known], dim.colour[known], rtol=1e-3)


def test_teeth_do_not_move_with_the_lips(model, face, quad) -> None:
    """Two frames with other lips put the same stripes in the same place; their average stays sharp."""
    codes = [
        face({"mouthSmile": 0.8, "mouthUpperUp": 0.7, "jawOpen": 0.35}, seed=1),
        face({"mouthUpperUp": 0.9, "jawOpen": 0.5}, yaw=0.1, seed=1),
        face({"mouthSmile": 0.4, "mouthUpperUp": 0.8, "jawOpen": 0.2}, yaw=-0.1, seed=1),
    ]
    one, all_ = memory_of(model, codes[:1], quad), memory_of(model, codes, quad, [1.0, 0.6, 1.7])
    both = (one.known[UPPER] > 0.9) & (all_.known[UPPER] > 0.9)
    contrast = [m.colour[UPPER][both].std(0).mean() for m in (one, all_)]
    assert contrast[1] > 0.7 * contrast[0]


def test_order_of_frames_makes_no_difference_to_the_bit(model, smiling, face, quad) -> None:
    other = face({"mouthUpperUp": 0.9, "jawOpen": 0.5}, seed=1)
    a, b = memory_of(model, [smiling, other], quad, [1, 1]), memory_of(model, [smiling, other], quad, [1, 1])
    assert np.array_equal(a.colour, b.colour)
    assert np.array_equal(a.known, b.known)


def test_a_wrong_frame_is_outvoted() -> None:
    rng = np.random.default_rng(0)
    right = np.abs(rng.normal(1.5, 0.1, (3, 96, 146, 3))).astype(np.float32)
    weight = np.ones((3, 96, 146), np.float32)
    looks = [Look(right, weight), Look(right * 1.02, weight), Look(right * 0.98, weight)]
    memory = remember([*looks, Look(right * 0.15, weight)])
    assert memory is not None
    middle = np.s_[UPPER, 20:70, 20:120]
    assert abs(float(memory.colour[middle].mean()) / float(right[middle].mean()) - 1) < 0.1


def test_an_opened_mouth_shows_the_actors_teeth_in_this_frames_light(model, smiling, closed, quad) -> None:
    memory = memory_of(model, [smiling], quad)
    before = view_of(model, closed, quad)
    plate = picture(model, before, light=0.5)
    fields = change_fields(model, closed, smiling, quad=quad, crop_lin=plate, memory=memory)
    plain = change_fields(model, closed, smiling, quad=quad, crop_lin=plate)
    after = view_of(model, smiling, quad)
    truth = picture(model, after, light=0.5)
    shows = (fields.own > 0.9) & (fields.revealed > 0.9) & (after.parts() == TEETH)
    assert shows.sum() > 40
    error = [np.abs(f.mouth_lin[shows] - truth[shows]).mean() for f in (fields, plain)]
    assert error[0] < 0.8 * error[1]
    assert not plain.own.any()


def test_the_skin_is_the_same_whatever_is_remembered(model, smiling, closed, quad) -> None:
    memory = memory_of(model, [smiling], quad)
    plate = picture(model, view_of(model, closed, quad))
    with_it = change_fields(model, closed, smiling, quad=quad, crop_lin=plate, memory=memory)
    without = change_fields(model, closed, smiling, quad=quad, crop_lin=plate)
    assert np.array_equal(with_it.flow, without.flow)
    assert np.array_equal(with_it.ratio, without.ratio)
    assert np.array_equal(with_it.revealed, without.revealed)


def test_shown_upper_teeth_stay_with_the_skull_when_the_jaw_drops(model, face, quad) -> None:
    before = face({"mouthSmile": 0.8, "mouthUpperUp": 0.8, "jawOpen": 0.1}, seed=1)
    after = face({"mouthSmile": 0.8, "mouthUpperUp": 0.8, "jawOpen": 0.8}, seed=1)
    view = view_of(model, before, quad)
    plate = picture(model, view)
    fields = change_fields(model, before, after, quad=quad, crop_lin=plate)
    sheet = view.raster.image(sheet_of(model)[view.raster.corners[:, 0]].astype(np.float32), -1)
    deep = (sheet == UPPER) & (fields.inside > 0.95) & (fields.revealed < 0.05)
    assert deep.sum() > 30
    assert np.quantile(np.abs(fields.flow[deep]), 0.99) < 0.2  # one pixel at a corner goes with the lips


def test_upper_teeth_end_at_the_gap_below_them() -> None:
    over_skin = np.zeros((60, 60, 3), np.float32) + np.array([0.06, 0.03, 0.02])
    mouth = np.zeros((60, 60), bool)
    mouth[10:50, 5:55] = True
    over_skin[10:22, 5:55] = over_skin[42:50, 5:55] = 1.4
    band = upper_teeth(over_skin, mouth, 12.0)
    assert band[12:20, 8:52].all()
    assert not band[26:].any()


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_slit_lower_than_a_gap_has_no_teeth_and_no_trouble(rows) -> None:
    mouth = np.zeros((40, 60), bool)
    mouth[20 : 20 + rows, 10:50] = True
    assert not upper_teeth(np.full((40, 60, 3), 0.02, np.float32), mouth, 18.7)[~mouth].any()


def test_no_lower_teeth_are_made_up(model, closed, smiling, quad) -> None:
    """Painted lower teeth made a pale beak behind the lower lip; the dark is safer."""
    plate = picture(model, view_of(model, closed, quad))
    after = smiling.but(expression=smiling.expression * 1.0)
    fields = change_fields(model, closed, after, quad=quad, crop_lin=plate)
    view = view_of(model, after, quad)
    sheet = view.raster.image(sheet_of(model)[view.raster.corners[:, 0]].astype(np.float32), -1)
    if (sheet == LOWER).sum() > 5:
        assert fields.mouth_lin[sheet == LOWER].mean() < 0.25 * SKIN.mean()


def test_painted_teeth_follow_the_light_and_darken_to_the_corners(model, smiling, quad) -> None:
    view = view_of(model, smiling, quad)
    dim, warm = (
        paint(model, view.raster, view.part, light=np.array(c)) for c in ([0.1] * 3, [1.0, 0.5, 0.25])
    )
    np.testing.assert_allclose(warm, dim * [10, 5, 2.5], rtol=1e-4)
    teeth = (sheet_of(model)[view.raster.corners[:, 0]] == UPPER) & (view.part == TEETH)
    side = np.abs(view.raster.read(model.neutral)[:, 0])
    middle, corner = teeth & (side < 0.7), teeth & (side > 1.7)
    assert corner.sum() > 5
    assert dim[corner].mean() < 0.75 * dim[middle].mean()


def test_the_back_of_the_mouth_is_no_tooth(model, smiling, quad) -> None:
    memory = memory_of(model, [smiling], quad)
    known = memory.known[BACK] > 0.5
    if known.any():
        assert memory.colour[BACK][known].mean() < 0.3


def test_skin_colour_is_the_median_of_the_face(model, closed, quad) -> None:
    view = view_of(model, closed, quad)
    np.testing.assert_allclose(skin_colour(view, model, picture(model, view)), SKIN, rtol=1e-3)


@pytest.mark.parametrize("sigma", [0.004, 0.02])
def test_grain_is_as_strong_as_the_plates(sigma) -> None:
    rng = np.random.default_rng(1)
    crop = (0.5 + rng.normal(0, sigma, (SIZE, SIZE, 3))).astype(np.float32)
    skin = np.ones((SIZE, SIZE), bool)
    drawn = grain_like(crop, skin, np.full_like(crop, 0.5))
    assert 0.6 * sigma < drawn.std() < 1.2 * sigma
    assert np.array_equal(drawn, grain_like(crop, skin, np.full_like(crop, 0.5)))
    assert not grain_like(np.full_like(crop, 0.5), skin, crop).any()


@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.5])
def test_blur_is_measured(sigma) -> None:
    import cv2

    step = np.zeros((SIZE, SIZE, 3), np.float32)
    step[:, SIZE // 2 :] = 0.6
    soft = cv2.GaussianBlur(step, (0, 0), sigma)
    assert abs(blur_px(soft, np.ones((SIZE, SIZE), bool)) - sigma) < 0.35


@pytest.mark.parametrize("level", [0.3, 0.6])
def test_painted_teeth_are_as_bright_as_those_that_glint_in_the_plate(level: float) -> None:
    teeth = np.arange(100) < 60
    painted = np.full((100, 3), 0.3, np.float32)
    out = _as_glinting(painted, np.full((100, 1), 0.5), teeth, np.full((40, 3), level, np.float32))
    assert np.allclose(0.5 * out[teeth], min(level, 2.5 * 0.15))
    assert np.array_equal(out[~teeth], painted[~teeth])
