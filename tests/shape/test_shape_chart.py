from __future__ import annotations

import numpy as np

from stit_vfx.shape.chart import AZIMUTH_DEG, HOLES, grid, signed_distance


def test_no_triangle_is_turned_over() -> None:
    made = grid()
    a, b, c = made.points[made.triangles].transpose(1, 0, 2)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area > 0).all()


def test_rims_lie_on_their_ellipses_and_nothing_lies_inside() -> None:
    made = grid()
    for hole in HOLES:
        assert np.allclose(hole.level(made.points[made.rims[hole.name]]), 1, atol=1e-9)
        assert hole.level(made.points).min() > 1 - 1e-9
        assert len(made.rims[hole.name]) > 30


def test_both_halves_of_the_chart_are_alike() -> None:
    points = grid().points
    mirrored = points * [-1, 1]
    order = np.lexsort(np.round(points, 6).T)
    assert np.allclose(points[order], mirrored[np.lexsort(np.round(mirrored, 6).T)], atol=1e-6)


def test_distance_is_negative_in_holes_and_off_the_chart() -> None:
    inside = np.array([hole.centre for hole in HOLES] + [[AZIMUTH_DEG + 1, 0.0]])
    assert (signed_distance(inside) < 0).all()
    assert signed_distance(np.array([0.0, 5.0])) > 5


def test_rim_distance_grows_by_one_per_degree() -> None:
    for hole in HOLES:
        above = np.array([hole.centre[0], hole.centre[1] + hole.radii[1] + 0.5])
        assert abs(hole.distance(above) - 0.5) < 1e-6
