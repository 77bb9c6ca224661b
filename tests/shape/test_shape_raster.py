from __future__ import annotations

import numpy as np

from stit_vfx.shape.maps import CHANNELS, conditioning_maps
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.raster import rasterise


def by_hand(points: np.ndarray, triangles: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangle and depth of each pixel, one pixel and one triangle at a time, in double precision."""
    owner, depth = np.full((size, size), -1), np.full((size, size), -np.inf)
    for t, (a, b, c) in enumerate(points[triangles].astype(np.float64)):
        matrix = np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1, 1, 1]])
        if np.linalg.det(matrix) >= 0:  # y is down: seen from behind
            continue
        for y in range(size):
            for x in range(size):
                w = np.linalg.solve(matrix, [x, y, 1])
                z = w @ [a[2], b[2], c[2]]
                if w.min() >= 0 and z > depth[y, x]:
                    owner[y, x], depth[y, x] = t, z
    return owner, depth


def test_each_pixel_sees_what_a_pixel_by_pixel_test_sees() -> None:
    rng = np.random.default_rng(0)
    size, points = 16, np.c_[rng.uniform(-3, 19, (24, 2)), rng.uniform(0, 5, 24)]
    triangles = rng.permutation(24).reshape(8, 3)
    owner, depth = by_hand(points, triangles, size)
    raster = rasterise(points, triangles, (size, size))
    assert np.array_equal(raster.mask, owner >= 0)
    assert np.allclose(raster.image(raster.depth)[raster.mask], depth[owner >= 0], atol=1e-4)
    corners = {tuple(c) for c in raster.corners}
    assert corners == {tuple(triangles[t]) for t in np.unique(owner) if t >= 0}


def test_reading_linear_values_gives_them_back_at_every_pixel() -> None:
    points = np.array([[1.0, 1.0, 0.0], [2.0, 28.0, 1.0], [29.0, 14.0, 2.0]])
    raster = rasterise(points, np.array([[0, 1, 2]]), (32, 32))
    x, y = raster.pixels % 32, raster.pixels // 32
    assert np.allclose(raster.read(points)[:, :2], np.stack([x, y], 1), atol=1e-3)


def test_a_broken_code_does_not_eat_the_memory() -> None:
    points = np.array([[-1e9, -1e9, 0.0], [1e9, 1e9, 0.0], [1e9, -1e9, 0.0]])
    assert len(rasterise(points, np.array([[0, 1, 2]]), (4096, 4096)).pixels) == 0


def test_maps_show_the_parts_of_a_face(model: ShapeModel, face, quad: np.ndarray) -> None:
    size = 96
    closed, open_ = (conditioning_maps(model, face(a), quad, size) for a in ({}, {"jawOpen": 0.6}))
    assert closed.shape == (len(CHANNELS), size, size)
    channel = {name: k for k, name in enumerate(CHANNELS)}
    assert open_[channel["mouth"]].sum() > closed[channel["mouth"]].sum() + 30
    assert 20 < closed[channel["eye"]].sum() < 200
    assert (open_[channel["teeth"]] <= open_[channel["mouth"]]).all()
    cover = closed[channel["cover"]] > 0
    assert 0.2 < cover.mean() < 0.8
    assert not closed[:, ~cover].any()
    assert np.allclose(np.linalg.norm(closed[3:6, cover], axis=0), 1, atol=1e-3)
    assert closed[channel["normal_z"]][cover].mean() > 0.5


def test_maps_follow_the_crop_not_the_plate(model: ShapeModel, face, quad: np.ndarray) -> None:
    code = face(seed=2)
    shifted = code.but(scale=2 * code.scale, translation=2 * code.translation + [101.0, 31.0])
    moved = 2 * quad + [101.0, 31.0]
    one, other = conditioning_maps(model, code, quad, 64), conditioning_maps(model, shifted, moved, 64)
    assert np.abs(one - other).mean() < 1e-4
