from dataclasses import replace

import numpy as np
import pytest

from stit_vfx.training.faces import Head, Studio, draw
from stit_vfx.training.faces.camera import frame, rotation
from stit_vfx.training.faces.hair import hairline
from stit_vfx.training.faces.light import ambient, direction, directional, sh_basis
from stit_vfx.training.faces.props import backdrop
from stit_vfx.training.faces.raster import gather, rasterise, vertex_normals
from stit_vfx.training.faces.sample import SMILE
from stit_vfx.training.faces.strands import strand_texture


@pytest.fixture(scope="module")
def studio(tiny_source):
    return Studio(Head(tiny_source))


def test_a_face_has_a_number_and_is_always_the_same(studio):
    first, again = (studio.draw(draw(3, 17), 32).image for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_faces_of_other_numbers_or_seeds_differ():
    identities = [tuple(draw(seed, index).identity) for seed, index in ((0, 0), (0, 1), (1, 0))]
    assert len(set(identities)) == 3


def test_a_picture_is_finite_within_range_and_shows_a_person_before_a_backdrop(studio):
    picture = studio.draw(draw(0, 2), 48)
    assert picture.image.shape == (48, 48, 3)
    assert picture.image.dtype == np.float32
    assert np.isfinite(picture.image).all()
    assert picture.image.min() >= 0
    assert picture.image.max() <= 1
    assert picture.cover[24, 24] == 1
    assert picture.cover[0, 0] == 0


def test_the_crop_does_not_move_with_the_expression(studio):
    face = draw(0, 5)
    calm, open_mouth = (studio.camera(face.but(expression=e), 64) for e in ({}, {"jawOpen": 1.0}))
    np.testing.assert_array_equal(calm.translation, open_mouth.translation)
    assert calm.scale == open_mouth.scale


def test_eyes_and_mouth_lie_where_an_aligned_crop_has_them(tiny_source):
    face = draw(0, 0).but(yaw=0.0, pitch=0.0, roll=0.0, shift=(0.0, 0.0), zoom=0.0)
    landmarks = tiny_source.neutral[tiny_source.landmarks].astype(np.float64)
    seen = frame(face, landmarks, 100).project(landmarks)
    eyes, mouth = seen[36:48, :2].mean(0), seen[[48, 54], :2].mean(0)
    np.testing.assert_allclose(eyes + 0.1 * (mouth - eyes), [49.5, 49.5], atol=1.0)


def test_smile_moves_both_sides_alike():
    face = draw(0, 1).but(expression={}, smile=1.0)
    for name, amount in SMILE.items():
        assert face.controls[f"{name}_L"] == face.controls[f"{name}_R"] == pytest.approx(amount)


def test_ageing_greys_the_hair_and_keeps_the_person():
    face = draw(0, 1)
    old = face.aged(0.9, 0.7)
    assert old.hair.grey == 0.7
    np.testing.assert_array_equal(old.identity, face.identity)
    assert old.light is face.light


def test_rotation_is_a_rotation():
    turn = rotation(0.4, -0.2, 0.1)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)


def test_yaw_turns_the_front_to_the_images_right():
    assert (rotation(0.5, 0, 0) @ [0, 0, 1])[0] == pytest.approx(np.sin(0.5))


def test_ambient_light_is_the_same_from_everywhere():
    normals = np.random.default_rng(0).standard_normal((50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.testing.assert_allclose(
        sh_basis(normals) @ ambient(np.array([0.5, 0.4, 0.3])), [[0.5, 0.4, 0.3]] * 50, atol=1e-5
    )


def test_a_light_of_one_gives_about_one_to_a_white_surface_that_faces_it():
    axis = direction(0.7, 0.3)
    light = directional(axis, np.ones(3))
    # The order-2 series of the clamped cosine is 1/4 + 1/2 + 5/16 = 1.0625 at its peak.
    np.testing.assert_allclose(sh_basis(axis) @ light, 1.0625, atol=1e-4)


def test_spherical_harmonics_are_orthonormal():
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((200_000, 3))
    basis = sh_basis(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    np.testing.assert_allclose(4 * np.pi * basis.T @ basis / len(basis), np.eye(9), atol=0.03)


def test_the_nearer_triangle_is_seen():
    position = np.array([[0, 0, 1], [9, 0, 1], [0, 9, 1], [0, 0, 2], [4, 0, 2], [0, 4, 2]], np.float32)
    triangles = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    never, strand = np.full(6, -1, np.float32), np.zeros((6, 2), np.float32)
    depth, hit, weight = rasterise(position, triangles, never, strand, strand_texture(), 10)
    assert hit[1, 1] == 1
    assert depth[1, 1] == 2
    assert hit[5, 3] == 0
    assert hit[9, 9] == -1
    np.testing.assert_allclose(weight[0, 0], [0, 0], atol=1e-6)
    np.testing.assert_allclose(weight[3, 3] * 9, [3, 3], atol=1e-5)


def test_normals_of_a_sphere_point_outwards(tiny_source):
    points = tiny_source.neutral[tiny_source.part("skin")]
    triangles = tiny_source.triangles_of("skin")
    unit = (
        points
        / np.linalg.norm(points / [7.8, 11.5, 9.5], axis=1, keepdims=True)
        / np.array([7.8, 11.5, 9.5]) ** 2
    )
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosine = (vertex_normals(points, triangles) * unit).sum(1)
    assert np.median(cosine) > 0.99


def test_samples_of_a_linear_chart_are_exact_between_pixels():
    y, x = np.mgrid[0:8, 0:8].astype(np.float32)
    chart = np.stack([x + 2 * y, x * 0 + 3], -1)
    got = gather(chart, np.array([1.25, 6.5]), np.array([2.5, 0.75]))
    np.testing.assert_allclose(got, [[6.25, 3], [8.0, 3]], rtol=1e-6)


def test_strands_fill_the_range_evenly():
    texture = strand_texture()
    assert texture.min() >= 0
    assert texture.max() <= 1
    assert abs(np.median(texture) - 0.5) < 0.05


def test_a_receding_hairline_is_higher():
    around = np.linspace(-0.6, 0.6, 9)
    hair = draw(0, 0).hair
    assert (hairline(around, replace(hair, recede=1.5)) > hairline(around, replace(hair, recede=0.0))).all()


def test_backdrops_are_seeded_and_differ():
    np.testing.assert_array_equal(backdrop(4, 24), backdrop(4, 24))
    assert not np.array_equal(backdrop(4, 24), backdrop(5, 24))
