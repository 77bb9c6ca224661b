import numpy as np
import pytest

from stit_vfx.measure.edits import edit_strength, face_shape
from stit_vfx.measure.identity import descriptor_distance, tg_id, tl_id
from stit_vfx.measure.stability import jitter_ratio, landmark_jitter


def test_identity_ratios_are_those_of_the_vectors(identity_vectors):
    source, edit = identity_vectors["tracks_src"], identity_vectors["tracks_edit"]
    assert tl_id(source, edit) == pytest.approx(float(identity_vectors["TL_ID"]), rel=1e-9)
    assert tg_id(source, edit) == pytest.approx(float(identity_vectors["TG_ID"]), rel=1e-9)


def test_identity_ratios_by_hand():
    # Source: always the same. Edit: a quarter turn at the last of three frames.
    source = np.array([[1.0, 0], [2, 0], [3, 0]])
    edit = np.array([[1.0, 0], [5, 0], [0, 7]])
    assert tl_id(source, edit) == pytest.approx(1 / 2)
    assert tg_id(source, edit) == pytest.approx(1 / 3)
    assert tl_id(source, source) == tg_id(source, source) == 1


def test_descriptor_distance_by_hand():
    assert descriptor_distance(np.zeros((2, 2)), np.array([[3.0, 4], [0, 1]])) == 3


def test_steady_motion_has_no_jitter_and_a_jerk_has():
    steady = (np.arange(10.0)[:, None, None] * [1.5, -0.5]) * np.ones((10, 68, 1))
    assert landmark_jitter(steady) == pytest.approx(0, abs=1e-12)
    # Back and forth by (0.3, 0.4): second differences of length 2 x 0.5.
    shaking = steady + np.where(np.arange(10) % 2, 0.5, 0.0)[:, None, None] * [0.6, 0.8]
    assert landmark_jitter(shaking) == pytest.approx(1.0)
    assert jitter_ratio(shaking, steady + 2 * (shaking - steady)) == pytest.approx(2)


def test_jitter_does_not_look_across_a_cut():
    points = np.r_[np.zeros((5, 68, 2)), np.full((5, 68, 2), 80.0)]
    assert landmark_jitter(points, np.repeat([0, 1], 5)) == 0
    assert landmark_jitter(points) > 10
    assert np.isnan(landmark_jitter(points[:2]))


def test_ratio_of_still_plates_is_one_or_infinite():
    still = np.zeros((4, 68, 2))
    moved = still.copy()
    moved[1] = 1
    assert jitter_ratio(still, still) == 1
    assert jitter_ratio(still, moved) == float("inf")


@pytest.fixture
def drawn():
    """A face by hand, eyes 100 px apart: every length below is a whole hundredth of that."""
    points = np.zeros((68, 2))
    points[36:42] = [[-65, 0], [-55, -5], [-45, -5], [-35, 0], [-45, 5], [-55, 5]]
    points[42:48] = [[35, 0], [45, -5], [55, -5], [65, 0], [55, 5], [45, 5]]
    points[17:27, 1] = -30
    points[48], points[54] = [-40, 80], [40, 80]
    points[[51, 57, 62, 66]] = [[0, 70], [0, 90], [0, 78], [0, 82]]
    points[[61, 63, 67, 65]] = [[-10, 78], [10, 78], [-10, 82], [10, 82]]
    points[8] = [0, 140]
    return points


def test_shape_by_hand_at_any_size_and_roll(drawn):
    angle = 0.6
    turn = 2.7 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for points in (drawn, drawn @ turn.T + [300, 200]):
        shape = face_shape(points)
        assert shape.mouth_width == pytest.approx(0.8)
        assert shape.corner_lift == pytest.approx(0)
        assert shape.mouth_opening == pytest.approx(0.04)
        assert shape.eye_opening == pytest.approx(0.10)
        assert shape.brow_height == pytest.approx(0.30)
        assert shape.face_height == pytest.approx(1.40)


def test_smile_widens_the_mouth_and_lifts_its_corners(drawn):
    smiling = drawn.copy()
    smiling[48] += [-5, -8]
    smiling[54] += [5, -8]
    smiling[17:27, 1] -= 3
    strength = edit_strength(np.stack([drawn] * 3), np.stack([smiling] * 3))
    expected = {
        "mouth_width": 0.1,
        "corner_lift": 0.08,
        "mouth_opening": 0,
        "eye_opening": 0,
        "brow_height": 0.03,
        "face_height": 0,
    }
    assert strength == pytest.approx(expected)
