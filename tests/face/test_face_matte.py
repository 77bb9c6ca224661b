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


def labelled(points, size=256):
    """Parts of a head over the published landmarks: hair around the face and far away, a hand, a wall."""
    from stit_vfx.shape.parts import LABELS, Parts

    y, x = np.mgrid[:size, :size]
    middle, width = points[17:].mean(0), np.linalg.norm(points[16] - points[0])
    away = np.hypot(x - middle[0], y - middle[1]) / width
    labels = np.full((size, size), LABELS.index("background"))
    labels[away < 0.95] = LABELS.index("hair")
    labels[away < 0.6] = LABELS.index("skin")
    labels[np.abs(x - middle[0]) < 5] = LABELS.index("hand")
    labels[:, :6] = LABELS.index("hair")  # somebody else's
    return Parts(0.96 * Parts.from_labels(labels).shares + 0.04 / len(LABELS)), away


def test_labels_add_hair_to_what_landmarks_say(crop_points):
    from stit_vfx.face.matte import foreground_from_parts

    parts, away = labelled(crop_points)
    matte, hull = foreground_from_parts(parts, crop_points), foreground_from_landmarks(crop_points, 256)
    hair = (parts.of("hair") > 0.5) & (away < 0.85)
    assert matte.dtype == np.float32
    assert (matte[hull == 1] == 1).all()
    assert hull[hair].mean() < 0.4
    assert matte[hair].mean() > 0.9
    assert not matte[(parts.of("background") > 0.5) & (hull == 0)].any()


def test_hair_far_from_the_face_is_somebody_elses(crop_points):
    from stit_vfx.face.matte import foreground_from_parts

    parts, _ = labelled(crop_points)
    moved = np.add(crop_points, [150, 0])
    assert not foreground_from_parts(parts, moved)[100:160, :6].any()


def test_hair_that_is_half_there_is_half_in_the_matte(crop_points):
    from stit_vfx.face.matte import foreground_from_parts
    from stit_vfx.shape.parts import LABELS, Parts

    parts, away = labelled(crop_points)
    shares = parts.shares.copy()
    hair, wall = LABELS.index("hair"), LABELS.index("background")
    ring = (away > 0.7) & (away < 0.75)
    shares[:, ring] = 0
    shares[hair, ring] = shares[wall, ring] = 0.5
    matte = foreground_from_parts(Parts(shares), crop_points)
    outside = ring & (foreground_from_landmarks(crop_points, 256) == 0)
    assert 0.3 < matte[outside].mean() < 0.7


def test_matte_follows_small_changes_of_the_labels_smoothly(crop_points):
    from stit_vfx.face.matte import foreground_from_parts
    from stit_vfx.shape.parts import Parts

    parts, _ = labelled(crop_points)
    noise = np.random.default_rng(0).normal(0, 0.01, parts.shares.shape).astype(np.float32)
    shaken = Parts(np.clip(parts.shares + noise, 0, 1))
    one, other = (foreground_from_parts(p, crop_points) for p in (parts, shaken))
    assert np.abs(one - other).max() < 0.15
    assert np.abs(one - other).mean() < 0.01
