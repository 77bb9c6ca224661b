import sys

import numpy as np
import pytest
from scipy import ndimage

from stit_vfx.errors import DeviceError, InternalError, MissingPartError
from stit_vfx.face import dlib_backend, fan_weights
from stit_vfx.face.detect import Detection, make_finder, overlap, square_of, without_doubles


@pytest.fixture(scope="module")
def seen(astronaut, dlib_finder):
    return dlib_finder.find(astronaut)


def test_astronaut_has_one_face_where_it_is(seen):
    assert len(seen) == 1
    x0, y0, x1, y1 = seen[0].box
    assert np.hypot((x0 + x1) / 2 - 226, (y0 + y1) / 2 - 126) < 8
    assert 80 < x1 - x0 < 105
    assert seen[0].landmarks.shape == (68, 2)
    assert seen[0].landmarks.dtype == np.float64
    assert seen[0].descriptor.shape == (128,)


def test_landmarks_are_dlibs_own_within_its_rounding(seen, astronaut):
    import dlib

    box = dlib.get_frontal_face_detector()(astronaut, 0)[0]
    predictor = dlib.shape_predictor(str(dlib_backend.model_file(dlib_backend._LANDMARKS)))
    plain = np.array([(p.x, p.y) for p in predictor(astronaut, box).parts()])
    assert np.linalg.norm(plain - seen[0].landmarks, axis=1).mean() < 1.5


def test_no_face_in_grey(dlib_finder):
    assert dlib_finder.find(np.full((120, 160, 3), 128, np.uint8)) == []


def test_small_face_is_found_in_the_doubled_frame(astronaut, dlib_finder):
    import cv2

    small = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    found = dlib_finder.find(small, describe=False)
    assert len(found) == 1
    assert found[0].descriptor is None
    assert 40 < found[0].box[2] - found[0].box[0] < 53


def test_wide_frame_is_searched_small_and_answers_in_its_own_pixels(astronaut, dlib_finder, seen):
    import cv2

    wide = np.zeros((1024, 3200, 3), np.uint8)
    wide[:, 1500:2524] = cv2.resize(astronaut, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    found = dlib_finder.find(wide, describe=False)
    assert len(found) == 1
    back = ((found[0].landmarks - [1500, 0]) + 0.5) / 2 - 0.5
    assert np.linalg.norm(back - seen[0].landmarks, axis=1).mean() < 0.5


def _shown(image, zoom, shift, size, grain):
    """The image magnified and moved by a sub-pixel shift, by cubic splines, with grain of 2/255."""
    ys, xs = np.mgrid[: size[0], : size[1]].astype(float)
    at = [(ys - shift[1]) / zoom, (xs - shift[0]) / zoom]
    out = np.stack(
        [ndimage.map_coordinates(image[..., c], at, order=3, mode="nearest") for c in range(3)], -1
    )
    out += grain.normal(0, 2, out.shape)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def test_landmarks_follow_sub_pixel_moves_within_a_quarter_pixel(astronaut, dlib_finder):
    near = astronaut[40:220, 130:330].astype(np.float64)
    grain = np.random.default_rng(3)
    shifts = np.cumsum(grain.uniform(-0.7, 0.7, (10, 2)), axis=0)
    found = []
    for shift in shifts:
        frame = _shown(near, 2.8, shift, (504, 560), grain)
        found.append(dlib_finder.find(frame, describe=False)[0])
    assert 240 < found[0].box[2] - found[0].box[0] < 280
    off = np.array([d.landmarks for d in found]) - shifts[:, None]
    assert np.sqrt((off.std(axis=0) ** 2).mean()) < 0.25


def test_follow_finds_the_face_and_not_its_absence(astronaut, dlib_finder, seen):
    near = dlib_finder.follow(astronaut, np.add(seen[0].landmarks, [6, -4]))
    assert np.linalg.norm(near.landmarks - seen[0].landmarks, axis=1).mean() < 0.3
    assert dlib_finder.follow(astronaut, np.add(seen[0].landmarks, [0, 250])) is None
    assert dlib_finder.follow(astronaut, np.add(seen[0].landmarks, [5000, 0])) is None


def test_follow_keeps_a_rolled_face_that_the_search_loses(astronaut, dlib_finder, seen):
    import cv2

    centre = square_of(seen[0].landmarks).centre
    turn = cv2.getRotationMatrix2D(centre, 50, 1.0)
    rolled = cv2.warpAffine(astronaut, turn, (512, 512))
    expected = seen[0].landmarks @ turn[:, :2].T + turn[:, 2]
    assert not [d for d in dlib_finder.find(rolled, describe=False) if overlap(d.box, seen[0].box) > 0.5]
    near = dlib_finder.follow(rolled, expected)
    assert np.linalg.norm(near.landmarks - expected, axis=1).mean() < 1


def test_same_frame_gives_the_same_numbers(astronaut, dlib_finder, seen):
    again = dlib_finder.find(astronaut)[0]
    np.testing.assert_array_equal(again.landmarks, seen[0].landmarks)
    np.testing.assert_array_equal(again.descriptor, seen[0].descriptor)


def test_mirrored_person_is_the_same_person(astronaut, dlib_finder, seen):
    mirrored = dlib_finder.find(np.ascontiguousarray(astronaut[:, ::-1]))[0]
    assert np.linalg.norm(mirrored.descriptor - seen[0].descriptor) < 0.6


def test_square_moves_turns_and_scales_with_the_landmarks(seen):
    points, angle = seen[0].landmarks, 0.4
    turn = 1.5 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    before, after = square_of(points), square_of(points @ turn.T + [30, -7])
    np.testing.assert_allclose(after.centre, turn @ before.centre + [30, -7])
    assert after.side == pytest.approx(1.5 * before.side)
    assert after.roll - before.roll == pytest.approx(angle)


def test_of_two_boxes_on_one_face_the_better_stays():
    def detection(box, score):
        return Detection(box=box, score=score, landmarks=np.zeros((68, 2)))

    one, double, other = (
        detection((0, 0, 10, 10), 1.0),
        detection((1, 1, 11, 11), 0.5),
        detection((30, 0, 50, 20), 0.3),
    )
    assert without_doubles([double, one, other]) == [other, one]
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)


def test_finder_refuses_what_is_not_8_bit_rgb(dlib_finder):
    with pytest.raises(InternalError, match="uint8"):
        dlib_finder.find(np.zeros((10, 10, 3), np.float32))


def test_finders_tell_their_licence_and_auto_is_free_without_fan_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert (make_finder("auto").name, make_finder("auto").commercial_use) == ("builtin", "yes")
    finder = make_finder("dlib")
    assert finder.commercial_use == "no"
    assert "300-W" in finder.licence


def test_fan_without_weights_says_where_to_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingPartError, match=r"hub/checkpoints: FAN.s weight file s3fd"):
        make_finder("fan")
    assert list(tmp_path.iterdir()) == []


def test_fan_folder_is_torch_hubs(monkeypatch, tmp_path):
    import torch

    for name, value in (("TORCH_HOME", str(tmp_path)), ("TORCH_HOME", "")):
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv("TORCH_HOME")
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert str(fan_weights.weights_folder()) == f"{torch.hub.get_dir()}/checkpoints"


def test_unknown_finder_is_refused():
    with pytest.raises(DeviceError, match="haar"):
        make_finder("haar")


def test_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingPartError, match="pip install dlib-bin"):
        make_finder("dlib")


def test_missing_models_say_what_to_install(monkeypatch):
    monkeypatch.setattr(dlib_backend.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match="face_recognition_models"):
        make_finder("dlib")


def test_models_package_is_never_imported(dlib_finder):
    assert "face_recognition_models" not in sys.modules


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_fan_runs_from_local_weights_alone(tmp_path, monkeypatch, astronaut):
    """With random weights: that they are read from the folder, and the shapes of what comes out."""
    import torch
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    folder = fan_weights.weights_folder()
    folder.mkdir(parents=True)
    torch.save(FAN(4).state_dict(), folder / fan_weights.FILES["2DFAN4"])
    torch.save(s3fd().state_dict(), folder / fan_weights.FILES["s3fd"])
    finder = make_finder("auto")
    assert finder.name == "fan"
    finder._net.face_detector.detect_from_image = lambda image: [np.array([180, 80, 272, 172, 0.9])]
    (found,) = finder.find(astronaut)
    assert found.landmarks.shape == (68, 2)
    assert found.score == pytest.approx(0.9)
