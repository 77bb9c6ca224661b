from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.code import ShapeCode, rotation_matrix
from stit_vfx.shape.flow import View, change_fields
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.turning import eased, head_flow, one_piece, over_neck
from stit_vfx.shape.zones import Zones

SIZE = 192
SKIN_COLOUR = np.full((SIZE, SIZE, 3), [0.5, 0.36, 0.3], np.float32)


def turned(code, yaw_deg: float, pitch_deg: float = 0.0):
    turn = rotation_matrix(np.radians([-pitch_deg, yaw_deg, 0.0]))
    return code.but(rotation=turn @ code.rotation)


def stretch(flow: np.ndarray) -> np.ndarray:
    """(S, S) how many source pixels an output pixel covers; below 0 the picture folds over."""
    dx, dy = np.gradient(flow.astype(np.float64), axis=1), np.gradient(flow.astype(np.float64), axis=0)
    return (1 + dx[..., 0]) * (1 + dy[..., 1]) - dx[..., 1] * dy[..., 0]


def depths(model: ShapeModel, code) -> tuple[np.ndarray, np.ndarray]:
    view = View.of(model, code, SIZE)
    return view.depths(), view.parts() == 0


def test_without_a_turn_nothing_flows(model: ShapeModel, face) -> None:
    code = face(seed=1)
    depth, sure = depths(model, code)
    assert not head_flow(code, code.but(age=1.0), depth, sure).any()


@pytest.mark.parametrize(("yaw", "pitch"), [(15, 0), (-15, 0), (0, 12), (0, -12), (11, 11)])
def test_nothing_folds_up_to_fifteen_degrees(model: ShapeModel, face, yaw: float, pitch: float) -> None:
    before = face(seed=1)
    after = turned(before, yaw, pitch)
    flow = head_flow(before, after, *depths(model, after))
    assert np.abs(flow).max() > 5
    assert stretch(flow)[2:-2, 2:-2].min() > 0.02


@pytest.mark.parametrize("yaw", [-10, 10])
def test_what_sits_on_the_face_goes_with_its_surface(model: ShapeModel, face, yaw: float) -> None:
    """Within half a millimetre of the exact flow of the same vertices, on the face's front."""
    before = face(seed=2)
    after = turned(before, yaw)
    flow = head_flow(before, after, *depths(model, after))
    old, new = (code.project(model.marks(code))[27:60, :2] for code in (before, after))
    x, y = np.rint(new).astype(int).T
    error_cm = np.linalg.norm(flow[y, x] - (old - new), axis=1) / after.scale
    assert np.linalg.norm(old - new, axis=1).max() / after.scale > 1.0
    assert np.median(error_cm) < 0.05
    assert error_cm.max() < 0.35


def test_the_turn_is_gone_at_the_collar_and_at_the_crops_edge(model: ShapeModel, face) -> None:
    before = face(seed=1)
    after = turned(before, 15)
    flow = head_flow(before, after, *depths(model, after))
    collar = after.project(np.array([[0.0, -15.5, 3.0]]))[0, 1]
    assert np.abs(flow[int(np.ceil(collar)) :]).max(initial=0) < 0.05
    x = np.arange(SIZE) + flow[..., 0]
    assert x.min() > -0.01
    assert x.max() < SIZE - 0.99


def test_only_those_who_know_hair_from_backdrop_turn_the_whole_head(model: ShapeModel, face, quad) -> None:
    before = face(seed=1)
    after = turned(before, 8)
    plain, whole = (
        change_fields(model, before, after, quad=quad, crop_lin=SKIN_COLOUR, whole_head=known)
        for known in (False, True)
    )
    assert not plain.turn.any()
    nose = np.rint(after.project(model.marks(after))[30, :2]).astype(int)
    assert np.abs(whole.flow - plain.flow)[nose[1], nose[0]].max() < 1e-3
    assert np.linalg.norm(whole.turn[nose[1], nose[0]]) > 5


@pytest.mark.parametrize(
    ("name", "strength", "degrees"), [("yaw", 1, 15), ("pitch", 1, 12), ("pitch", -1, 15)]
)
def test_a_head_turns_about_its_joint_by_what_the_card_says(
    model: ShapeModel, face, name: str, strength: float, degrees: float
) -> None:
    """The joint stays in the picture, ears nearly, and the nose goes by its lever."""
    from stit_vfx.shape.moves import apply_moves
    from stit_vfx.training.directions import default_directions

    before = face(seed=4)
    move = next(d["shape"] for d in default_directions() if d["name"] == name)
    after = apply_moves(model, before, [(move, strength)])
    angle = np.degrees(np.arccos((np.trace(after.rotation @ before.rotation.T) - 1) / 2))
    assert angle == pytest.approx(degrees, abs=1e-6)
    joint = np.array([[0.0, -1.0, 1.5]])
    assert np.allclose(after.project(joint)[:, :2], before.project(joint)[:, :2], atol=1e-9)
    places = np.array([[7.5, 1.0, 1.5], [0.0, -1.0, 11.5]])
    ear, nose = np.linalg.norm((after.project(places) - before.project(places))[:, :2], axis=1) / before.scale
    assert ear < 0.6
    assert nose == pytest.approx(10 * np.sin(np.radians(degrees)), abs=1e-6)


@pytest.mark.parametrize(("yaw", "pitch"), [(15, 0), (-15, 0), (0, 10), (0, -15)])
def test_the_neck_is_drawn_out_evenly_down_to_a_collar_that_stays(
    model: ShapeModel, face, yaw: float, pitch: float
) -> None:
    """Nowhere between chin and collar does a row become more than four, or change places with another."""
    before = face(seed=1)
    after = turned(before, yaw, pitch)
    depth, sure = depths(model, after)
    chin = after.project(model.marks(after))[8, 1]
    collar = int(chin + 3.0 * after.scale)
    cloth = np.zeros((SIZE, SIZE), np.float32)
    cloth[collar:] = 1
    turn = head_flow(before, after, depth, sure)
    flow, hair = over_neck(turn, turn, after, sure, cloth)
    assert not flow[collar + 4 :].any()
    assert not hair[collar + 4 :].any()
    chest = np.s_[int(chin - after.scale) : collar, SIZE // 2 - 30 : SIZE // 2 + 30]
    assert np.linalg.norm(turn[chest], axis=2).max() > 5
    assert stretch(flow)[chest].min() > 0.25
    above = np.s_[: int(chin - 8 * after.scale)]
    assert np.array_equal(flow[above], turn[above])


@pytest.mark.parametrize("yaw", [45, 60, -60])
@pytest.mark.parametrize("name", ["smile", "age"])
def test_faces_seen_from_the_side_do_not_fold(model: ShapeModel, face, quad, yaw: float, name: str) -> None:
    """Off lids and lips, which slide over what lies behind them, hardly any of a profile turns over."""
    from stit_vfx.shape.moves import apply_moves
    from stit_vfx.training.directions import default_directions

    before = face(seed=3, yaw=np.radians(yaw))
    move = next(d["shape"] for d in default_directions() if d["name"] == name)
    after = apply_moves(model, before, [(move, 0.8)])
    fields = change_fields(model, before, after, quad=quad, crop_lin=SKIN_COLOUR)
    skin = fields.skin > 0.5
    folded = (stretch(fields.flow) < 0) & skin & (fields.inside < 0.02)
    assert skin.sum() > 2000
    assert folded.sum() < 0.005 * skin.sum()


def test_hair_on_the_chin_is_a_beard_and_hair_elsewhere_is_not() -> None:
    """Softly: below the nose, before the ears, above the collar, and nowhere off the face."""
    places = np.array([[[0.0, -38.0], [0.0, 20.0], [70.0, -20.0], [0.0, -57.0], [-1e4, -1e4]]])
    code = ShapeCode(np.zeros(1), np.zeros(1), np.eye(3), 9.0, np.array([2.0, 0.0]))
    assert Zones.of(places, code).beard.tolist() == [[1, 0, 0, 0, 0]]
    up = np.stack([np.zeros(400), np.linspace(-60, 10, 400)], 1)[None]
    assert np.abs(np.diff(Zones.of(up, code).beard)).max() < 0.05


def test_the_skull_is_where_the_head_is_and_hair_ends_beside_it() -> None:
    code = ShapeCode(np.zeros(1), np.zeros(1), np.eye(3), 4.0, np.array([96.0, 96.0]))
    zones = Zones.of(np.full((SIZE, SIZE, 2), -1e4), code)
    assert zones.skull[86, 96] == 1
    assert zones.skull[86, 96 + 32] == 0  # eight centimetres to the side: an ear, or wall
    assert zones.far[86, 96 + 40] == 0
    assert zones.far[86, 96 + 80] == 1
    assert zones.far[190, 96] == 0  # long hair may fall


def test_a_jaw_that_rises_from_a_collar_draws_no_streaks(model: ShapeModel, face) -> None:
    """Skin between them is drawn out to five times its length at most, and the collar stays."""
    before, after = (face(seed=1).but(expression=amounts(model, jawOpen=a)) for a in (0.6, 0.1))
    chin = before.project(model.marks(before))[8, 1]
    collar = int(chin + 0.4 * before.scale)
    labels = np.full((SIZE, SIZE), LABELS.index("skin"))
    labels[collar:] = LABELS.index("cloth")
    quad = np.array([[-0.5, -0.5], [-0.5, SIZE - 0.5], [SIZE - 0.5, SIZE - 0.5], [SIZE - 0.5, -0.5]])
    seen = Parts.from_labels(labels)
    fields = change_fields(model, before, after, quad=quad, crop_lin=SKIN_COLOUR, whole_head=True, seen=seen)
    face_px = slice(int(chin) - 8, collar), slice(SIZE // 2 - 15, SIZE // 2 + 15)
    assert fields.flow[..., 1].max() > 3
    assert np.abs(fields.flow[collar : collar + 3]).max() < 0.5
    assert stretch(fields.flow)[face_px].min() > 0.2


def amounts(model: ShapeModel, **expression: float) -> np.ndarray:
    """(E,) of a code."""
    out = np.zeros(len(model.expressions))
    for name, amount in expression.items():
        out[model.index(name)] = amount
    return out


@pytest.mark.parametrize("yaw", [-10, 10])
def test_a_jaw_between_the_tips_of_a_collar_turns_with_the_skull(model: ShapeModel, face, yaw: float) -> None:
    """The chin's landmarks land within two millimetres of where the same head has them, turned."""
    before = face(seed=1)
    after = turned(before, yaw)
    depth, sure = depths(model, after)
    old, new = (code.project(model.marks(code))[:17, :2] for code in (before, after))
    y, x = np.mgrid[:SIZE, :SIZE]
    aside = np.abs(x - new[8, 0]) / after.scale
    # A collar two centimetres below the chin, whose tips reach to two above it beside the jaw.
    cloth = (y > new[8, 1] + 2.2 * after.scale - np.clip(aside - 6.0, 0, 4.2) * after.scale).astype(
        np.float32
    )
    turn = head_flow(before, after, depth, sure)
    flow, _ = over_neck(turn, turn, after, sure, cloth)
    chin = slice(6, 11)
    column, row = np.rint(new[chin] - [0, 0.5 * after.scale]).astype(int).T
    error_cm = np.linalg.norm(flow[row, column] - (old - new)[chin], axis=1) / after.scale
    assert np.linalg.norm((old - new)[chin], axis=1).min() / after.scale > 1.0
    assert error_cm.max() < 0.2
    low = y > new[8, 1] + 3.0 * after.scale
    assert np.abs(flow[low & (cloth > 0)]).max() < 0.05


@pytest.mark.parametrize(("yaw", "pitch"), [(15, 0), (-15, 0), (0, 10), (0, -15)])
def test_an_ear_goes_in_one_piece(model: ShapeModel, face, yaw: float, pitch: float) -> None:
    """No part of it is drawn out or pressed together by much more than twofold: an ear that stands off by 30
    degrees looks twice as wide, or half, at 15 more or less.
    """
    before = face(seed=1)
    after = turned(before, yaw, pitch)
    depth, sure = depths(model, after)
    turn = head_flow(before, after, depth, one_piece(sure))
    flow, hair = over_neck(turn, turn, after, sure, np.zeros((SIZE, SIZE), np.float32))
    for side in (-1, 1):
        place = after.project(np.array([[8.2 * side, 1.0, 1.5], [8.2 * side, -2.0, 1.5]]))[:, :2]
        x, y = np.rint(place).astype(int).T
        ear = np.s_[y[0] - 3 : y[1] + 1, min(x) - 2 : max(x) + 3]
        for moved in (flow, hair):
            assert stretch(moved)[ear].min() > 0.45
            assert stretch(moved)[ear].max() < 2.2


def test_patches_of_cheek_at_an_ear_do_not_count() -> None:
    sure = np.zeros((40, 40), bool)
    sure[5:30, 5:25] = True
    with_patch = sure.copy()
    with_patch[20:24, 32:35] = True
    assert np.array_equal(one_piece(with_patch), sure)
    assert np.array_equal(one_piece(sure), sure)


def test_a_step_in_a_flow_at_the_faces_rim_is_spread_out() -> None:
    """And only there: what is further off, and the openings of eyes and mouth, keep their bits."""
    sure = np.zeros((80, 80), bool)
    sure[10:70, 10:40] = True
    sure[30:36, 20:28] = False
    flow = np.where(sure[..., None], np.float32(3), np.float32(0)) * np.ones(2, np.float32)
    even = eased(flow, sure, px_per_cm=10.0)
    assert np.abs(np.diff(even[40, 30:50, 0])).max() < 1.0
    assert np.array_equal(even[:, 50:], flow[:, 50:])
    assert np.array_equal(even[26:40, 16:32], flow[26:40, 16:32])
