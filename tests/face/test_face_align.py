import json

import numpy as np
import pytest

from stit_vfx.errors import QuadFileError
from stit_vfx.face.align import (
    crop_coefficients,
    load_quads,
    quad_axes,
    quads_from_landmarks,
    smooth_in_time,
    track_quads,
)
from stit_vfx.face.track import FaceTrack
from stit_vfx.plate.warp import apply_matrix, coverage, crop_matrix, grid, sample

SQUARE = [[10, 20], [10, 60], [50, 60], [50, 20]]


@pytest.mark.parametrize(("scale", "suffix"), [(1.0, ""), (1.3, "_s1.3")])
def test_axes_are_the_published_ones(published, scale, suffix):
    axes = quad_axes(published["landmarks"], scale=scale)
    for name, axis in zip("cxy", axes, strict=True):
        np.testing.assert_allclose(axis, published[name + suffix], rtol=1e-9)


@pytest.mark.parametrize(("centre", "axes"), [(1.0, 3.0), (0.0, 0.0), (0.0, 3.0)])
def test_smoothed_quads_are_the_published_ones(published, centre, axes):
    quads = quads_from_landmarks(published["landmarks"], center_sigma=centre, xy_sigma=axes)
    np.testing.assert_allclose(quads, published[f"quads_c{centre}_xy{axes}"], rtol=1e-9)


def test_published_sigmas_are_the_default(published):
    quads = quads_from_landmarks(published["landmarks"])
    np.testing.assert_allclose(quads, published["quads_c1.0_xy3.0"], rtol=1e-9)


@pytest.mark.parametrize("size", [256, 1024])
def test_paste_coefficients_are_the_published_ones(published, size):
    for quad, expected in zip(published["quads_c1.0_xy3.0"], published[f"coeffs_{size}"], strict=True):
        np.testing.assert_allclose(crop_coefficients(quad, size), expected, rtol=1e-6, atol=1e-6)


def test_float_crop_is_the_published_8_bit_crop_within_its_truncation(published):
    quad = published["quads_c1.0_xy3.0"][0] - published["frame0_offset"]
    to_part = np.linalg.inv(crop_matrix(quad, 256))
    points = apply_matrix(to_part, grid((0, 0, 256, 256)))
    bilinear = sample(published["frame0_part"].astype(np.float32), points)
    inner = np.s_[8:-8, 8:-8]
    # The published crop floors to 8 bits: on average half a code value is missing.
    error = bilinear[inner] - published["crop256_f0"][inner]
    assert np.abs(error - 0.5).max() < 1.5
    assert abs(error.mean() - 0.5) < 0.05


def _bilinear(frame, quad, size):
    points = apply_matrix(np.linalg.inv(crop_matrix(quad, size)), grid((0, 0, size, size)))
    return sample(frame.astype(np.float32), points)


def test_a_later_frames_crop_is_the_published_one(published):
    # Frame i is the first one, rolled to the right by 2i px.
    frame = np.roll(published["frame0"], 18, axis=1)
    ours = _bilinear(frame, published["quads_c1.0_xy3.0"][9], 256)
    assert np.abs((ours - published["crop256_f9"])[8:-8, 8:-8] - 0.5).max() < 1


def test_a_crop_larger_than_the_face_is_the_published_one(published):
    ours = _bilinear(published["frame0"], published["quads_c1.0_xy3.0"][0], 1024)[::16, ::16]
    error = ours - published["crop1024_f0_sub"]
    assert np.abs(error - 0.5).max() < 1
    assert abs(error.mean() - 0.5) < 0.01


def test_a_crop_that_leaves_the_frame_is_the_published_one_where_there_are_pixels(published):
    ours = _bilinear(published["frame0"], published["quad_oob"], 128)
    inside = coverage(published["quad_oob"], 128, published["frame0"].shape[:2]) > 0
    assert 0.2 < inside.mean() < 0.98
    assert np.abs((ours - published["crop128_oob"])[inside] - 0.5).max() < 1
    assert (published["crop128_oob"][~inside] == 0).all()


def test_smoothing_never_crosses_a_cut():
    values = np.r_[np.zeros(20), np.full(20, 100.0)][:, None]
    segment = np.r_[np.zeros(20, int), np.ones(20, int)]
    np.testing.assert_array_equal(smooth_in_time(values, 3.0, segment), values)
    assert smooth_in_time(values, 3.0)[19, 0] > 10


def test_track_has_one_quad_for_each_frame(published):
    track = FaceTrack(
        id=1,
        frames=np.arange(14) + 1001,
        landmarks=published["landmarks"],
        found=np.ones(14, bool),
        segment=np.repeat([0, 1], 7),
    )
    quads = track_quads(track)
    alone = quads_from_landmarks(published["landmarks"][:7])
    np.testing.assert_array_equal(quads[:7], alone)
    assert quads.shape == (14, 4, 2)


def test_quad_turns_with_a_rolled_head(published):
    points, angle = published["landmarks"][0], 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = quads_from_landmarks(points[None])[0]
    rolled = quads_from_landmarks((points @ turn.T)[None])[0]
    np.testing.assert_allclose(rolled, upright @ turn.T, rtol=1e-9)


@pytest.fixture
def quad_file(tmp_path):
    def write(told):
        path = tmp_path / "quads.json"
        path.write_text(told if isinstance(told, str) else json.dumps(told))
        return path

    return write


def _told(**quads):
    return {"schema": "stit.quads/1", "quads": {key[1:]: quad for key, quad in quads.items()}}


def test_hand_made_quads_are_interpolated_and_held(quad_file):
    moved = [[x + 10, y + 20] for x, y in SQUARE]
    path = quad_file(_told(_1010=moved, _1000=SQUARE))
    assert list(load_quads(path)) == [1000, 1010]
    quads = load_quads(path, frames=range(990, 1021, 5))
    np.testing.assert_allclose(quads[1005], np.add(SQUARE, [5, 10]))
    np.testing.assert_array_equal(quads[990], SQUARE)
    np.testing.assert_array_equal(quads[1020], moved)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "schema"),
        ({"schema": "stit.quads/2", "quads": {}}, "schema"),
        ({"schema": "stit.quads/1"}, "no quads"),
        ({"schema": "stit.quads/1", "quads": {}}, "no quads"),
        (_told(_1001=SQUARE[:3]), "quads.1001 is not four"),
        (_told(_1001=[[1, 2, 3]] * 4), "quads.1001 is not four"),
        (_told(_1001=[[True, 2]] * 4), "quads.1001 is not four"),
        (_told(_1001=[["1", 2]] * 4), "quads.1001 is not four"),
        (_told(_1001=[[float("nan"), 2], *SQUARE[1:]]), "quads.1001 is not four"),
        (_told(_1001=[[float("inf"), 2], *SQUARE[1:]]), "quads.1001 is not four"),
        (_told(_1001=[[10**400, 2], *SQUARE[1:]]), "quads.1001 is not four"),
        (_told(_1001=SQUARE[::-1]), "NW, SW, SE, NE"),
        (_told(_1001=[[10, 20]] * 4), "NW, SW, SE, NE"),
        (_told(_1001=[SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]]), "NW, SW, SE, NE"),
        (_told(_1001=None), "quads.1001 is not four"),
        (_told(_one=SQUARE), "quads.one is not a frame"),
        ({"schema": "stit.quads/1", "quads": {"9" * 5000: SQUARE}}, "not a frame"),
    ],
)
def test_malformed_quad_file_is_refused_with_the_key(quad_file, told, says):
    with pytest.raises(QuadFileError, match=says):
        load_quads(quad_file(told))


def test_missing_quad_file_is_refused(tmp_path):
    with pytest.raises(QuadFileError, match="cannot be read"):
        load_quads(tmp_path / "none.json")


def test_quad_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "q.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(QuadFileError, match="not JSON"):
        load_quads(tmp_path / "q.json")
