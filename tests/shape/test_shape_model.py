from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.errors import PackDamagedError, PackFormatError
from stit_vfx.shape.age import age_displacement
from stit_vfx.shape.code import crop_affine, rotation_matrix, rotation_vector
from stit_vfx.shape.model import EYE, MOUTH, TEETH, ShapeModel


def test_a_face_has_human_measures(model: ShapeModel) -> None:
    marks = model.landmarks(np.zeros(40), np.zeros(len(model.expressions)))
    eyes = np.linalg.norm(marks[36:42].mean(0) - marks[42:48].mean(0))
    assert 5.4 < eyes < 7.2  # adults: 5.4 to 7.4 cm between the pupils
    assert 3.8 < np.linalg.norm(marks[48] - marks[54]) < 6.0
    assert marks[30, 2] == marks[:, 2].max()  # the tip of the nose is in front


def test_the_average_face_is_symmetric(model: ShapeModel) -> None:
    marks = model.landmarks(np.zeros(40), np.zeros(len(model.expressions)))
    assert np.abs(marks[36, 0] + marks[45, 0]) < 0.1
    assert np.abs(marks[48, 0] + marks[54, 0]) < 0.1


def test_codes_act_linearly(model: ShapeModel) -> None:
    rng = np.random.default_rng(0)
    identity, expression = rng.standard_normal(40), rng.random(len(model.expressions))
    nothing = np.zeros_like(expression)
    base = model.vertices(np.zeros(40), nothing)
    both = model.vertices(identity, expression, 0.5) - base
    apart = [model.vertices(identity, nothing), model.vertices(np.zeros(40), expression)]
    apart.append(model.vertices(np.zeros(40), nothing, 0.5))
    assert np.allclose(both, sum(p - base for p in apart), atol=1e-4)


def test_controls_do_what_their_names_say(model: ShapeModel) -> None:
    def marks(*names: str) -> np.ndarray:
        amounts = np.zeros(len(model.expressions))
        amounts[[model.index(n) for n in names]] = 1
        return model.landmarks(np.zeros(40), amounts)

    rest = marks()
    smile, jaw, blink = (
        marks("mouthSmile_L", "mouthSmile_R"),
        marks("jawOpen"),
        marks("eyeBlink_L", "eyeBlink_R"),
    )
    assert smile[54, 1] > rest[54, 1] + 0.3
    assert np.linalg.norm(smile[54] - smile[48]) > np.linalg.norm(rest[54] - rest[48]) + 0.3
    assert jaw[66, 1] < rest[66, 1] - 1.0
    assert np.abs(jaw[36:48] - rest[36:48]).max() < 0.05
    assert blink[43, 1] < rest[43, 1] - 0.4
    assert marks("browOuterUp_L")[24, 1] > rest[24, 1] + 0.3  # the face's left is at positive x


def test_lids_slide_over_eyeballs_that_stay(model: ShapeModel) -> None:
    blink = np.zeros(len(model.expressions))
    blink[model.index("eyeBlink_L")] = 1
    moved = model.vertices(np.zeros(40), blink) - model.neutral
    assert np.abs(moved[model.parts == EYE]).max() == 0
    assert np.abs(moved).max() > 0.5


def test_the_lower_teeth_go_with_the_jaw_and_the_upper_stay(model: ShapeModel) -> None:
    jaw = np.zeros(len(model.expressions))
    jaw[model.index("jawOpen")] = 1
    moved = (model.vertices(np.zeros(40), jaw) - model.neutral)[model.parts == TEETH, 1]
    assert set(np.round(moved[np.abs(moved) < 1e-6])) == {0}
    assert moved.min() < -1.0
    assert (model.parts == MOUTH).any()


def test_detail_moves_its_landmark_and_the_skin_beside_it(model: ShapeModel, face) -> None:
    detail = np.zeros((68, 3))
    detail[30] = (0.2, 0.1, 0.0)
    plain, with_detail = face(), face().but(detail=detail)
    assert np.allclose(model.marks(with_detail) - model.marks(plain), detail, atol=1e-6)
    shift = model.surface(with_detail) - model.surface(plain)
    place = model.chart_deg - model.landmark_chart_deg[30]
    near = np.flatnonzero(np.hypot(*place.T) < 0.5)
    far = np.flatnonzero(np.hypot(*place.T) > 30)
    assert np.allclose(shift[near].mean(0), (0.2, 0.1, 0), atol=0.04)
    assert np.abs(shift[far]).max() < 0.03


def test_age_leaves_the_two_sides_alike() -> None:
    points = np.random.default_rng(1).normal((0, 0, 8), 4, (200, 3))
    one, other = age_displacement(points), age_displacement(points * [-1, 1, 1])
    assert np.allclose(one, other * [-1, 1, 1])
    assert np.abs(one).max() < 1.5


def test_rotation_vectors_come_back() -> None:
    for seed in range(20):
        vector = np.random.default_rng(seed).normal(0, 0.8, 3)
        assert np.allclose(rotation_vector(rotation_matrix(vector)), vector, atol=1e-9)
    assert np.allclose(rotation_matrix(np.array([0, 0, np.pi / 2])) @ [1, 0, 0], [0, 1, 0])


def test_a_code_seen_through_a_crop_projects_to_the_same_points(model: ShapeModel, face) -> None:
    code = face(seed=3, yaw=0.4)
    centre, axis = np.array([90.0, 100.0]), np.array([60.0, 25.0])
    down = np.array([-axis[1], axis[0]])
    quad = np.stack([centre - axis - down, centre - axis + down, centre + axis + down, centre + axis - down])
    matrix = crop_affine(quad, 256)
    assert np.allclose(
        np.c_[quad, np.ones(4)] @ matrix.T[:, :2],
        [[-0.5, -0.5], [-0.5, 255.5], [255.5, 255.5], [255.5, -0.5]],
    )
    marks = model.marks(code).astype(np.float64)
    direct = np.c_[code.project(marks)[:, :2], np.ones(68)] @ matrix.T
    assert np.allclose(code.through(matrix).project(marks)[:, :2], direct[:, :2], atol=1e-9)


def test_a_file_that_is_no_network_is_refused(tmp_path) -> None:
    broken = tmp_path / "shape.safetensors"
    broken.write_bytes(b"not a network")
    with pytest.raises(PackDamagedError):
        ShapeModel.load(broken)


def test_weights_of_something_else_are_refused(tmp_path) -> None:
    import torch
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, str(other))
    with pytest.raises(PackFormatError):
        ShapeModel.load(other)
