import cv2
import numpy as np
import pytest

from stit_vfx.face.builtin_backend import BuiltinFinder
from stit_vfx.face.detect import make_finder, overlap


@pytest.fixture(scope="module")
def finder():
    return BuiltinFinder()


@pytest.fixture(scope="module")
def found(finder, astronaut):
    return finder.find(astronaut)[0]


def apart(ours, theirs):
    """(68,) in eye distances of `theirs`."""
    eyes = np.linalg.norm(theirs[36:42].mean(0) - theirs[42:48].mean(0))
    return np.linalg.norm(ours - theirs, axis=1) / eyes


def moved(image, *, zoom=1.0, turn=0.0, shift=(0.0, 0.0)):
    """The image about its middle, larger, turned clockwise by degrees and shifted; and the (2, 3) matrix."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -turn, zoom)
    matrix[:, 2] += shift
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC), matrix


def test_it_sees_the_face_where_dlib_sees_it(found, dlib_finder, astronaut):
    theirs = dlib_finder.find(astronaut, describe=False)[0].landmarks
    away = apart(found.landmarks, theirs)
    # Eyes and nose are defined alike; brows and jaw differ between the two definitions of landmarks.
    assert away[36:48].mean() < 0.04
    assert away[27:36].mean() < 0.06
    assert away[48:68].mean() < 0.09
    assert away.mean() < 0.09


def test_one_face_is_one_face(finder, astronaut, found):
    assert len(finder.find(astronaut, describe=False)) == 1
    assert found.descriptor.shape == (128,)


def test_landmarks_move_with_the_picture(finder, astronaut, found):
    picture, matrix = moved(astronaut, zoom=1.3, turn=20.0, shift=(11.3, 40.6))
    expected = found.landmarks @ matrix[:, :2].T + matrix[:, 2]
    again = finder.follow(picture, expected)
    assert apart(again.landmarks, expected).mean() < 0.03


def test_it_is_steady_under_shifts_of_less_than_a_pixel(finder, astronaut, found):
    seen = []
    for step in (0.0, 0.3, 0.6, 0.9):
        picture, matrix = moved(astronaut, shift=(step, 0.5 * step))
        here = found.landmarks @ matrix[:, :2].T + matrix[:, 2]
        seen.append(finder.follow(picture, here).landmarks - matrix[:, 2])
    assert np.std(seen, axis=0).mean() < 0.1  # px; the face is 92 px wide


def test_it_follows_from_a_rough_guess_and_gives_up_where_no_face_is(finder, astronaut, found):
    rough = found.landmarks + np.array([9.0, -6.0])
    assert apart(finder.follow(astronaut, rough).landmarks, found.landmarks).max() < 0.03
    assert finder.follow(astronaut, found.landmarks + np.array([-150.0, 250.0])) is None
    assert finder.follow(astronaut, found.landmarks + np.array([5000.0, 0.0])) is None


def test_noise_has_no_faces(finder):
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    assert finder.find(noise) == []


def test_everything_it_is_made_of_may_be_used_commercially(finder):
    named = make_finder("builtin")
    assert named.commercial_use == "yes"
    assert list(named.sha256) == ["reader.safetensors"]
    assert "Apache-2.0" in finder.licence


def test_the_box_is_around_the_face(found):
    assert overlap(found.box, (180.0, 80.0, 272.0, 172.0)) > 0.6
