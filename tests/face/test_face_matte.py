import numpy as np
import pytest

from stit_vfx.face.matte import foreground_from_landmarks


@pytest.fixture(scope="module")
def crop_points(published):
    """Landmarks of the published frame 0 in its 256 px crop."""
    from stit_vfx.plate.warp import apply_matrix, crop_matrix

    return apply_matrix(crop_matrix(published["quads_c0.0_xy0.0"][0], 256), published["landmarks"][0])


def test_matte_holds_the_face_and_not_the_corners(crop_points):
    matte = foreground_from_landmarks(crop_points, 256)
    assert matte.dtype == np.float32
    assert matte.shape == (256, 256)
    assert matte.min() == 0
    assert matte.max() == 1
    for x, y in crop_points[17:]:
        assert matte[round(y), round(x)] == 1
    assert not matte[[0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_matte_reaches_over_the_brows_and_not_under_the_chin(crop_points):
    matte = foreground_from_landmarks(crop_points, 256)
    brows, chin = crop_points[17:27].mean(axis=0), crop_points[8]
    up = brows - chin
    at = [brows + part * up for part in (0.4, 0.8)] + [chin - 0.1 * up]
    inside = [matte[round(y), round(x)] if 0 <= round(y) < 256 else 0 for x, y in at]
    assert inside == [1, 0, 0]


def test_edge_is_antialiased_and_the_area_is_a_little_over_the_landmarks_hull(crop_points):
    from scipy.spatial import ConvexHull

    matte = foreground_from_landmarks(crop_points, 256)
    hull = ConvexHull(crop_points)
    soft = (matte > 0) & (matte < 1)
    # One pixel along the outline, hardly more.
    assert 0.5 * hull.area < soft.sum() < 2 * hull.area
    assert 1.1 * hull.volume < matte.sum() < 1.6 * hull.volume


def test_face_partly_outside_the_crop_is_cut_at_its_edge(crop_points):
    matte = foreground_from_landmarks(np.add(crop_points, [150, 0]), 256)
    whole = foreground_from_landmarks(crop_points, 256)
    np.testing.assert_array_equal(matte[:, 150:], whole[:, :106])
    assert not foreground_from_landmarks(np.add(crop_points, [1e4, 0]), 256).any()
