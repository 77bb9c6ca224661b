"""Warps against pictures that are known everywhere, not only at pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stit_vfx.errors import QuadFileError
from stit_vfx.plate.warp import (
    apply_matrix,
    coverage,
    crop,
    crop_matrix,
    grid,
    quad_roi,
    sample_crop,
    uncrop,
    without_holes,
)


def scene(points: np.ndarray) -> np.ndarray:
    """A smooth picture (..., 3) of points (..., 2) px."""
    x, y = points[..., 0], points[..., 1]
    waves = [np.sin(x / 9) * np.cos(y / 7), np.cos(x / 11 + y / 13), np.sin(y / 8)]
    return (0.5 + 0.3 * np.stack(waves, -1)).astype(np.float32)


def plate(height: int = 120, width: int = 160) -> np.ndarray:
    return scene(grid((0, 0, width, height)))


def square(x: float, y: float, side: float, roll: float = 0.0) -> np.ndarray:
    """A quad NW SW SE NE around (x, y)."""
    c, s = np.cos(roll) * side / 2, np.sin(roll) * side / 2
    right, down = np.array([c, s]), np.array([-s, c])
    middle = np.array([x, y])
    return np.array(
        [middle - right - down, middle - right + down, middle + right + down, middle + right - down]
    )


def test_corners_of_the_quad_are_the_crops_outer_corners() -> None:
    quad = np.array([[10.0, 20], [8, 90], [85, 95], [80, 15]])
    corners = apply_matrix(crop_matrix(quad, 64), quad)
    assert corners == pytest.approx(
        np.array([[-0.5, -0.5], [-0.5, 63.5], [63.5, 63.5], [63.5, -0.5]]), abs=1e-9
    )


def test_quad_on_pixel_borders_at_scale_one_is_a_plain_cut() -> None:
    picture = plate()
    quad = np.array([[29.5, 19.5], [29.5, 83.5], [93.5, 83.5], [93.5, 19.5]])
    assert np.abs(crop(picture, quad, 64) - picture[20:84, 30:94]).max() < 1e-6


@pytest.mark.parametrize(
    ("side", "roll", "limit"), [(64.0, 0.3, 0.003), (40.0, -0.2, 0.002), (60.37, 0.0, 0.003)]
)
def test_crop_shows_the_plate_where_the_matrix_says(side: float, roll: float, limit: float) -> None:
    quad = square(80.3, 60.7, side, roll)
    seen = crop(plate(), quad, 64)
    expected = scene(apply_matrix(np.linalg.inv(crop_matrix(quad, 64)), grid((0, 0, 64, 64))))
    assert np.sqrt(np.mean((seen - expected) ** 2)) < limit


def test_large_quads_are_averaged_not_picked() -> None:
    """A checkerboard of single pixels, seen four times smaller, is grey."""
    y, x = np.mgrid[0:120, 0:160]
    board = np.repeat(((x + y) % 2).astype(np.float32)[..., None], 3, -1)
    seen = crop(board, square(80, 60, 100), 25)
    assert seen[3:-3, 3:-3] == pytest.approx(0.5, abs=0.08)
    assert np.std(seen) < 0.03


def test_crop_beyond_the_plate_repeats_its_edge_and_coverage_says_so() -> None:
    quad = square(0, 60, 40)
    inside = coverage(quad, 40, (120, 160))
    assert inside[:, 25:].all()
    assert not inside[:, :19].any()
    assert np.isfinite(crop(plate(), quad, 40)).all()
    assert coverage(square(-500, 60, 40), 40, (120, 160)).sum() == 0


def test_uncrop_puts_the_crop_where_it_came_from() -> None:
    quad = square(80.3, 60.7, 64, 0.2)
    roi = quad_roi(quad, (120, 160), margin=2)
    back = uncrop(crop(plate(), quad, 64), quad, roi)
    inner = uncrop(np.pad(np.ones((56, 56), np.float32), 4), quad, roi) > 0.999
    expected = scene(grid(roi))
    assert np.abs(back - expected)[inner].max() < 0.01


def test_uncrop_is_zero_outside_the_crop() -> None:
    quad = square(80.3, 60.3, 40)
    region = (0, 0, 160, 120)
    seen = uncrop(np.ones((64, 64), np.float32), quad, region)
    x, y = grid(region)[..., 0], grid(region)[..., 1]
    inside = (np.abs(x - 80.3) < 20) & (np.abs(y - 60.3) < 20)
    assert np.array_equal(seen > 0, inside)
    assert (seen[inside] == 1).all()


def test_crops_with_more_pixels_than_the_plate_are_averaged_on_the_way_back() -> None:
    y, x = np.mgrid[0:256, 0:256]
    board = ((x + y) % 2).astype(np.float32)
    seen = uncrop(board, square(80, 60, 50), (60, 40, 100, 80))
    assert seen == pytest.approx(0.5, abs=0.02)


def test_regions_do_not_change_what_is_seen() -> None:
    quad = square(80.3, 60.7, 64, 0.2)
    picture = crop(plate(), quad, 64)
    whole = uncrop(picture, quad, (0, 0, 160, 120))
    assert np.abs(uncrop(picture, quad, (50, 30, 110, 90)) - whole[30:90, 50:110]).max() < 1e-6


@settings(max_examples=30, deadline=None)
@given(st.floats(-300, 400), st.floats(-300, 400), st.floats(2, 300), st.floats(-3, 3))
def test_region_of_a_quad_lies_in_the_plate_and_holds_all_of_it(
    x: float, y: float, side: float, roll: float
) -> None:
    quad = square(x, y, side, roll)
    x0, y0, x1, y1 = quad_roi(quad, (120, 160))
    assert 0 <= x0 <= x1 <= 160
    assert 0 <= y0 <= y1 <= 120
    points = grid((0, 0, 160, 120))
    crop_px = apply_matrix(crop_matrix(quad, 10), points)
    inside = ((crop_px > -0.5) & (crop_px < 9.5)).all(-1)
    inside[y0:y1, x0:x1] = False
    assert not inside.any()


def test_nan_does_not_spread_beyond_its_pixel() -> None:
    picture = plate()
    clean = crop(picture, square(80, 60, 64), 64)
    picture[60, 80] = np.nan
    picture[40, 70] = [np.inf, 0.2, -np.inf]
    seen = crop(picture, square(80, 60, 64), 64)
    assert np.isfinite(seen).all()
    assert np.abs(seen - clean).max() < 0.05


def test_holes_are_filled_from_around_and_named() -> None:
    picture = plate()
    picture[30:50, 40:60] = np.nan
    filled, holes = without_holes(picture)
    assert holes.sum() == 400
    assert np.isfinite(filled).all()
    assert np.array_equal(filled[~holes], picture[~holes])
    assert 0 < filled[holes].min() <= filled[holes].max() < 1
    everything, _ = without_holes(np.full((4, 4, 3), np.nan, np.float32))
    assert np.isfinite(everything).all()


def test_quad_without_area_is_refused() -> None:
    with pytest.raises(QuadFileError, match="no area"):
        crop_matrix(np.array([[5.0, 5], [5, 5], [5, 5], [5, 5]]), 64)


def test_one_channel_stays_one_channel() -> None:
    matte = np.ones((64, 64), np.float32)
    assert uncrop(matte, square(80, 60, 64), (70, 50, 90, 70)).shape == (20, 20)
    assert sample_crop(matte[..., None], np.zeros((2, 3, 2)), square(80, 60, 64)).shape == (2, 3, 1)
    assert crop(plate()[..., :1], square(80, 60, 64), 64).shape[:2] == (64, 64)
