from __future__ import annotations

import cv2
import numpy as np
import pytest

from stit_vfx.errors import PackFormatError
from stit_vfx.shape.fill import fill
from stit_vfx.shape.flow import change_fields, warp
from stit_vfx.shape.light import basis, estimate_light
from stit_vfx.shape.maps import CHANNELS, conditioning_maps
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.moves import apply_moves, expression_look
from stit_vfx.shape.relief import person_of, relief
from stit_vfx.training.directions import default_directions

SIZE = 192


@pytest.fixture(scope="module")
def plate() -> np.ndarray:
    """Skin-coloured, lit from above, with a texture to hold on to."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(1.2, 0.7, SIZE)[:, None, None]
    grain = np.kron(rng.normal(0, 0.02, (SIZE // 8, SIZE // 8)), np.ones((8, 8)))[..., None]
    return ((np.array([0.5, 0.33, 0.26]) + grain) * ramp).astype(np.float32)


def moved_by(model: ShapeModel, code, name: str, strength: float):
    move = next(d["shape"] for d in default_directions() if d["name"] == name)
    return apply_moves(model, code, [(move, strength)])


def test_the_same_shape_changes_nothing_at_all(model: ShapeModel, face, quad, plate) -> None:
    code = face({"mouthSmile": 0.4}, seed=1)
    fields = change_fields(model, code, code.but(age=0.0), quad=quad, crop_lin=plate)
    assert not fields.flow.any()
    assert (fields.ratio == 1).all()
    assert not fields.revealed.any()


def test_landmarks_come_from_where_they_were(model: ShapeModel, face, quad, plate) -> None:
    before = face(seed=1)
    after = moved_by(model, before, "smile", 0.8)
    flow = change_fields(model, before, after, quad=quad, crop_lin=plate).flow
    inner = [*range(27, 36), 48, 49, 50, 51, 52, 53, 54, 55, 57, 59]
    old, new = (c.project(model.marks(c))[inner, :2] for c in (before, after))
    x, y = np.rint(new).astype(int).T
    assert np.linalg.norm(new - old, axis=1).max() > 4
    assert np.linalg.norm(flow[y, x] - (old - new), axis=1).mean() < 1.0


def test_everything_fades_at_the_edge_of_the_crop(model: ShapeModel, face, quad, plate) -> None:
    before = face()
    after = moved_by(model, before, "yaw", 1.0)
    fields = change_fields(model, before, after, quad=quad, crop_lin=plate)
    edge = np.ones((SIZE, SIZE), bool)
    edge[1:-1, 1:-1] = False
    assert np.abs(fields.flow[edge]).max() < 0.3
    assert np.abs(fields.ratio[edge] - 1).max() < 0.01


def test_gains_are_bounded(model: ShapeModel, face, quad, plate) -> None:
    before = face({"mouthSmile": 0.5}, seed=4, yaw=0.5)
    edits = [("smile", s) for s in (1.0, -1.0)] + [(n, s) for n in ("age", "masculine") for s in (1.0, -1.0)]
    for name, strength in (*edits, ("brows_up", 1.0), ("anger", 1.0)):
        after = moved_by(model, before, name, strength)
        look = {n: strength * (name == n) for n in ("age", "masculine")} | expression_look(
            model, before, after
        )
        ratio = change_fields(model, before, after, quad=quad, crop_lin=plate, look=look).ratio
        assert (ratio.min(2) < 0.62).mean() < 0.005  # lashes of eyes that narrow, and nothing else
        assert ratio.min() > 0.08
        assert ratio.max() <= 1.30


def test_a_closed_mouth_that_opens_reveals_its_inside_and_no_more(
    model: ShapeModel, face, quad, plate
) -> None:
    before = face(seed=1)
    after = moved_by(model, before, "mouth_open", 0.8)
    fields = change_fields(model, before, after, quad=quad, crop_lin=plate)
    mouth = conditioning_maps(model, after, quad, SIZE)[CHANNELS.index("mouth")] > 0
    assert fields.revealed[mouth].mean() > 0.6
    assert fields.revealed.sum() < 1.2 * mouth.sum()
    assert fields.mouth_lin[mouth].mean() < plate.mean()


def test_an_open_mouth_that_closes_reveals_a_thin_line_of_the_lips_own_tint(
    model: ShapeModel, face, quad, plate
) -> None:
    before = face({"jawOpen": 0.6, "mouthSmile": 0.5}, seed=1)
    fields = change_fields(
        model, before, moved_by(model, before, "mouth_open", -0.7), quad=quad, crop_lin=plate
    )
    line = fields.revealed > 0.5
    assert line.sum(0).max() <= 2
    over_skin = fields.mouth_lin[line] / np.median(plate[line], 0)
    assert 0.1 < over_skin.mean() < 0.4
    assert np.ptp(np.median(over_skin, 0)) < 0.15


def test_closing_lids_leave_the_eyeball_where_it_is(model: ShapeModel, face, quad, plate) -> None:
    before = face(seed=2)
    after = before.but(expression=before.expression.copy())
    after.expression[[model.index("eyeBlink_L"), model.index("eyeBlink_R")]] = 0.35
    fields = change_fields(model, before, after, quad=quad, crop_lin=plate)
    low = after.project(model.marks(after))[40:42, :2].mean(0)
    high = before.project(model.marks(before))[37:39, :2].mean(0)
    (x, y), top = np.rint(low).astype(int), np.rint(high).astype(int)
    assert np.abs(fields.flow[y - 2, x]).max() < 0.5
    assert fields.lid[y - 2, x] == 0
    assert fields.lid[top[1] : y, top[0]].max() > 0.3


def test_a_smile_on_a_smile_stays_a_smile(model: ShapeModel, face) -> None:
    broad, plain = face({"mouthSmile": 0.9}), face()
    k = model.index("mouthSmile_L")
    assert moved_by(model, broad, "smile", 1.0).expression[k] < 1.05
    assert moved_by(model, plain, "smile", 1.0).expression[k] > 0.65
    assert moved_by(model, broad, "smile", -0.5).expression[k] < 0.5


def mouth_width(model: ShapeModel, code) -> float:
    marks = model.marks(code)
    return float(np.linalg.norm(marks[54] - marks[48]))


@pytest.mark.parametrize("seed", range(6))
def test_no_mouth_smiles_wider_than_mouths_do(model: ShapeModel, face, seed: int) -> None:
    rest = face(seed=seed)
    widths = [
        mouth_width(model, moved_by(model, rest, "smile", s)) / mouth_width(model, rest)
        for s in (0.25, 0.5, 0.75, 1.0)
    ]
    assert widths == sorted(widths)
    assert widths[0] > 1.04
    assert 1.2 < widths[-1] <= 1.30


def test_a_wide_smile_widens_little(model: ShapeModel, face) -> None:
    broad = face({"mouthSmile": 0.8, "mouthStretch": 0.3, "mouthUpperUp": 0.4, "jawOpen": 0.1})
    wider = mouth_width(model, moved_by(model, broad, "smile", 0.8)) / mouth_width(model, broad)
    assert 1.005 < wider < 1.06


def test_a_closed_mouth_smiles_with_lips_together_and_corners_up(model: ShapeModel, face) -> None:
    rest = face(seed=1)
    before, after = (model.marks(c) for c in (rest, moved_by(model, rest, "smile", 0.5)))
    eyes = np.linalg.norm(before[36:42].mean(0) - before[42:48].mean(0))
    assert (after[[48, 54], 1] - before[[48, 54], 1]).min() > 0.05 * eyes
    assert after[62, 1] - after[66, 1] < before[62, 1] - before[66, 1] + 0.05


def test_parted_lips_smile_apart(model: ShapeModel, face) -> None:
    talking = face({"jawOpen": 0.4}, seed=1)
    before, after = (model.marks(c) for c in (talking, moved_by(model, talking, "smile", 0.8)))
    assert after[62, 1] - after[66, 1] > before[62, 1] - before[66, 1]


def test_moves_do_not_depend_on_their_order(model: ShapeModel, face) -> None:
    code = face(seed=1)
    moves = [(d["shape"], s) for d, s in zip(default_directions(), (0.5, -0.3, 0.4, 0.2, -0.6), strict=False)]
    one, other = apply_moves(model, code, moves), apply_moves(model, code, moves[::-1])
    assert np.allclose(one.expression, other.expression)
    assert np.allclose(one.rotation, other.rotation)


def test_every_direction_names_expressions_that_exist(model: ShapeModel, face) -> None:
    for direction in default_directions():
        for strength in direction["range"]:
            after = apply_moves(model, face(), [(direction["shape"], strength)])
            assert np.isfinite(after.expression).all()


def test_a_move_that_means_nothing_is_refused(model: ShapeModel, face) -> None:
    with pytest.raises(PackFormatError, match="wink"):
        apply_moves(model, face(), [({"expression": {"wink": 1.0}}, 1.0)])
    with pytest.raises(PackFormatError, match="ear_size"):
        apply_moves(model, face(), [({"form": {"ear_size": 1.0}}, 1.0)])
    with pytest.raises(PackFormatError, match="hair"):
        apply_moves(model, face(), [({"hair": 1.0}, 1.0)])


def test_light_is_found_again_in_a_lit_sphere() -> None:
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((4000, 3))
    normal[:, 2] = np.abs(normal[:, 2])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    lamp = np.array([0.4, 0.6, 0.7]) / np.linalg.norm([0.4, 0.6, 0.7])
    seen = 0.4 + 0.5 * normal @ lamp
    light = estimate_light(
        normal, np.repeat(seen[:, None], 3, 1) + rng.normal(0, 0.01, (4000, 1)), np.ones(4000)
    )
    assert np.abs(basis(normal) @ light.luma - seen).mean() < 0.02


def test_relief_is_the_same_every_time_and_keeps_off_eyes_and_lips() -> None:
    first = relief(3)
    relief.cache_clear()
    again = relief(3)
    assert np.array_equal(first.age, again.age)
    assert -0.14 < first.age.min() < -0.01
    assert first.skin.min() == 0
    assert first.skin.max() == 1


def test_people_have_wrinkles_of_their_own(face) -> None:
    one, other = (face(seed=s).identity for s in (1, 2))
    assert person_of(one) == person_of(one.copy()) != person_of(other)
    drawn = [relief(person_of(i)).age for i in (one, other)]
    places = [cv2.GaussianBlur(np.abs(d), (0, 0), 12) for d in drawn]
    assert np.corrcoef([d.ravel() for d in drawn])[0, 1] < 0.6  # other lines
    assert np.corrcoef([p.ravel() for p in places])[0, 1] > 0.7  # in the same places


def skin_with(size: int = SIZE) -> np.ndarray:
    """Even skin with fine grain, (S, S, 3) linear light."""
    grain = np.random.default_rng(1).normal(0, 0.012, (size, size, 1))
    return (np.array([0.5, 0.33, 0.26]) * np.exp(grain)).astype(np.float32)


@pytest.mark.parametrize(("age", "deeper"), [(0.8, True), (-0.8, False)])
def test_age_deepens_and_lifts_the_creases_that_are_there_and_leaves_grain(
    model: ShapeModel, face, quad, age: float, deeper: bool
) -> None:
    code, bare = face(), skin_with()
    marks = code.project(model.marks(code))[:, :2]
    (x, y), half = np.rint((marks[48] + marks[3]) / 2).astype(int), 9  # on the cheek
    rows = np.arange(SIZE)
    groove = 0.22 * np.exp(-0.5 * ((rows - y) / 1.1) ** 2)[:, None] * (np.abs(np.arange(SIZE) - x) < half)
    lined = (bare * np.exp(-groove[..., None])).astype(np.float32)
    surface = {"quad": quad, "look": {"age": age}}
    same = code.but(age=1e-9)  # the look alone, nothing moves
    creased = change_fields(model, code, same, crop_lin=lined, **surface).ratio
    plain = change_fields(model, code, same, crop_lin=bare, **surface).ratio
    along = np.log(creased / plain)[y, x - 4 : x + 5].mean()
    assert along < -0.05 if deeper else along > 0.06
    cheek = np.s_[y + 4 : y + 12, x - 4 : x + 5]
    grain = [np.diff(np.log(bare * r)[cheek][..., 1], axis=1).std() for r in (np.ones_like(plain), plain)]
    assert 0.9 < grain[1] / grain[0] < 1.15


def test_filling_keeps_what_is_known_and_lies_between_it() -> None:
    values = np.zeros((32, 32, 1))
    values[:, 20:] = 1.0
    known = np.zeros((32, 32), bool)
    known[:, :6] = known[:, 26:] = True
    filled = fill(values, known)
    assert np.allclose(filled[known], values[known], atol=1e-6)
    assert filled.min() >= -1e-6
    assert filled.max() <= 1 + 1e-6


def test_warping_by_nothing_returns_the_same_bits(plate: np.ndarray) -> None:
    assert np.array_equal(warp(plate, np.zeros((SIZE, SIZE, 2), np.float32)), plate)
